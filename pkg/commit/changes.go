package commit

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Changes is the index of a commit's history by path: of each path that was
// written since a certain commit it has a mark, which names the version before
// the last write. [Steps] reads it; FORMAT.md describes it.
type Changes struct {
	Since ID        `json:"since"` // the ancestor with which it begins: what was written after it is marked
	Tree  tree.Root `json:"tree"`  // the marks, each at its path
}

// ChangesMax is how many paths a commit may change that is indexed. One that
// changes more is a step in every path's history, which costs a reader little,
// and the index begins anew behind it.
const ChangesMax = 1 << 16

// Index returns c with the index of its history, made from that of its first
// parent: the cost follows the difference between the two. s has them both; the
// marks are stored there. A commit without parents has no index.
func Index(ctx context.Context, s chunk.Store, c Commit) (Commit, error) {
	c.Changes = nil
	if len(c.Parents) == 0 {
		return c, nil
	}
	parent, err := Load(ctx, s, c.Parents[0])
	if err != nil {
		return c, err
	}
	marks, err := marksOf(ctx, s, c, parent)
	if err != nil || len(marks) > ChangesMax {
		return c, indexError(err)
	}
	next := Changes{Since: c.Parents[0]}
	if parent.Changes != nil {
		next = *parent.Changes
	}
	if len(marks) > 0 || next.Tree.ID.IsZero() {
		if next.Tree, err = tree.Apply(ctx, s, next.Tree, marks); err != nil {
			return c, indexError(err)
		}
	}
	c.Changes = &next
	return c, nil
}

func indexError(err error) error {
	if err != nil {
		return fmt.Errorf("index the history: %w", err)
	}
	return nil
}

// CheckIndex fails with chunk.ErrCorrupt unless the index of c is the one that
// [Index] makes: what is asked of commits that come from outside, since a mark
// may name any commit. r has c's first parent and both their directories.
func CheckIndex(ctx context.Context, r chunk.Reader, c Commit) error {
	if c.Changes == nil {
		return nil
	}
	want, err := Index(ctx, scratch{&chunk.Mem{}, r}, c)
	if err != nil {
		return err
	}
	if want.Changes == nil || *want.Changes != *c.Changes {
		return fmt.Errorf("the index of its history is not that of its parent and its changes: %w", chunk.ErrCorrupt)
	}
	return nil
}

// scratch is a chunk store in memory over what a reader has.
type scratch struct {
	*chunk.Mem
	under chunk.Reader
}

// Get implements chunk.Reader.
func (s scratch) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if b, err := s.Mem.Get(ctx, kind, id); err == nil {
		return b, nil
	}
	return s.under.Get(ctx, kind, id)
}

// mark says which version a change replaced, and which operation made it when.
type mark struct {
	before ID
	op     tree.OpID
	time   time.Time
}

// attrs returns the mark as it is kept.
func (m mark) attrs() tree.Attrs {
	return tree.Attrs{Time: m.time, Op: m.op, ETag: m.before.String()}
}

// readMark reads what attrs returns; ok is false where there is no mark.
func readMark(a *tree.Attrs) (m mark, ok bool, err error) {
	if a.IsZero() {
		return mark{}, false, nil
	}
	m = mark{op: a.Op, time: a.Time}
	if m.before, err = ParseID(a.ETag); err != nil {
		return mark{}, false, fmt.Errorf("mark %.80q: %w: %w", a.ETag, err, chunk.ErrCorrupt)
	}
	return m, true, nil
}

// marksOf returns the edits of the index that a commit makes: one for each path
// at which it differs from its parent, and more than ChangesMax if there are.
// A file, link or marker has its mark at its own path. A directory that comes
// or goes has one for all that is below, in place of those that were there: so
// what lies deeper is newer.
func marksOf(ctx context.Context, s chunk.Store, c, parent Commit) ([]tree.Edit, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m := mark{before: c.Parents[0], time: c.Time}
	_, err := hex.Decode(m.op[:], []byte(c.Op))
	if err != nil {
		return nil, err
	}
	attrs := m.attrs()
	none, err := tree.Empty(ctx, &chunk.Mem{})
	if err != nil {
		return nil, err
	}
	var edits []tree.Edit
	for ch, err := range tree.Diff(ctx, s, parent.Tree, s, c.Tree, tree.DiffOptions{Storage: true}) {
		if err != nil {
			return nil, err
		}
		path, isDir := strings.CutSuffix(ch.Path, "/")
		emptied := ch.New.Dir.ID == none.ID && ch.New.Dir.Content != ch.Old.Dir.Content
		switch {
		case !isDir:
			edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Attrs: attrs}, SetAttrs: true})
		case ch.Kind == tree.Modified && !emptied:
			edits = append(edits, tree.Edit{Op: tree.Mark, Path: path, Marker: &tree.Marker{Attrs: attrs}, SetAttrs: true})
		default:
			if _, err := tree.Empty(ctx, s); err != nil { // stored only where something names it
				return nil, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.Dir, Dir: none, Attrs: attrs}, SetAttrs: true})
		}
		if len(edits) > ChangesMax {
			break
		}
	}
	return edits, nil
}
