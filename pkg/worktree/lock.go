package worktree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// ErrLocked is the error for a working copy that another process is changing.
var ErrLocked = errors.New("another dvx works on this working copy; wait for it to end")

// Lock is the right to change a working copy. Whoever commits or checks out
// holds it; whoever only looks needs none.
type Lock struct{ f vfs.File }

// AcquireLock locks the working copy at dir, or fails with ErrLocked at once.
// The lock ends with Close, or with the process however that ends. Its file
// stays and means nothing.
func AcquireLock(dir string) (*Lock, error) {
	return acquire(filepath.Join(dir, FolderName, "lock"), false)
}

// Close ends the lock.
func (l *Lock) Close() error { return l.f.Close() }

// acquire locks the file name.
func acquire(name string, wait bool) (*Lock, error) {
	dir, err := vfs.OpenOS(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("lock working copy: %w", err)
	}
	defer dir.Close() //nolint:errcheck // it was only read
	f, err := dir.OpenFile(filepath.Base(name), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("lock working copy: %w", err)
	}
	ok, err := f.Lock(wait)
	if err == nil && !ok {
		err = ErrLocked
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return &Lock{f}, nil
}
