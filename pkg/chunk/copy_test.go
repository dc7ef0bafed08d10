package chunk

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
)

// memFile is an io.WriterAt that notices two writes at once, and fails after
// some.
type memFile struct {
	b      []byte
	busy   atomic.Int32
	writes int
	fails  int // which write fails, from 1; 0: none
}

var errFull = errors.New("disk is full")

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if f.busy.Add(1) != 1 {
		return 0, errors.New("two writes at once")
	}
	defer f.busy.Add(-1)
	if f.writes++; f.writes == f.fails {
		return 0, errFull
	}
	return copy(f.b[off:], p), nil
}

// several hands out chunks of a batch in reverse, as a store may.
type several struct{ *Mem }

func (s several) GetMany(ctx context.Context, kind Kind, ids []ID, fn func(int, []byte) error) error {
	for i := range ids {
		i = len(ids) - 1 - i
		b, err := s.Get(ctx, kind, ids[i])
		if err == nil {
			err = fn(i, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestCopyContent(t *testing.T) {
	for _, n := range []int{0, 1, 64, 128, 129, 10_000, 400_000} {
		data := randomBytes(n)
		copy(data[n/2:], make([]byte, n/4)) // equal chunks
		var m Mem
		c := mustWrite(t, &m, listParams(), data)
		for _, r := range []Reader{&m, several{&m}} {
			f := &memFile{b: make([]byte, n)}
			if err := CopyContent(t.Context(), r, f, c); err != nil || !bytes.Equal(f.b, data) {
				t.Errorf("%d bytes through %T: %v, or other bytes", n, r, err)
			}
		}
	}
}

func TestCopyContentFails(t *testing.T) {
	data := randomBytes(100_000)
	var m Mem
	c := mustWrite(t, &m, listParams(), data)
	copyFrom := func(ctx context.Context, r Reader, f *memFile, c Content) error {
		f.b = make([]byte, len(data))
		return CopyContent(ctx, r, f, c)
	}
	for _, at := range []int{1, 7, 500} {
		if err := copyFrom(t.Context(), &m, &memFile{fails: at}, c); !errors.Is(err, errFull) {
			t.Errorf("write %d fails: %v", at, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyFrom(ended, &m, &memFile{}, c); !errors.Is(err, context.Canceled) {
		t.Errorf("context has ended: %v", err)
	}
	if err := copyFrom(t.Context(), &m, &memFile{}, Content{Size: -1}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no content: %v", err)
	}
	var last ID
	err := VisitContent(t.Context(), &m, c, func(kind Kind, id ID, _ int64) error {
		if kind == Data {
			last = id
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.chunks[memKey{Data, last}][0]++
	if err := copyFrom(t.Context(), &m, &memFile{}, c); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a chunk is damaged: %v", err)
	}
	delete(m.chunks, memKey{Data, last})
	if err := copyFrom(t.Context(), &m, &memFile{}, c); !errors.Is(err, ErrNotFound) {
		t.Errorf("a chunk is missing: %v", err)
	}
}
