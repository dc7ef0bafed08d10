package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// readTries is how often a file that changes while it is read is read again.
const readTries = 3

// fileReader cuts files' contents. It may be used concurrently.
type fileReader struct {
	writer *chunk.Writer
	meter  meter

	mu  sync.Mutex
	sum Progress // files that were read
}

// read cuts a file's content, and returns what the file looked like
// before and after.
func (r *fileReader) read(ctx context.Context, f *folder, name string) (chunk.Content, Stat, error) {
	var err error
	for range readTries {
		var c chunk.Content
		var stat Stat
		c, stat, err = r.readOnce(ctx, f, name)
		if err == nil {
			r.mu.Lock()
			r.sum.Files++
			r.sum.Bytes += c.Size
			r.mu.Unlock()
			r.meter.add(1, 0)
			return c, stat, nil
		}
		if !errors.Is(err, ErrChanging) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (it was removed)", ErrChanging)
	}
	return chunk.Content{}, Stat{}, err
}

func (r *fileReader) readOnce(ctx context.Context, in *folder, name string) (chunk.Content, Stat, error) {
	f, before, err := in.openFile(name)
	if err != nil {
		return chunk.Content{}, Stat{}, err
	}
	defer func() { _ = f.Close() }()
	c, err := r.writer.WriteContent(ctx, &counted{src: f, left: before.Size, meter: &r.meter})
	if err != nil {
		return chunk.Content{}, Stat{}, err
	}
	after, err := f.stat() // it shows also what was appended and not read
	if err != nil {
		return chunk.Content{}, Stat{}, err
	}
	if after != before || c.Size != before.Size {
		return chunk.Content{}, Stat{}, ErrChanging
	}
	return c, before, nil
}

// counted reads at most left bytes and counts them.
type counted struct {
	src   io.Reader
	left  int64
	meter *meter
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.src.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.meter.add(0, int64(n))
	return n, err
}
