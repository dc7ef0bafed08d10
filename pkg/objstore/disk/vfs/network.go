package vfs

// Network names the network or user-space file system on which the folder
// lies, or returns "" for a local one: their locks and renames do not hold what
// a store needs. Where the system cannot tell, the answer is "".
func Network(dir string) (string, error) { return networkFS(dir) }
