package tree

import (
	"context"
	"fmt"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Conflict is a path that two sides changed in ways that do not go together.
// An entry is nil where its side does not have the path. Two sides conflict at
// a path too if the merge of their changes, but neither of them, has a file
// there beside a directory of its name; Path is then the file's, and the
// entries are those of either kind.
type Conflict struct {
	Path               string // a directory's ends in "/"
	Base, Ours, Theirs *Entry
}

// Merge makes theirs' changes since base to ours and returns the result. At
// the paths in conflict, named one by one in no order that matters, it has
// what ours has; they are settled by [Apply]. Contents are compared, not
// Attrs; an entry taken from theirs has theirs' Attrs and marker. Both sides
// doing the same is no conflict. All roots must be in s; a zero base stands
// for the empty directory. The cost follows the changes.
func Merge(ctx context.Context, s chunk.Store, base, ours, theirs Root) (Root, []Conflict, error) {
	if ours.ID == base.ID {
		return theirs, nil, nil
	}
	m := &merger{r: s}
	if err := m.dir(ctx, "", base, ours, theirs); err != nil {
		return Root{}, nil, fmt.Errorf("merge directories: %w", err)
	}
	root, err := Apply(ctx, s, ours, m.edits)
	if err != nil {
		return Root{}, nil, fmt.Errorf("merge directories: %w", err)
	}
	return root, m.conflicts, nil
}

// merger gathers the edits that bring theirs' changes into ours.
type merger struct {
	r         chunk.Reader
	edits     []Edit
	conflicts []Conflict
}

// pair is what one side did to a key; one of the two may be nil.
type pair struct{ old, now *Entry }

// side holds the keys of one directory, not of those below it, that one side
// changed.
type side struct {
	byKey map[string]pair
	keys  []string // in order
}

func (m *merger) changes(ctx context.Context, base, now Root) (side, error) {
	s := side{byKey: map[string]pair{}}
	if base.Content == now.Content {
		return s, nil
	}
	p := rootPair{ra: m.r, a: base, rb: m.r, b: now}
	err := p.each(ctx, "", "", func(old, now *Entry) (bool, error) {
		either := old
		if old == nil {
			either = now
		}
		key := either.Key()
		s.byKey[key] = pair{old, now}
		s.keys = append(s.keys, key)
		return true, nil
	})
	return s, err
}

// has reports whether the side has key, which the other side changed from
// what it is in other.
func (s side) has(key string, other pair) bool {
	if p, changed := s.byKey[key]; changed {
		return p.now != nil
	}
	return other.old != nil
}

func (m *merger) dir(ctx context.Context, path string, base, ours, theirs Root) error {
	mine, err := m.changes(ctx, base, ours)
	if err != nil {
		return err
	}
	other, err := m.changes(ctx, base, theirs)
	if err != nil {
		return err
	}
	for _, key := range other.keys {
		if err := m.key(ctx, path, key, mine, other); err != nil {
			return err
		}
	}
	return nil
}

// key merges one key that theirs changed.
func (m *merger) key(ctx context.Context, path, key string, mine, other side) error {
	c, both := mine.byKey[key]
	t := other.byKey[key]
	beside, err := m.beside(ctx, key, mine, other)
	switch {
	case err != nil:
		return err
	case beside != nil:
		beside.Path = path + strings.TrimSuffix(key, "/")
		m.conflicts = append(m.conflicts, *beside)
	case !both:
		m.take(path+key, t)
	case c.now == nil && t.now == nil:
	case c.now != nil && t.now != nil && sameContent(c.now, t.now):
	case strings.HasSuffix(key, "/"):
		return m.dir(ctx, path+key, dirOf(t.old), dirOf(c.now), dirOf(t.now))
	default:
		m.conflicts = append(m.conflicts, Conflict{Path: path + key, Base: t.old, Ours: c.now, Theirs: t.now})
	}
	return nil
}

func (m *merger) take(path string, t pair) {
	switch {
	case t.now != nil:
		m.edits = append(m.edits, Edit{Op: Put, Path: path, Entry: *t.now})
	case t.old.Kind == Dir:
		m.edits = append(m.edits, Edit{Op: DeleteDir, Path: path})
	default:
		m.edits = append(m.edits, Edit{Op: Delete, Path: path})
	}
}

// beside returns the conflict that taking key from theirs would make: a file
// beside a directory of its name, of which each side has one only.
func (m *merger) beside(ctx context.Context, key string, mine, other side) (*Conflict, error) {
	twin := key + "/"
	if name, isDir := strings.CutSuffix(key, "/"); isDir {
		twin = name
	}
	t, c := other.byKey[key], mine.byKey[twin]
	if t.now == nil || c.now == nil || mine.has(key, t) || other.has(twin, c) {
		return nil, nil
	}
	for _, p := range []pair{t, c} {
		if stays, err := m.stays(ctx, p); err != nil || !stays {
			return nil, err
		}
	}
	base := t.old
	if base == nil {
		base = c.old
	}
	return &Conflict{Base: base, Ours: c.now, Theirs: t.now}, nil
}

// stays reports whether a pair's new entry is there after a merge with a side
// that removed the old one: whether it has anything that is new.
func (m *merger) stays(ctx context.Context, p pair) (bool, error) {
	if p.old == nil || p.now.Kind != Dir {
		return true, nil
	}
	for c, err := range Diff(ctx, m.r, p.old.Dir, m.r, p.now.Dir, DiffOptions{Expand: true}) {
		if err != nil || c.Kind != Removed {
			return true, err
		}
	}
	return false, nil
}
