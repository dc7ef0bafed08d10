package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
)

// histories are branches of inputs, oldest first, each commit written as its
// origins: "a1" comes from the commit a1 of a.
func histories(branches ...string) (inputs []InputHead, past Past) {
	var all [][]Head
	for i, b := range branches {
		var heads []Head
		for k, word := range strings.Fields(b) {
			name, number := word[:1], int(word[1]-'0')
			c := commit.Commit{Time: testTime(0).Add(time.Duration(number) * time.Hour)}
			c.Origins = []commit.Ref{{Repo: name, Branch: "main", Commit: commit.ID{word[0], word[1]}}}
			heads = append(heads, Head{ID: commit.ID{byte(i + 1), byte(k + 1)}, Commit: c})
		}
		slices.Reverse(heads)
		all = append(all, heads)
		inputs = append(inputs, InputHead{Name: fmt.Sprint("in", i), Repo: fmt.Sprint("r", i), Branch: "main", Head: heads[0]})
	}
	return inputs, func(input, back int) (Head, bool, error) {
		if back >= len(all[input]) {
			return Head{}, false, nil
		}
		return all[input][back], true, nil
	}
}

// TestNextGoesThroughEveryCommit walks histories to their end.
func TestNextGoesThroughEveryCommit(t *testing.T) {
	for _, c := range []struct {
		branches []string
		want     string // numbers of commits, by evaluation
		waits    bool
	}{
		{branches: []string{"a1 a2 a3"}, want: "1 2 3"},
		{branches: []string{"a1 a3", "b2 b4"}, want: "11 21 22"},
		{branches: []string{"a1 a2 a3", "a1 a2 a3"}, want: "11 22 33"}, // a diamond
		{branches: []string{"a1 a2 a3", "a1 a3"}, want: "11 32"},       // one stage passed over a2
		{branches: []string{"a2 a3", "a1 a2"}, want: "12"},
		{branches: []string{"a1 a2", "a3"}, want: "", waits: true},
		{branches: []string{"a1 a2", "a1 a2", "b1 b2"}, want: "111 221 222"},
	} {
		inputs, past := histories(c.branches...)
		var done []commit.Input
		var got []string
		waited := false
		for range 10 {
			next, waits, err := Next(inputs, done, past)
			if err != nil {
				t.Fatal(err)
			}
			if waited = waits != ""; waited {
				break
			}
			step := ""
			var now []commit.Input
			for _, in := range next {
				step += fmt.Sprint(in.Head.ID[1])
				now = append(now, commit.Input{Name: in.Name, Ref: commit.Ref{Repo: in.Repo, Branch: in.Branch, Commit: in.Head.ID}})
			}
			if slices.Equal(now, done) {
				break
			}
			got, done = append(got, step), now
		}
		if s := strings.Join(got, " "); s != c.want || waited != c.waits {
			t.Errorf("%q: evaluations %s, waits %v", c.branches, s, waited)
		}
	}
}

// TestNextWhereHistoryHasChanged: if what was done is not in the history any
// more, or is of another input, the newest is next.
func TestNextWhereHistoryHasChanged(t *testing.T) {
	inputs, past := histories("a1 a2 a3")
	for _, done := range [][]commit.Input{
		{{Name: "in0", Ref: commit.Ref{Repo: "r0", Commit: commit.ID{9}}}},
		{{Name: "other", Ref: commit.Ref{Repo: "r0", Commit: commit.ID{1, 1}}}},
	} {
		next, _, err := Next(inputs, done, past)
		if err != nil || next[0].Head.ID != inputs[0].Head.ID {
			t.Errorf("after %v: %v, %v", done, next[0].Head.ID, err)
		}
	}
	inputs[0].Head = Head{}
	if next, waits, err := Next(inputs, nil, past); err != nil || waits != "" || !next[0].Head.ID.IsZero() {
		t.Errorf("without a commit: %v, %q, %v", next, waits, err)
	}
}

func TestSkipped(t *testing.T) {
	inputs, past := histories("a1 a2 a3 a4 a5")
	inputs[0].Head, _, _ = past(0, 1)
	at := func(n byte) []commit.Input {
		return []commit.Input{{Name: "in0", Ref: commit.Ref{Repo: "r0", Commit: commit.ID{1, n}}}}
	}
	for n, want := range map[byte]string{1: "2 3", 2: "3", 3: "", 4: "", 9: ""} {
		passed, err := Skipped(inputs, at(n), past)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range passed {
			got = append(got, fmt.Sprint(p.Commit[1]))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("from %d to 4: %s passed over, want %s", n, s, want)
		}
	}
	if passed, err := Skipped(inputs, nil, past); err != nil || len(passed) > 0 {
		t.Errorf("with nothing done: %v, %v", passed, err)
	}
}
