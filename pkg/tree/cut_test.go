package tree

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// splitRun is the rule of FORMAT.md, word for word: the lengths of the pieces
// of a run.
func splitRun(ranks []uint32, most int) []int {
	if len(ranks) <= most {
		return []int{len(ranks)}
	}
	low := 0
	for i, r := range ranks[:len(ranks)-1] {
		if r < ranks[low] {
			low = i
		}
	}
	return append(splitRun(ranks[:low+1], most), splitRun(ranks[low+1:], most)...)
}

func hashOf(rank uint32, natural bool) (h keyHash) {
	if !natural {
		h[0] = 1
	}
	h[8], h[9], h[10] = byte(rank>>16), byte(rank>>8), byte(rank)
	return h
}

func TestCutterFollowsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "max")
		// Few distinct ranks, so that there are ties.
		runs := rapid.SliceOfN(rapid.SliceOfN(rapid.Uint32Range(0, 12), 1, 40), 0, 4).Draw(t, "runs")
		keep := rapid.Bool().Draw(t, "items are kept")
		inner := rapid.Bool().Draw(t, "it is known what is no end")
		closed := rapid.Bool().Draw(t, "last run ends naturally")

		var want, got []int
		hashes := map[string]keyHash{}
		c := &cutter{max: most, hash: func(key string) keyHash { return hashes[key] }, emit: func(items []item) (bool, error) {
			got = append(got, len(items))
			return keep, nil
		}}
		for i, run := range runs {
			want = append(want, splitRun(run, most)...)
			for j, rank := range run {
				natural := j == len(run)-1 && (closed || i < len(runs)-1)
				it := item{key: fmt.Sprint(len(hashes))}
				hashes[it.key] = hashOf(rank, natural)
				if err := c.add(&it, inner && !natural); err != nil {
					t.Fatal(err)
				}
				if len(c.items) > most {
					t.Fatalf("%d items held, limit %d", len(c.items), most)
				}
			}
		}
		if err := c.flush(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pieces %v, want %v", got, want)
		}
	})
}
