package engine

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
)

// Next returns the versions of a pipeline's inputs that it evaluates next if it
// is to evaluate every commit, in order: the ones that follow what done says of
// the newest evaluation, one commit further in one input, or as few more as it
// takes for the inputs to fit together (see [Align]). Of several inputs the one
// with the oldest next commit goes on. If there is no next, it returns the
// versions of done, or the newest where done is not in an input's history. waits
// says for people why none fit yet; an error is one of past.
func Next(inputs []InputHead, done []commit.Input, past Past) (next []InputHead, waits string, err error) {
	w := walk{past: past, at: slices.Clone(inputs)}
	todo := make([][]Head, len(inputs)) // newest first
	first := len(done) == 0
	for i, in := range inputs {
		if in.Head.ID.IsZero() {
			return inputs, "", nil
		}
		if !first && !sameInput(in, done, i) { // the spec reads something else by now
			return Align(inputs, past)
		}
		if todo[i], err = between(in.Head, i, done, past); err != nil {
			return nil, "", err
		}
		if n := len(todo[i]) - 1; first {
			w.at[i].Head, todo[i] = todo[i][n], todo[i][:n]
		} else if w.at[i].Head, err = doneHead(todo[i], i, done, past); err != nil {
			return nil, "", err
		}
	}
	start := slices.Clone(w.at)
	for more := first || w.advance(todo); more; more = w.advance(todo) {
		if i, _, _ := w.odds(); i < 0 {
			return w.at, "", nil
		}
	}
	if first {
		return Align(inputs, past)
	}
	return start, "", nil
}

// sameInput reports whether the evaluation of done read what the input is.
func sameInput(in InputHead, done []commit.Input, i int) bool {
	return i < len(done) && done[i].Name == in.Name && done[i].Repo == in.Repo
}

// between returns the commits of an input from its head back to the one after
// that of done, newest first: the head alone if that is not in its history, and
// all if nothing is done.
func between(head Head, i int, done []commit.Input, past Past) ([]Head, error) {
	heads := []Head{}
	for back, h := 0, head; ; {
		if len(done) > 0 && h.ID == done[i].Commit {
			return heads, nil
		}
		heads = append(heads, h)
		back++
		next, ok, err := past(i, back)
		if err != nil {
			return nil, err
		}
		if !ok && len(done) > 0 {
			return heads[:1], nil
		}
		if !ok {
			return heads, nil
		}
		h = next
	}
}

// doneHead returns the version that done says, where the commits after it are
// todo: it is the one before them, or the head itself.
func doneHead(todo []Head, i int, done []commit.Input, past Past) (Head, error) {
	h, ok, err := past(i, len(todo))
	if err != nil || ok && h.ID == done[i].Commit {
		return h, err
	}
	return todo[0], nil // it is not in the history: the head is all there is
}

// advance goes on by one commit in the input whose next one is the oldest. It
// reports false if there is none.
func (w *walk) advance(todo [][]Head) bool {
	at := -1
	for i, heads := range todo {
		if len(heads) > 0 && (at < 0 || heads[len(heads)-1].Commit.Time.Before(todo[at][len(todo[at])-1].Commit.Time)) {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	last := len(todo[at]) - 1
	w.at[at].Head, todo[at] = todo[at][last], todo[at][:last]
	return true
}

// SkippedMax is how many commits of one input are recorded as passed over.
const SkippedMax = 1000

// Skipped returns the commits of the inputs that an evaluation of them passes
// over: those between what done says of the newest evaluation and the inputs,
// oldest first. It looks back no further than SkippedMax commits of each, and
// names none of an input where done is further back, or not in its history.
func Skipped(inputs []InputHead, done []commit.Input, past Past) ([]commit.Input, error) {
	var all []commit.Input
	for i, in := range inputs {
		if !sameInput(in, done, i) || in.Head.ID == done[i].Commit {
			continue
		}
		var passed []commit.Input
		below, found := false, false
		for back := 0; back <= SkippedMax && !found; back++ {
			h, ok, err := past(i, back)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			if found = h.ID == done[i].Commit; below && !found {
				passed = append(passed, commit.Input{Name: in.Name, Ref: commit.Ref{Repo: in.Repo, Branch: in.Branch, Commit: h.ID}})
			}
			below = below || h.ID == in.Head.ID
		}
		if found {
			slices.Reverse(passed)
			all = append(all, passed...)
		}
	}
	return all, nil
}
