package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// memoryRoot is where Linux has a file system in memory that everybody may
// write to.
const memoryRoot = "/dev/shm"

// memoryFolder is a private folder in memory. A lock on it tells others that
// its owner lives.
type memoryFolder struct {
	dir  string
	lock *os.File
}

// openMemory makes a folder in memory, and removes those of this user whose
// owners are dead. It returns nil if there is no such file system.
func openMemory(root string) *memoryFolder {
	var st unix.Statfs_t
	if unix.Statfs(root, &st) != nil || st.Type != unix.TMPFS_MAGIC {
		return nil
	}
	prefix := fmt.Sprintf("dvx-%d-", os.Geteuid())
	removeDead(root, prefix)
	dir, err := os.MkdirTemp(root, prefix)
	if err != nil {
		return nil
	}
	return lockMemory(dir)
}

// removeDead removes the folders of which nobody has the lock.
func removeDead(root, prefix string) {
	left, err := filepath.Glob(filepath.Join(root, prefix+"*"))
	if err != nil {
		return // no pattern of ours
	}
	for _, dir := range left {
		if m := lockMemory(dir); m != nil {
			_ = m.remove()
		}
	}
}

// lockMemory takes a folder of this user that nobody has; nil if it can't be
// had.
func lockMemory(dir string) *memoryFolder {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	var st, now unix.Stat_t
	fd := int(f.Fd())
	if unix.Fstat(fd, &st) != nil || int(st.Uid) != os.Geteuid() || unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil ||
		unix.Lstat(dir, &now) != nil || now.Ino != st.Ino || now.Dev != st.Dev { // another removed it meanwhile
		_ = f.Close()
		return nil
	}
	return &memoryFolder{dir: dir, lock: f}
}

// slot names the folder of a slot; empty: there is none.
func (m *memoryFolder) slot(name string) string {
	if m == nil {
		return ""
	}
	return filepath.Join(m.dir, name)
}

// remove removes the folder.
func (m *memoryFolder) remove() error {
	if m == nil {
		return nil
	}
	unlockFolders(m.dir)
	return errors.Join(os.RemoveAll(m.dir), m.lock.Close())
}

// unlockFolders makes the folders below dir writable, without which who is not
// root can't empty them.
func unlockFolders(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) // before it is read
		}
		return nil
	})
}
