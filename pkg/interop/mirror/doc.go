// Package mirror keeps the newest version of a branch as plain files in a
// folder, or as plain objects in a bucket, for whoever has no dvx.
//
// [Run] brings a [Sink] to a version by what changed since the version that it
// holds, which a mark in the sink says. Before it changes anything it marks
// where it goes, so a run that was cut short is made good by the next one,
// whatever version the branch has by then. It deletes only what it put there:
// a sink without a mark must be empty.
package mirror
