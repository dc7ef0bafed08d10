package commit

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Entry is a commit with its ID, as a walk yields it.
type Entry struct {
	ID     ID
	Commit Commit
}

// LogOptions selects what [Log] yields. The zero value is the whole history.
type LogOptions struct {
	FirstParent bool // follow only the first parent: what the branch was, version by version
}

// Log yields the commit from and its ancestors, each once: newest first by
// time, commits of equal time by ID. It stops at the first error, which it
// yields with the ID that could not be read. It holds the IDs that it has
// seen, 32 bytes per commit, unless FirstParent.
func Log(ctx context.Context, r chunk.Reader, from ID, o LogOptions) iter.Seq2[Entry, error] {
	if o.FirstParent {
		return firstParents(ctx, r, from)
	}
	return func(yield func(Entry, error) bool) {
		w := newWalk(r)
		if err := w.push(ctx, from); err != nil {
			yield(Entry{ID: from}, err)
			return
		}
		for w.Len() > 0 {
			e := w.pop()
			if !yield(e, nil) {
				return
			}
			for _, p := range e.Commit.Parents {
				if err := w.push(ctx, p); err != nil {
					yield(Entry{ID: p}, err)
					return
				}
			}
		}
	}
}

func firstParents(ctx context.Context, r chunk.Reader, from ID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for id := from; !id.IsZero(); {
			c, err := Load(ctx, r, id)
			if err != nil {
				yield(Entry{ID: id}, err)
				return
			}
			if !yield(Entry{ID: id, Commit: c}, nil) || len(c.Parents) == 0 {
				return
			}
			id = c.Parents[0]
		}
	}
}

// IsAncestor reports whether a is d or an ancestor of d. It reads d's first
// parents down to a's time, and the rest of the history to that time only if a
// is not among them. Commits are never older than their parents, see
// [CheckParents];
// a history that breaks this fails with chunk.ErrCorrupt.
func IsAncestor(ctx context.Context, r chunk.Reader, a, d ID) (bool, error) {
	if a == d {
		return true, nil
	}
	ac, err := Load(ctx, r, a)
	if err != nil {
		return false, err
	}
	merges := false
	var child Commit
	for e, err := range firstParents(ctx, r, d) {
		if err != nil {
			return false, err
		}
		if e.ID != d {
			if err := checkOlder(e.ID, e.Commit.Time, child); err != nil {
				return false, err
			}
		}
		if e.ID == a {
			return true, nil
		}
		child = e.Commit
		if !e.Commit.Time.After(ac.Time) {
			break
		}
		merges = merges || len(e.Commit.Parents) > 1
	}
	if !merges {
		return false, nil
	}
	return isAncestorFull(ctx, r, Entry{a, ac}, d)
}

func isAncestorFull(ctx context.Context, r chunk.Reader, a Entry, d ID) (bool, error) {
	w := newWalk(r)
	if err := w.push(ctx, d); err != nil {
		return false, err
	}
	for w.Len() > 0 {
		e := w.pop()
		if e.ID == a.ID {
			return true, nil
		}
		if !e.Commit.Time.After(a.Commit.Time) {
			continue // as old as a: not its descendant
		}
		if err := w.pushParents(ctx, e); err != nil {
			return false, err
		}
	}
	return false, nil
}

// MergeBase returns a common ancestor of a and b (possibly one of them) that
// no other common ancestor descends from: the newest of these by time, then
// by ID. It is the zero ID if they have no common ancestor. It reads the two
// histories down to the base.
func MergeBase(ctx context.Context, r chunk.Reader, a, b ID) (ID, error) {
	const fromA, fromB = 1, 2
	side := map[ID]uint8{}
	w := newWalk(r)
	side[a] |= fromA
	side[b] |= fromB
	for _, id := range []ID{a, b} {
		if err := w.push(ctx, id); err != nil {
			return ID{}, err
		}
	}
	for w.Len() > 0 {
		e := w.pop()
		s := side[e.ID]
		if s == fromA|fromB {
			return e.ID, nil // its descendants are newer: all were seen, with one side only
		}
		for _, p := range e.Commit.Parents {
			side[p] |= s
		}
		if err := w.pushParents(ctx, e); err != nil {
			return ID{}, err
		}
	}
	return ID{}, nil
}

// CheckParents loads the parents of c and reports whether c is newer than each
// of them, by at least a millisecond. Publishing holds every commit to it:
// walks may then stop by time. The error wraps chunk.ErrCorrupt if it is not.
func CheckParents(ctx context.Context, r chunk.Reader, c Commit) error {
	for _, id := range c.Parents {
		p, err := Load(ctx, r, id)
		if err != nil {
			return err
		}
		if err := checkOlder(id, p.Time, c); err != nil {
			return err
		}
	}
	return nil
}

func checkOlder(parent ID, t time.Time, child Commit) error {
	if t.Before(child.Time) {
		return nil
	}
	return fmt.Errorf("commit of %s is not newer than its parent %v of %s: %w",
		child.Time.Format(timeLayout), parent.Short(), t.Format(timeLayout), chunk.ErrCorrupt)
}

// walk is a queue of commits, newest first, that takes each commit once.
type walk struct {
	r     chunk.Reader
	queue []Entry
	seen  map[ID]time.Time
}

func newWalk(r chunk.Reader) *walk { return &walk{r: r, seen: map[ID]time.Time{}} }

func (w *walk) push(ctx context.Context, id ID) error {
	if _, ok := w.seen[id]; ok {
		return nil
	}
	c, err := Load(ctx, w.r, id)
	if err != nil {
		return err
	}
	w.seen[id] = c.Time
	heap.Push(w, Entry{ID: id, Commit: c})
	return nil
}

// pushParents adds the parents of e, which must be older than e.
func (w *walk) pushParents(ctx context.Context, e Entry) error {
	for _, id := range e.Commit.Parents {
		if err := w.push(ctx, id); err != nil {
			return err
		}
		if err := checkOlder(id, w.seen[id], e.Commit); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) pop() Entry { return heap.Pop(w).(Entry) }

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (w *walk) Len() int { return len(w.queue) }

func (w *walk) Less(i, j int) bool {
	a, b := &w.queue[i], &w.queue[j]
	if !a.Commit.Time.Equal(b.Commit.Time) {
		return a.Commit.Time.After(b.Commit.Time)
	}
	return bytes.Compare(a.ID[:], b.ID[:]) < 0
}

func (w *walk) Swap(i, j int) { w.queue[i], w.queue[j] = w.queue[j], w.queue[i] }

func (w *walk) Push(x any) { w.queue = append(w.queue, x.(Entry)) }

func (w *walk) Pop() any {
	e := w.queue[len(w.queue)-1]
	w.queue[len(w.queue)-1] = Entry{}
	w.queue = w.queue[:len(w.queue)-1]
	return e
}
