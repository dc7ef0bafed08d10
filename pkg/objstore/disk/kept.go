package disk

import (
	"context"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// kept is the small object at the store's top that was asked about last: who
// asks for the root again and again, at every request of a daemon, has it read
// only when it has changed. Its file stays open, so that no other file can get its number: the
// same number under the same name is the same file. Where times of files are
// seen late, as over a network, nothing is kept.
type kept struct {
	mu   sync.Mutex
	file *os.File
	stat fs.FileInfo // of file, before it was read
	info objstore.Info
}

// keptFS is a file system on which files are known by their numbers.
type keptFS interface {
	OSFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Stat(name string) (fs.FileInfo, error)
}

var _ keptFS = (*vfs.OS)(nil)

// statKept is Stat where it is allowed to keep files; not for keys with a "/",
// of packs and copies, which would displace the root.
func (s *Store) statKept(ctx context.Context, files keptFS, key string) (objstore.Info, error) {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	now, err := files.Stat(key)
	if err != nil {
		return objstore.Info{}, readError("stat", key, err)
	}
	if k := &s.kept; k.file != nil && k.info.Key == key && unchanged(k.stat, now) {
		return k.info, nil
	}
	f, err := files.OSFile(key, os.O_RDONLY, 0)
	if err != nil {
		return objstore.Info{}, readError("stat", key, err)
	}
	if info, ok := s.kept.read(f, key); ok {
		return info, nil
	}
	_ = f.Close()
	return s.stat(ctx, key) // it is no small object, or the error will be found again
}

// read reads the object of a key from f, and keeps f if it is a small one.
func (k *kept) read(f *os.File, key string) (info objstore.Info, ok bool) {
	stat, err := f.Stat()
	if err != nil || !stat.Mode().IsRegular() || stat.Size() > objstore.MutableSizeMax {
		return objstore.Info{}, false
	}
	b := make([]byte, stat.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return objstore.Info{}, false
	}
	info = objstore.Info{Key: key, Size: stat.Size(), ModTime: stat.ModTime(), Version: versionOf(b)}
	if k.file != nil {
		_ = k.file.Close()
	}
	k.file, k.stat, k.info = f, stat, info
	return info, true
}

// unchanged reports whether a name that had the file a has it still, and
// nobody has written to it.
func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file != nil {
		_ = k.file.Close() // nothing was written
		k.file = nil
	}
}
