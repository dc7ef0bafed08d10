package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, key string) (objstore.Info, error) {
	for a := (attempts{s: s, op: "stat", key: key}); ; {
		info, err := s.inner.Stat(ctx, key)
		if err == nil {
			return info, nil
		}
		if err := a.again(ctx, err, true); err != nil {
			return objstore.Info{}, err
		}
	}
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	for a := (attempts{s: s, op: "delete", key: key}); ; {
		err := s.inner.Delete(ctx, key)
		if err == nil {
			return nil
		}
		if err := a.again(ctx, err, true); err != nil {
			return err
		}
	}
}

// List implements objstore.Store. After a failure it goes on behind the last
// object that it yielded.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		last := after
		for a := (attempts{s: s, op: "list", key: prefix}); ; {
			var failed error
			for info, err := range s.inner.List(ctx, prefix, last) {
				if err != nil {
					failed = err
					break
				}
				last = info.Key
				if !yield(info, nil) {
					return
				}
			}
			if failed == nil {
				return
			}
			if err := a.again(ctx, failed, true); err != nil {
				yield(objstore.Info{}, err)
				return
			}
		}
	}
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	unsure := false // an earlier attempt may have been applied
	for a := (attempts{s: s, op: "put", key: key}); ; {
		info, err := s.inner.Put(ctx, key, body, c)
		if err == nil {
			return info, nil
		}
		if unsure && c.IfAbsent && objstore.OutcomeOf(err) == objstore.OutcomePrecondition {
			return s.compare(ctx, key, body)
		}
		unsure = unsure || objstore.OutcomeOf(err) == objstore.OutcomeUnknown
		if err := a.again(ctx, err, c.IfVersion == ""); err != nil {
			if unsure && objstore.OutcomeOf(err) != objstore.OutcomeUnknown {
				err = fmt.Errorf("%w (an earlier attempt may have been applied: %w)", err, objstore.ErrUnknownOutcome)
			}
			return objstore.Info{}, err
		}
	}
}

// compare decides what a taken key means after an attempt of unknown outcome:
// success if it holds the body, else that somebody else has it. A comparison
// that fails leaves the outcome unknown.
func (s *Store) compare(ctx context.Context, key string, body *io.SectionReader) (objstore.Info, error) {
	rc, info, err := s.Get(ctx, key, objstore.Range{})
	if err != nil {
		return objstore.Info{}, fmt.Errorf("put %s: compare with what is there: %w: %w", key, objstore.ErrUnknownOutcome, err)
	}
	defer rc.Close()
	equal := info.Size == body.Size()
	if equal {
		equal, err = sameBytes(rc, io.NewSectionReader(body, 0, body.Size()))
	}
	switch {
	case err != nil:
		return objstore.Info{}, fmt.Errorf("put %s: compare with what is there: %w: %w", key, objstore.ErrUnknownOutcome, err)
	case !equal:
		return objstore.Info{}, fmt.Errorf("put %s: the key holds other bytes: %w", key, objstore.ErrPrecondition)
	}
	return info, nil
}

// sameBytes reports whether two readers give the same bytes.
func sameBytes(a, b io.Reader) (bool, error) {
	const blockBytes = 64 << 10
	bufA, bufB := make([]byte, blockBytes), make([]byte, blockBytes)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, errors.Join(failure(errA), failure(errB))
		}
		if errA != nil || errB != nil {
			return true, errors.Join(failure(errA), failure(errB))
		}
	}
}

// failure drops the errors by which ReadFull reports the end.
func failure(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
