package pack

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// fileCache keeps the packs that were read last open, where they are local
// files: small reads then cost one system call.
type fileCache struct {
	opener objstore.FileOpener // nil if the store has none

	mu    sync.Mutex
	files map[string]*os.File
	order []string // least recently opened first
}

// openFilesMax bounds the file descriptors of a Store.
const openFilesMax = 32

// read fills b from an object, unless it is no local file.
func (c *fileCache) read(ctx context.Context, key string, offset int64, b []byte) (ok bool, err error) {
	if c.opener == nil {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return true, err
	}
	f, err := c.open(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	if err != nil {
		return true, readError(key, err)
	}
	if _, err := f.ReadAt(b, offset); errors.Is(err, os.ErrClosed) {
		return false, nil // another reader's file took its place
	} else if err != nil {
		return true, readError(key, err)
	}
	return true, nil
}

// open returns the open file of an object. It may be closed at any time.
func (c *fileCache) open(ctx context.Context, key string) (*os.File, error) {
	c.mu.Lock()
	f := c.files[key]
	c.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := c.opener.OpenFile(ctx, key)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if won := c.files[key]; won != nil {
		_ = f.Close() // nothing was written
		return won, nil
	}
	if len(c.order) >= openFilesMax {
		_ = c.files[c.order[0]].Close()
		delete(c.files, c.order[0])
		c.order = c.order[1:]
	}
	if c.files == nil {
		c.files = map[string]*os.File{}
	}
	c.files[key] = f
	c.order = append(c.order, key)
	return f, nil
}

func (c *fileCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	c.files, c.order = nil, nil
	return errors.Join(errs...)
}
