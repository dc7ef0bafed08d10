//go:build !linux && !darwin

package worker

import (
	"io/fs"
	"os"
)

// openFlags: nothing to add.
const openFlags = 0

// change: not known here.
func change(fs.FileInfo) (inode uint64, ns int64) { return 0, 0 }

// fixLinkTime: not done here.
func fixLinkTime(*os.Root, string) error { return nil }

// salvages: not here.
const salvages = false

// pristine: not known here.
func pristine(*os.File) bool { return false }

// giveBack: not done here.
func giveBack(string, int64, int64) {}
