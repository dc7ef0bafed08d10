package retry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Get implements objstore.Store. The reader continues by itself when the body
// breaks off, until the object is found to be another or the deadline passes.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	a := &attempts{s: s, op: "get", key: key}
	rc, info, err := s.open(ctx, a, key, r)
	if err != nil {
		return nil, objstore.Info{}, err
	}
	start, length, err := r.Resolve(info.Size)
	if err != nil {
		rc.Close()
		return nil, objstore.Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	return &body{s: s, ctx: ctx, key: key, info: info, attempts: a, rc: rc, offset: start, left: length}, info, nil
}

func (s *Store) open(ctx context.Context, a *attempts, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	for {
		rc, info, err := s.inner.Get(ctx, key, r)
		if err == nil {
			return rc, info, nil
		}
		if err := a.again(ctx, err, true); err != nil {
			return nil, objstore.Info{}, err
		}
	}
}

// body reads the rest of a range, over as many requests as that takes.
type body struct {
	s        *Store
	ctx      context.Context //nolint:containedctx // belongs to the Get, as the reader does
	key      string
	info     objstore.Info
	attempts *attempts
	rc       io.ReadCloser
	offset   int64 // of the next byte in the object
	left     int64 // bytes to come
	err      error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.err != nil {
			return 0, b.err
		}
		if b.left == 0 {
			return 0, io.EOF
		}
		n, err := b.rc.Read(p[:min(int64(len(p)), b.left)])
		b.offset += int64(n)
		b.left -= int64(n)
		if n > 0 {
			b.attempts.n = 0 // progress: the next wait is a short one again
		}
		if err != nil && b.left > 0 {
			b.err = b.reopen(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// reopen continues after a body broke off with err.
func (b *body) reopen(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	err = fmt.Errorf("get %s: body broke off at byte %d: %w", b.key, b.offset, err)
	if objstore.OutcomeOf(err) == objstore.OutcomeFailed {
		err = fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, err)
	}
	if err := b.attempts.again(b.ctx, err, true); err != nil {
		return err
	}
	rc, info, err := b.s.open(b.ctx, b.attempts, b.key, objstore.Range{Offset: b.offset, Length: b.left})
	if err != nil {
		return err
	}
	if info.Size != b.info.Size || info.Version != b.info.Version {
		rc.Close()
		return fmt.Errorf("get %s: the object was replaced while it was read; read it again: %w", b.key, objstore.ErrUnknownOutcome)
	}
	old := b.rc
	b.rc = rc
	old.Close() // of a body that is broken already
	return nil
}

// Close implements io.Closer.
func (b *body) Close() error { return b.rc.Close() }
