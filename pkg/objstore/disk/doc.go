// Package disk keeps objects as files in one local folder.
//
// # Layout
//
// The object of key packs/x/0 is the file packs/x/0: whoever can read files can
// read a store. Two names are the folder's own: lock, an empty file that is
// never deleted, and tmp, the folder of files being written. Keys that begin
// with them, in any case, are refused with fs.ErrInvalid, as is a key that is a
// folder of another.
//
// # How a Put becomes durable
//
// The body goes to a new file in tmp and is synced; the file then gets its
// name, by a link that fails if the name is taken (IfAbsent) or by a rename
// under the lock (otherwise); then the name's folder is synced. Only then does
// Put return nil. New folders are synced into their parents before anything is
// put in them, and are never removed. Files are synced side by side; objects that
// get their names in one folder at the same time are made durable by one sync of
// it. A file whose sync failed is thrown away,
// never synced again. After an error between naming and syncing the outcome is
// unknown.
//
// The version of an object is the BLAKE3 digest of its bytes.
//
// # Caveats
//
// The lock is advisory and local: network file systems are refused unless
// [Options.AllowNetworkFS] is set. On file systems that fold case, keys that
// differ only in case are one object. The file system must have hard links.
//
// A Store may be used by any number of goroutines, and a folder by any number
// of processes of one machine.
package disk
