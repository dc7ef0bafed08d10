package engine

import (
	"fmt"

	"github.com/dvx-io/dvx/pkg/commit"
)

// Past returns the commit that lies back commits before the head of the input
// with that number, following first parents; false if there is none, or none
// that is of interest any more.
type Past func(input, back int) (Head, bool, error)

// Align returns the newest versions of a pipeline's inputs that fit together:
// wherever two of them derive from one branch, directly or through pipelines,
// they derive from one commit of it. So a job of B×C→D, both made from A, sees
// B's and C's outputs of one version of A, in whichever order they came. It
// goes back in the history of the input that is ahead. If no versions fit,
// problem says what they are at odds about, for people: the pipeline waits for
// the inputs that are behind. An error is one of past.
func Align(inputs []InputHead, past Past) (aligned []InputHead, problem string, err error) {
	w := walk{past: past, back: make([]int, len(inputs)), at: append([]InputHead(nil), inputs...)}
	for {
		i, j, about := w.odds()
		if i < 0 {
			return w.at, "", nil
		}
		ok, err := w.meet(i, j, about)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			return inputs, fmt.Sprintf("inputs %s and %s are made from different versions of %s@%s: it waits until they are made from one",
				inputs[i].Name, inputs[j].Name, about.repo, about.branch), nil
		}
	}
}

// walk is where in the histories of the inputs one search for fitting versions is.
type walk struct {
	past Past
	back []int
	at   []InputHead
}

// odds returns two inputs that derive from different commits of one branch,
// and that branch; -1 if there are none.
func (w *walk) odds() (i, j int, about ref) {
	type seen struct {
		input  int
		commit commit.ID
	}
	first := map[ref]seen{}
	for k, in := range w.at {
		for _, o := range in.origins() {
			at := ref{o.Repo, o.Branch}
			if s, ok := first[at]; !ok {
				first[at] = seen{k, o.Commit}
			} else if s.commit != o.Commit {
				return s.input, k, at
			}
		}
	}
	return -1, -1, ref{}
}

// meet steps back the one of two inputs that can come to derive from the same
// commit of a branch as the other, or else both by one. It reports false if a
// history has ended.
func (w *walk) meet(i, j int, about ref) (bool, error) {
	for _, pair := range [][2]int{{i, j}, {j, i}} {
		want := originAt(w.at[pair[1]], about)
		back, head, ok, err := w.find(pair[0], func(h InputHead) bool { return originAt(h, about) == want })
		if err != nil {
			return false, err
		}
		if ok {
			w.back[pair[0]], w.at[pair[0]].Head = back, head
			return true, nil
		}
	}
	for _, k := range []int{i, j} {
		head, ok, err := w.past(k, w.back[k]+1)
		if err != nil || !ok {
			return false, err
		}
		w.back[k]++
		w.at[k].Head = head
	}
	return true, nil
}

// find looks in the history of an input, from where it is, for the newest
// version that matches.
func (w *walk) find(k int, match func(InputHead) bool) (back int, h Head, ok bool, err error) {
	for back = w.back[k] + 1; ; back++ {
		h, ok, err = w.past(k, back)
		if err != nil || !ok {
			return 0, Head{}, false, err
		}
		in := w.at[k]
		if in.Head = h; match(in) {
			return back, h, true, nil
		}
	}
}

// originAt returns the commit of a branch from which an input derives.
func originAt(in InputHead, at ref) commit.ID {
	for _, o := range in.origins() {
		if o.Repo == at.repo && o.Branch == at.branch {
			return o.Commit
		}
	}
	return commit.ID{}
}

// origins returns the commits by users from which an input comes: what its
// commit says, or the commit itself.
func (in InputHead) origins() []commit.Ref {
	if in.Head.ID.IsZero() {
		return nil
	}
	if o := in.Head.Commit.Origins; len(o) > 0 {
		return o
	}
	return []commit.Ref{{Repo: in.Repo, Branch: in.Branch, Commit: in.Head.ID}}
}
