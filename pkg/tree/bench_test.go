package tree

import (
	"fmt"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// benchTree is a directory of 100,000 files, each written by an operation.
func benchTree(b *testing.B, s chunk.Store) Root {
	b.Helper()
	root, err := ApplySorted(b.Context(), s, Root{}, benchEdits(1, Attrs{Time: at(1).Time, Op: OpID{1}}))
	if err != nil {
		b.Fatal(err)
	}
	return root
}

// benchEdits puts every step-th of 100,000 files.
func benchEdits(step int, a Attrs) func(func(Edit, error) bool) {
	return func(yield func(Edit, error) bool) {
		i := 0
		for path, e := range nested(100_000) {
			e.Attrs = a
			if i++; i%step == 0 && !yield(Edit{Op: Put, Path: path, Entry: e, SetAttrs: true}, nil) {
				return
			}
		}
	}
}

func BenchmarkApplySorted100k(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		benchTree(b, &chunk.Mem{})
	}
}

func BenchmarkApply(b *testing.B) {
	s := &chunk.Mem{}
	base := benchTree(b, s)
	for _, step := range []int{1, 10, 1000} {
		var edits []Edit
		for e, err := range benchEdits(step, at(2)) {
			if err != nil {
				b.Fatal(err)
			}
			edits = append(edits, e)
		}
		b.Run(fmt.Sprintf("%d of 100000", 100_000/step), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Apply(b.Context(), s, base, edits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWalk100k(b *testing.B) {
	s := &chunk.Mem{}
	root := benchTree(b, s)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range Open(s, root).Walk(b.Context(), WalkOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100_000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	s := &chunk.Mem{}
	base := benchTree(b, s)
	ours, err := Apply(b.Context(), s, base, []Edit{{Op: Put, Path: "00/010/a", Entry: file(1)}})
	if err != nil {
		b.Fatal(err)
	}
	theirs, err := Apply(b.Context(), s, base, []Edit{{Op: Put, Path: "00/090/b", Entry: file(2)}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, conflicts, err := Merge(b.Context(), s, base, ours, theirs); err != nil || len(conflicts) > 0 {
			b.Fatal(conflicts, err)
		}
	}
}
