package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

// Bucket is a Sink below a prefix of a bucket. A link becomes an object that
// holds its target.
type Bucket struct {
	store *s3.Store
	plain s3.Plain
}

var _ Sink = (*Bucket)(nil)

// NewBucket returns the Sink below the store's prefix.
func NewBucket(s *s3.Store) *Bucket { return &Bucket{store: s, plain: s.Plain()} }

// Put implements [Sink].
func (b *Bucket) Put(ctx context.Context, name string, f File) error {
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	err = b.plain.Put(ctx, name, r, f.Size)
	return errors.Join(err, r.Close())
}

// Delete implements [Sink].
func (b *Bucket) Delete(ctx context.Context, name string) error { return b.plain.Delete(ctx, name) }

// Mark implements [Sink].
func (b *Bucket) Mark(ctx context.Context) ([]byte, error) {
	r, err := b.plain.Get(ctx, MarkName)
	if err == nil {
		defer func() { _ = r.Close() }()
		return io.ReadAll(io.LimitReader(r, 64<<10))
	}
	if !errors.Is(err, objstore.ErrNotFound) {
		return nil, err
	}
	key, err := b.plain.First(ctx)
	if err != nil {
		return nil, err
	}
	if key != "" {
		return nil, fmt.Errorf("%v holds %s but no mirror; use an empty prefix: %w", b.store, key, fs.ErrExist)
	}
	return nil, fs.ErrNotExist
}

// SetMark implements [Sink].
func (b *Bucket) SetMark(ctx context.Context, mark []byte) error {
	return b.plain.Put(ctx, MarkName, strings.NewReader(string(mark)), int64(len(mark)))
}
