// Package pack keeps many chunks in one object, and finds them again. It is
// the durable chunk.Store, over any objstore.Store.
//
// # Pack
//
// A pack is an immutable object: the stored bytes of chunks back to back, and
// a footer that says where each begins. Data and metadata are in packs of
// their own. FORMAT.md describes packs and segments.
//
// # Segment
//
// An index segment is an immutable sorted table from chunk to place, complete
// for the packs it names. It is used where it lies: mapped into memory from a
// local file, else asked by ranged reads. One that is asked often is copied to
// the cache folder and mapped there. It can be made again from the footers.
//
// # Snapshot
//
// A [Snapshot] reads chunks through an exact set of segments, those that one
// root of the store names. Which segments belong to a root is known above
// this package.
//
// # Session
//
// A [Session] adds chunks: it leaves out what its base has, packs the rest,
// uploads the packs in the background and writes segments for them. Nothing
// that it wrote counts before a root names its segments.
//
// # Guarantees
//
// Every chunk is hashed on every read, also from the cache of metadata; bytes
// that do not match are never returned. A pack is decoded and hashed in memory
// before it is uploaded. All types may be used by any number of goroutines.
//
// # Caveats
//
// Where the store is a local folder, segments are mapped into memory. The
// objects of a store never change; if somebody shortens the file of a segment
// that is in use all the same, the process dies of it, as with any mapping.
package pack
