package commit

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Step is a point in a branch's history at which something changed, or may
// have: between two steps nothing did that was asked for.
type Step struct {
	ID     ID        // the version before the change; zero before the first one
	Commit Commit    // that version; its zero value before the first one
	Time   time.Time // of the commit that made the change
	Op     string    // and its operation
}

// StepsOptions select what of a directory a history is asked for.
type StepsOptions struct {
	// Prefix is that of the paths, as a string; "" means all.
	Prefix string
	// Exact means the one path Prefix, a directory's marker if it ends in "/".
	Exact bool
}

// Steps yields, newest first, where in the history of first parents from the
// commit head on the selected paths were written. Where commits have an index
// (see [Index]) its cost follows the steps; those without one are each a step,
// whatever they changed. The last step has the zero ID. A zero head has none.
// The sequence ends after an error.
func Steps(ctx context.Context, r chunk.Reader, head ID, o StepsOptions) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if head.IsZero() {
			return
		}
		w := &stepper{r: r, o: o, yield: yield}
		at := Entry{ID: head}
		var err error
		if at.Commit, err = Load(ctx, r, head); err == nil {
			for more := true; more && err == nil; {
				at, more, err = w.next(ctx, at)
			}
		}
		if err != nil {
			yield(Step{}, err)
		}
	}
}

type stepper struct {
	r     chunk.Reader
	o     StepsOptions
	yield func(Step, error) bool
}

// next yields the steps from a commit on, as far as its index goes, or the one
// to its parent. It returns the commit to go on from.
func (w *stepper) next(ctx context.Context, at Entry) (Entry, bool, error) {
	if at.Commit.Changes != nil {
		return w.indexed(ctx, at)
	}
	s := Step{Time: at.Commit.Time, Op: at.Commit.Op}
	if len(at.Commit.Parents) == 0 {
		w.yield(s, nil)
		return Entry{}, false, nil
	}
	var err error
	s.ID = at.Commit.Parents[0]
	if s.Commit, err = Load(ctx, w.r, s.ID); err != nil {
		return Entry{}, false, err
	}
	return Entry{s.ID, s.Commit}, w.yield(s, nil), nil
}

// indexed yields the steps that an index has. The newest change before a
// version is always marked there: nothing newer can have taken its place.
func (w *stepper) indexed(ctx context.Context, at Entry) (Entry, bool, error) {
	since := at.Commit.Changes.Since
	var known tree.Root
	todo := markHeap{seen: map[ID]bool{}}
	for at.ID != since {
		index := at.Commit.Changes
		if index == nil || index.Since != since {
			return at, false, fmt.Errorf("commit %v: its index does not begin with %v: %w", at.ID.Short(), since.Short(), chunk.ErrCorrupt)
		}
		if err := w.gather(ctx, known, index.Tree, &todo); err != nil {
			return at, false, fmt.Errorf("index of commit %v: %w", at.ID.Short(), err)
		}
		known = index.Tree
		if todo.Len() == 0 {
			at.ID = since
			var err error
			at.Commit, err = Load(ctx, w.r, since)
			return at, err == nil, err
		}
		m := heap.Pop(&todo).(mark)
		if m.time.After(at.Commit.Time) {
			return at, false, fmt.Errorf("commit %v: its index has a change of %v: %w", at.ID.Short(), m.time, chunk.ErrCorrupt)
		}
		before, err := Load(ctx, w.r, m.before)
		if err != nil {
			return at, false, err
		}
		if err := checkOlder(m.before, before.Time, at.Commit); err != nil {
			return at, false, err
		}
		at = Entry{m.before, before}
		if !w.yield(Step{ID: at.ID, Commit: before, Time: m.time, Op: fmt.Sprintf("%x", m.op)}, nil) {
			return at, false, nil
		}
	}
	return at, true, nil
}

// gather adds the marks of what was asked for that an index has and a newer
// one had not.
func (w *stepper) gather(ctx context.Context, newer, index tree.Root, todo *markHeap) error {
	t := tree.Open(w.r, index)
	for i := range w.o.Prefix {
		if w.o.Prefix[i] != '/' {
			continue
		}
		if err := w.lookup(ctx, t, w.o.Prefix[:i+1], todo); err != nil {
			return err
		}
	}
	if w.o.Exact {
		if strings.HasSuffix(w.o.Prefix, "/") {
			return nil // it is its own last directory
		}
		return w.lookup(ctx, t, w.o.Prefix, todo)
	}
	o := tree.DiffOptions{Storage: true, Expand: true, Prefix: w.o.Prefix}
	for ch, err := range tree.Diff(ctx, w.r, newer, w.r, index, o) {
		if err == nil && ch.Kind != tree.Removed {
			err = todo.add(&ch.New)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lookup adds the marks at one path, if there are any.
func (w *stepper) lookup(ctx context.Context, t *tree.Tree, path string, todo *markHeap) error {
	if tree.CheckPath(path) != nil {
		return nil // which no directory has
	}
	e, err := t.Find(ctx, path)
	if err != nil || e == nil {
		return err
	}
	return todo.add(e)
}

// markHeap holds marks, the newest first, one for each version that they name.
type markHeap struct {
	marks []mark
	seen  map[ID]bool
}

// add adds the marks of an entry.
func (h *markHeap) add(e *tree.Entry) error {
	all := []*tree.Attrs{&e.Attrs}
	if e.Marker != nil {
		all = append(all, &e.Marker.Attrs)
	}
	for _, a := range all {
		m, ok, err := readMark(a)
		if err != nil {
			return err
		}
		if ok && !h.seen[m.before] {
			h.seen[m.before] = true
			heap.Push(h, m)
		}
	}
	return nil
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h *markHeap) Len() int { return len(h.marks) }

func (h *markHeap) Less(i, j int) bool {
	a, b := &h.marks[i], &h.marks[j]
	if !a.time.Equal(b.time) {
		return a.time.After(b.time)
	}
	return bytes.Compare(a.before[:], b.before[:]) < 0
}

func (h *markHeap) Swap(i, j int) { h.marks[i], h.marks[j] = h.marks[j], h.marks[i] }

func (h *markHeap) Push(x any) { h.marks = append(h.marks, x.(mark)) }

func (h *markHeap) Pop() any {
	m := h.marks[len(h.marks)-1]
	h.marks = h.marks[:len(h.marks)-1]
	return m
}
