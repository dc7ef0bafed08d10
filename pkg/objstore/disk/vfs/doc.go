// Package vfs is the file access of the local store: few enough calls that a
// power loss can be simulated between any two of them.
//
// # FS
//
// Files and folders below one folder. [OS] is the real one; [Mem] keeps all in
// memory, separates what was synced from what was only written, and makes the
// states that a power loss can leave ([Mem.CrashClone]).
//
// Names are slash-separated and relative to the folder, "." is the folder
// itself. Errors are those of the os package: fs sentinels and syscall.Errno
// stay visible to errors.Is. An FS may be used by any number of goroutines, a
// File by one at a time.
package vfs
