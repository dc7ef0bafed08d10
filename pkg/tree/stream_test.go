package tree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// sortedEdits returns edits in the order that ApplySorted wants, those of one path
// in the order in which they were.
func sortedEdits(edits []Edit) []Edit {
	path := func(e Edit) string {
		_, isDir, _ := e.place() // what is not valid is refused later
		return strings.TrimSuffix(e.Path, "/") + map[bool]string{true: "/"}[isDir]
	}
	sorted := slices.Clone(edits)
	slices.SortStableFunc(sorted, func(a, b Edit) int { return cmp.Compare(path(a), path(b)) })
	return sorted
}

func sequence(edits []Edit, last error) iter.Seq2[Edit, error] {
	return func(yield func(Edit, error) bool) {
		for _, e := range edits {
			if !yield(e, nil) {
				return
			}
		}
		if last != nil {
			yield(Edit{}, last)
		}
	}
}

// checkSorted holds ApplySorted against Apply. What the tests of this package
// edit with apply goes through it.
func checkSorted(t testing.TB, s chunk.Store, base Root, edits []Edit) {
	t.Helper()
	edits = sortedEdits(edits)
	want, err := Apply(t.Context(), s, base, edits)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ApplySorted(t.Context(), s, base, sequence(edits, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("in order: %+v, want %+v, after %d edits", got, want, len(edits))
	}
}

func TestApplySortedRefuses(t *testing.T) {
	s := &chunk.Mem{}
	put := func(path string) Edit { return Edit{Op: Put, Path: path, Entry: file(1)} }
	broken := errors.New("the source is broken")
	for _, tt := range []struct {
		name  string
		edits []Edit
		last  error
		want  error
	}{
		{"names out of order", []Edit{put("b"), put("a")}, nil, fs.ErrInvalid},
		{"back to a directory", []Edit{put("a/x"), put("b"), put("a/y")}, nil, fs.ErrInvalid},
		{"a directory after what is in it", []Edit{put("a/x"), {Op: DeleteDir, Path: "a"}}, nil, fs.ErrInvalid},
		{"a bad path", []Edit{put("a"), put("b//c")}, nil, fs.ErrInvalid},
		{"a bad entry", []Edit{put("a/b"), {Op: Put, Path: "a/c"}}, nil, fs.ErrInvalid},
		{"an error at once", nil, broken, broken},
		{"an error inside", []Edit{put("a/b/c"), put("a/b/d")}, broken, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if root, err := ApplySorted(t.Context(), s, Root{}, sequence(tt.edits, tt.last)); !errors.Is(err, tt.want) {
				t.Errorf("%+v, %v; want %v", root, err, tt.want)
			}
		})
	}
}

// forgetful is a store that keeps only what it is asked to.
type forgetful struct {
	discard
	peak uint64
	puts int
}

func (f *forgetful) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	if f.puts++; f.puts%256 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		f.peak = max(f.peak, m.HeapAlloc)
	}
	return f.discard.Put(ctx, kind, data)
}

// TestApplySortedIsFlat puts many files, in one directory and in many, into an
// empty one: what is in memory does not grow with them.
func TestApplySortedIsFlat(t *testing.T) {
	for name, files := range map[string]func(int) func(func(string, Entry) bool){"flat": flat, "nested": nested} {
		t.Run(name, func(t *testing.T) {
			const n = 300_000
			edits := func(yield func(Edit, error) bool) {
				for path, e := range files(n) {
					if !yield(Edit{Op: Put, Path: path, Entry: e}, nil) {
						return
					}
				}
			}
			f := &forgetful{}
			root, err := ApplySorted(t.Context(), f, Root{}, edits)
			if err != nil {
				t.Fatal(err)
			}
			if root.Files != n {
				t.Errorf("%d files", root.Files)
			}
			if f.peak > 24<<20 {
				t.Errorf("%d bytes of heap for %d files", f.peak, n)
			}
			t.Logf("%d nodes, at most %d KiB of heap", f.puts, f.peak>>10)
		})
	}
}
