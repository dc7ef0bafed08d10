package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

// Outside reads the objects that references name, with the usual credentials of
// whoever runs this process (see [Bucket]): a chunk.Outside.
type Outside struct {
	o *Options

	mu      sync.Mutex
	buckets map[string]*s3.Store
}

var _ chunk.Outside = (*Outside)(nil)

// NewOutside returns an Outside that opens buckets as o says by then.
func NewOutside(o *Options) *Outside { return &Outside{o: o, buckets: map[string]*s3.Store{}} }

// ReadOutside implements chunk.Outside.
func (p *Outside) ReadOutside(ctx context.Context, r chunk.Reference, offset, size int64) ([]byte, error) {
	b, err := p.bucket(ctx, r.Bucket)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r, err)
	}
	got, err := b.Plain().ReadPart(ctx, s3.Object{Key: r.Key, ETag: r.ETag, ID: r.ID}, offset, size)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil, fmt.Errorf("%s is gone, and must be put back or imported again: %w", r, chunk.ErrReference)
	case errors.Is(err, objstore.ErrPrecondition), errors.Is(err, fs.ErrInvalid):
		return nil, fmt.Errorf("%s has changed, its etag was %s, and must be imported again: %w", r, r.ETag, chunk.ErrReference)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", r, err)
	}
	return got, nil
}

// bucket opens a bucket once. A failure is not remembered.
func (p *Outside) bucket(ctx context.Context, name string) (*s3.Store, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.buckets[name]; b != nil {
		return b, nil
	}
	b, err := Bucket(ctx, "s3://"+name, *p.o)
	if err != nil {
		return nil, err
	}
	p.buckets[name] = b
	return b, nil
}
