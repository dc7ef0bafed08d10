package tree

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// flat yields n files of one directory, nested n files in n/1000 directories,
// both in order.
func flat(n int) func(yield func(string, Entry) bool) {
	return func(yield func(string, Entry) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("file-%08d", i), Entry{Kind: File, Content: chunk.Content{ID: chunk.ID{1, byte(i), byte(i >> 8), byte(i >> 16)}, Size: 1}}) {
				return
			}
		}
	}
}

func nested(n int) func(yield func(string, Entry) bool) {
	return func(yield func(string, Entry) bool) {
		i := 0
		for path, e := range flat(n) {
			if !yield(fmt.Sprintf("%02d/%03d/%s", i/100_000, i/1000, path), e) {
				return
			}
			i++
		}
	}
}

// TestCostFollowsChange edits one file among very many and counts the nodes
// that the edit writes and the comparison reads.
func TestCostFollowsChange(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		n    int
		seq  func(n int) func(yield func(string, Entry) bool)
		path string
	}{
		{"flat", 1_000_000, flat, "file-00654321"},
		{"nested", 200_000, nested, "01/154/file-00154321"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &chunk.Mem{}
			start := time.Now()
			a, err := Build(ctx, s, tt.seq(tt.n))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("built %d entries in %v", tt.n, time.Since(start))

			reads0, writes0 := s.Counts()
			b, err := Apply(ctx, s, a, []Edit{{Op: Put, Path: tt.path, Entry: Entry{Kind: File, Exec: true}}})
			if err != nil {
				t.Fatal(err)
			}
			reads1, writes1 := s.Counts()
			logN := int(math.Log2(float64(tt.n))) // nodes hold 256 entries, so the depth is far less
			if got := reads1 - reads0; got > logN {
				t.Errorf("edit read %d nodes", got)
			}
			if got := writes1 - writes0; got > logN {
				t.Errorf("edit wrote %d nodes", got)
			}

			best := time.Duration(math.MaxInt64)
			var changes []Change
			const limit = 20 * time.Millisecond
			compared := 0
			for ; compared < 5 || best > limit && compared < 100; compared++ { // a busy machine may need more
				start = time.Now()
				changes = diff(t, s, a, b, DiffOptions{})
				best = min(best, time.Since(start))
			}
			if len(changes) != 1 || changes[0].Path != tt.path || changes[0].Kind != Modified {
				t.Errorf("changes %v", changes)
			}
			reads2, _ := s.Counts()
			if got := (reads2 - reads1) / compared; got > logN {
				t.Errorf("comparison read %d nodes", got)
			}
			if best > limit {
				t.Errorf("comparison took %v", best)
			}
			t.Logf("edit: %d reads, %d writes; comparison: %d reads, %v", reads1-reads0, writes1-writes0, (reads2-reads1)/compared, best)
			if err := VerifyChange(ctx, s, a, b); err != nil {
				t.Error(err)
			}
			if reads3, _ := s.Counts(); reads3-reads2 > logN {
				t.Errorf("verifying the change read %d nodes", reads3-reads2)
			}
			checkMerge(t, s, a, b, logN)
			if tt.name == "flat" {
				checkSkipping(t, s, a)
			}
		})
	}
}

// checkMerge merges a change with another, far from it.
func checkMerge(t *testing.T, s *chunk.Mem, base, ours Root, logN int) {
	theirs, err := Apply(t.Context(), s, base, []Edit{{Op: Put, Path: "a new file", Entry: Entry{Kind: File}}})
	if err != nil {
		t.Fatal(err)
	}
	reads0, writes0 := s.Counts()
	merged, conflicts, err := Merge(t.Context(), s, base, ours, theirs)
	reads1, writes1 := s.Counts()
	if err != nil || len(conflicts) > 0 || merged.Files != base.Files+1 {
		t.Fatalf("%d files, conflicts %v, %v", merged.Files, conflicts, err)
	}
	if reads1-reads0 > 2*logN || writes1-writes0 > logN {
		t.Errorf("merging read %d nodes and wrote %d", reads1-reads0, writes1-writes0)
	}
	t.Logf("merge: %d reads, %d writes", reads1-reads0, writes1-writes0)
}

// checkSkipping looks for paths near the end of a large directory.
func checkSkipping(t *testing.T, s *chunk.Mem, root Root) {
	reads0, _ := s.Counts()
	got := walked(t, s, root, WalkOptions{Prefix: "file-009", After: "file-00999997"})
	reads1, _ := s.Counts()
	if len(got) != 2 || reads1-reads0 > 6 {
		t.Errorf("found %q with %d reads", got, reads1-reads0)
	}
}

func BenchmarkBuild100k(b *testing.B) {
	for b.Loop() {
		if _, err := Build(context.Background(), &chunk.Mem{}, flat(100_000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeNode(b *testing.B) {
	n := &node{}
	for path, e := range flat(256) {
		e.Name = path
		n.items = append(n.items, entryItem(e))
	}
	data := appendNode(nil, n, stored)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := decodeNode(data); err != nil {
			b.Fatal(err)
		}
	}
}
