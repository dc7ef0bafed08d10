package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

const (
	lockName = "lock"
	tempName = "tmp"

	// What is stored is for its owner; who shares a store opens the folder to others
	// by hand.
	permDir  fs.FileMode = 0o700
	permTemp fs.FileMode = 0o700
	permLock fs.FileMode = 0o600

	// tempAgeDefault outlasts any upload and any suspended laptop that is still
	// worth waiting for.
	tempAgeDefault = 24 * time.Hour
)

// Options of Open and Create. The zero value works.
type Options struct {
	// Now is the clock against which the age of temporary files is measured;
	// without it none is swept.
	Now func() time.Time
	// TempAgeMin is the age from which Open removes temporary files that no
	// living writer holds; 0 means 24 hours.
	TempAgeMin time.Duration
	// AllowNetworkFS admits folders on NFS, SMB and FUSE file systems. Run the
	// probe of pkg/objstore/probe on such a store first.
	AllowNetworkFS bool
}

// Store is an objstore.Store of files in a folder. Close it after use.
type Store struct {
	fs       vfs.FS
	name     string // of the folder, for messages
	tempBase string
	temps    atomic.Uint64
	bulk     vfs.Bulk

	// writing admits one goroutine to the file lock, so that at most one waits
	// in the kernel.
	writing chan struct{}
	folders *folders

	keeps bool // what kept holds
	kept  kept
}

var (
	_ objstore.Store      = (*Store)(nil)
	_ objstore.FileOpener = (*Store)(nil)
)

// Open opens the store in an existing folder. It fails with fs.ErrNotExist if
// there is none.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	fsys, err := openFolder(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return openOrClose(ctx, fsys, dir, o)
}

// Create makes a folder, unless it exists, and opens the store in it. An
// existing folder keeps its files: a copy of a bucket becomes a store.
func Create(ctx context.Context, dir string, o Options) (*Store, error) {
	if err := makeFolder(dir, syncFolder); err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	fsys, err := openFolder(dir, o)
	if err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	if err := CreateFS(fsys); err != nil {
		return nil, errors.Join(fmt.Errorf("create store in %s: %w", dir, err), fsys.Close())
	}
	return openOrClose(ctx, fsys, dir, o)
}

func openFolder(dir string, o Options) (vfs.FS, error) {
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, err
	}
	if o.AllowNetworkFS {
		return fsys, nil
	}
	network, err := vfs.Network(dir)
	if err == nil && network != "" {
		err = fmt.Errorf("%s is on a %s file system, whose locks and renames cannot be trusted with a store; "+
			"use a local folder, or allow network file systems if only one machine writes: %w",
			dir, network, errors.ErrUnsupported)
	}
	if err != nil {
		return nil, errors.Join(err, fsys.Close())
	}
	return fsys, nil
}

func openOrClose(ctx context.Context, fsys vfs.FS, dir string, o Options) (*Store, error) {
	s, err := OpenFS(ctx, fsys, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", dir, err), fsys.Close())
	}
	s.name = dir
	s.keeps = !o.AllowNetworkFS && (runtime.GOOS == "linux" || runtime.GOOS == "darwin") // where no open file can be replaced
	return s, nil
}

// CreateFS makes an existing folder a store, durably. Doing so again changes
// nothing.
func CreateFS(fsys vfs.FS) error {
	f, err := fsys.OpenFile(lockName, os.O_RDWR|os.O_CREATE, permLock)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fsys.Mkdir(tempName, permTemp); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(fsys, ".")
}

// OpenFS opens the store in fsys, which it owns from then on if it succeeds.
func OpenFS(ctx context.Context, fsys vfs.FS, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := fsys.OpenFile(lockName, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no store here (there is no file %q); create one first: %w", lockName, err)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	s := &Store{fs: fsys, name: ".", tempBase: "0", writing: make(chan struct{}, 1), folders: newFolders(fsys)}
	if o.Now != nil {
		now := o.Now()
		s.tempBase = strconv.FormatInt(now.UnixNano(), 36)
		age := o.TempAgeMin
		if age <= 0 {
			age = tempAgeDefault
		}
		s.sweep(now.Add(-age))
	}
	return s, nil
}

// Close releases the folder. No method may be called afterwards.
func (s *Store) Close() error {
	s.kept.close()
	return s.fs.Close()
}

// String names the folder.
func (s *Store) String() string { return s.name }

// sweep removes the temporary files that were last written before the given
// time and are not being written. It is best effort: what is left takes space
// and nothing else, and a folder that cannot be written can still be read.
func (s *Store) sweep(before time.Time) {
	entries, err := readDir(s.fs, tempName)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !info.ModTime().Before(before) {
			continue
		}
		s.sweepFile(tempName + "/" + e.Name())
	}
}

func (s *Store) sweepFile(name string) {
	f, err := s.fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if free, err := f.Lock(false); err == nil && free {
		s.discard(name)
	}
}

// checkKey refuses the folder's own names.
func checkKey(key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	first, _, _ := strings.Cut(key, "/")
	if strings.EqualFold(first, lockName) || strings.EqualFold(first, tempName) {
		return fmt.Errorf("key %q begins with a name that a store folder keeps for itself: %w", key, fs.ErrInvalid)
	}
	return nil
}
