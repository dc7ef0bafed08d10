package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

func TestOutcomeOf(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("put root: %w", err) }
	tests := []struct {
		err  error
		want objstore.Outcome
	}{
		{nil, objstore.OutcomeOK},
		{wrap(objstore.ErrNotFound), objstore.OutcomeNotFound},
		{wrap(objstore.ErrPrecondition), objstore.OutcomePrecondition},
		{wrap(objstore.ErrThrottled), objstore.OutcomeThrottled},
		{wrap(objstore.ErrUnknownOutcome), objstore.OutcomeUnknown},
		{wrap(context.Canceled), objstore.OutcomeUnknown},
		{wrap(context.DeadlineExceeded), objstore.OutcomeUnknown},
		{wrap(syscall.ENOSPC), objstore.OutcomeFailed},
		{errors.Join(syscall.EIO, objstore.ErrUnknownOutcome), objstore.OutcomeUnknown},
		{errors.Join(objstore.ErrPrecondition, objstore.ErrUnknownOutcome), objstore.OutcomeUnknown},
	}
	for _, tt := range tests {
		if got := objstore.OutcomeOf(tt.err); got != tt.want {
			t.Errorf("OutcomeOf(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestRangeResolve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 40).Draw(t, "size")
		r := objstore.Range{Offset: rapid.Int64Range(-50, 50).Draw(t, "offset"), Length: rapid.Int64Range(-2, 50).Draw(t, "length")}
		start, length, err := r.Resolve(size)
		if bad := r.Length < 0 || size > 0 && r.Offset >= size; bad != errors.Is(err, fs.ErrInvalid) || bad != (err != nil) {
			t.Fatalf("%+v of %d: error %v", r, size, err)
		}
		if err != nil {
			return
		}
		if start < 0 || length < 0 || start+length > size {
			t.Fatalf("%+v of %d: bytes [%d, +%d)", r, size, start, length)
		}
		switch {
		case size == 0:
		case length == 0:
			t.Fatalf("%+v of %d is empty", r, size)
		case r.Offset >= 0 && start != r.Offset, r.Offset < 0 && start != max(0, size+r.Offset):
			t.Fatalf("%+v of %d starts at %d", r, size, start)
		case r.Length == 0 && start+length != size, r.Length > 0 && length != min(r.Length, size-start):
			t.Fatalf("%+v of %d has %d bytes", r, size, length)
		}
	})
}

func TestReadAllHoldsItsLimit(t *testing.T) {
	s := mem.New(mem.Options{})
	if _, err := s.Put(t.Context(), "k", objstore.Bytes([]byte("12345")), objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	b, info, err := objstore.ReadAll(t.Context(), s, "k", objstore.Range{}, 5)
	if err != nil || string(b) != "12345" || info.Size != 5 {
		t.Errorf("at the limit: %q, %+v, %v", b, info, err)
	}
	if _, _, err := objstore.ReadAll(t.Context(), s, "k", objstore.Range{}, 4); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("over the limit: %v", err)
	}
}
