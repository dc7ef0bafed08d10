package auth

import "io/fs"

// mounted is of no use here: modes say nothing.
func mounted(fs.FileInfo, int) bool { return false }
