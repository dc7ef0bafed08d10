// Package probe asks a running store whether it keeps the promises on which a
// dvx store stands.
//
// Many services speak S3; not all honour conditions, and some do so only
// without competition. [Run] races writers against each other with IfAbsent and
// with IfVersion, tries a version on an absent key, sends a body that is damaged
// on its way, and checks reads after and during writes, ranges and lists. It
// writes a few kilobytes under probe/<ID>/ and removes them. It is run when a store is made, and in tests with larger
// numbers: what it finds is certain, what it does not find is only likely absent.
package probe
