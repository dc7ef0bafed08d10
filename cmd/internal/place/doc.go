// Package place finds stores: it turns what a person writes (a folder, an
// s3:// URL) into an objstore.Store, and knows where keys and caches live on
// this machine. Both binaries wire their stores with it.
package place
