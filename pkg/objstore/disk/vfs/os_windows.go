package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// PermObject is the mode of a finished object's file. Windows refuses to
// replace or remove read-only files, so it is an ordinary one there.
const PermObject os.FileMode = 0o644

// Busy reports whether err means that another process briefly holds a file in
// a way that forbids the call.
func Busy(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// syncFile does nothing for a folder: NTFS journals names, and Windows has no
// call to flush them.
func syncFile(f *os.File) error {
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil
	}
	return f.Sync()
}

// lockByteHigh places the locked byte far beyond any file's end: a lock on
// Windows also bars others from the bytes it covers.
const lockByteHigh = 1 << 30

func lockFile(f *os.File, wait bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK)
	if !wait {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockByteHigh})
	switch {
	case err == nil:
		return true, nil
	case !wait && errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return false, nil
	default:
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
}

// unlockFile does nothing: child processes do not inherit files, and the system
// ends the lock when the file is closed.
func unlockFile(*os.File) error { return nil }
