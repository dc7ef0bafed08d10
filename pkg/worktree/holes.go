package worktree

import (
	"fmt"
	"io"
	"os"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// SparseFile is an open regular file whose holes need not be read to be stored,
// where the system says where they are.
type SparseFile struct{ *os.File }

var _ chunk.Sparse = SparseFile{}

// Hole implements [chunk.Sparse].
func (f SparseFile) Hole() int64 { return holeAt(int(f.Fd())) }

// Skip implements [chunk.Sparse].
func (f SparseFile) Skip(n int64) error {
	_, err := f.Seek(n, io.SeekCurrent)
	return err
}

// Hole implements [chunk.Sparse].
func (c *counted) Hole() int64 {
	if s, ok := c.src.(chunk.Sparse); ok {
		return min(s.Hole(), c.left)
	}
	return 0
}

// Skip implements [chunk.Sparse].
func (c *counted) Skip(n int64) error {
	s, ok := c.src.(chunk.Sparse)
	if !ok || n > c.left {
		return fmt.Errorf("pass over %d bytes of %d", n, c.left)
	}
	if err := s.Skip(n); err != nil {
		return err
	}
	c.left -= n
	c.meter.add(0, n)
	return nil
}
