package s3repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// markerPrefix begins the ID of a delete marker.
const markerPrefix = "deleted-"

// markerID returns the ID of the delete marker that the removal of e makes. It is
// named by the version which was removed, and so the same before and after the
// removal is sealed.
func markerID(e *tree.Entry) string { return stored(e).markerID() }

func (b body) markerID() string {
	return markerPrefix + cmp.Or(versionID(b.attrs.Op), b.content.ID.String()[:opDigits])
}

// isVersionID tells whether id can be of a version: an operation's, a commit's or
// the beginning of one, or a delete marker's. S3 has "null" besides, for what was
// written before a bucket had versions, which no bucket has here.
func isVersionID(id string) bool {
	return isCommit(strings.TrimPrefix(id, markerPrefix)) || id == "null"
}

// opDigits is the length of an operation's ID, which no commit is looked up by.
const opDigits = 32

// past is a version of a path, or a delete marker, in its history.
type past struct {
	id    string
	entry *tree.Entry // nil for a marker
	at    *version    // the state that it was in
}

// trail yields the versions and markers of a path from the newest to the oldest,
// as the history has them: what was restored comes twice.
func (v *version) trail(ctx context.Context, path string) iter.Seq2[past, error] {
	return func(yield func(past, error) bool) {
		if tree.CheckPath(path) != nil {
			return
		}
		var without *version // the state without the path that was seen last
		for c, err := range v.changes(ctx, commit.StepsOptions{Prefix: path, Exact: true}) {
			if err != nil {
				yield(past{}, err)
				return
			}
			at := v.at(c)
			e, err := at.tree.Find(ctx, path)
			if err != nil {
				yield(past{}, err)
				return
			}
			if e == nil || !isStored(e) {
				without = at
				continue
			}
			if same, err := v.had(ctx, c, path, e); err != nil {
				yield(past{}, err)
				return
			} else if same {
				continue
			}
			if without != nil && !yield(past{id: markerID(e), at: without}, nil) {
				return
			}
			without = nil
			if !yield(past{cmp.Or(versionID(stored(e).attrs.Op), c.op), e, at}, nil) {
				return
			}
		}
	}
}

// had tells whether a path had e before a change already. It looks only where
// the ID of the version would be the change's.
func (v *version) had(ctx context.Context, c change, path string, e *tree.Entry) (bool, error) {
	if stored(e).attrs.Op != (tree.OpID{}) {
		return false, nil
	}
	was, err := tree.Open(v.chunks, c.before).Find(ctx, path)
	if was == nil || err != nil || !isStored(was) {
		return false, err
	}
	return stored(was).attrs.Op == (tree.OpID{}) && stored(was).content == stored(e).content, nil
}

// openVersion opens a version of a path by its ID: that of the write, which is
// in its attributes, or that of a commit which has it. Commits count only if
// they are of the history that the key names.
func (k *bucket) openVersion(ctx context.Context, m *mount, path string, name s3proxy.ObjectName) (s3proxy.Object, error) {
	if !isVersionID(name.VersionID) {
		return nil, fmt.Errorf("version %.100q of %.300q: %w", name.VersionID, name.Key, s3proxy.ErrInvalidVersion)
	}
	none := fmt.Errorf("version %.100q of %.300q: %w", name.VersionID, name.Key, s3proxy.ErrNoSuchVersion)
	v, err := k.version(ctx, m)
	if isAbsent(err) {
		return nil, none
	}
	if err != nil {
		return nil, seal(err)
	}
	if e, err := v.lookup(ctx, path); err != nil {
		return nil, seal(err)
	} else if e != nil && versionID(stored(e).attrs.Op) == name.VersionID {
		return v.newObject(name.Key, e), nil
	}
	v.expires = k.view.Expires
	p, err := k.findPast(ctx, m, v, path, name.VersionID)
	switch {
	case errors.Is(err, repo.ErrExpired):
		return nil, none
	case err != nil:
		return nil, seal(err)
	case p == nil:
		return nil, none
	case p.entry == nil:
		return nil, &s3proxy.DeletedError{VersionID: name.VersionID, Asked: true}
	}
	return p.at.newObject(name.Key, p.entry), nil
}

// findPast finds the version or marker of a path by its ID, nil if there is none.
// It reads the path's own history; only for the ID of a commit, or its beginning,
// the branch's.
func (k *bucket) findPast(ctx context.Context, m *mount, v *version, path, id string) (*past, error) {
	r, err := k.removals(ctx, m)
	if err != nil {
		return nil, err
	}
	gone, err := r.of(ctx, path)
	if err != nil {
		return nil, err
	}
	for p, err := range v.trail(ctx, path) {
		if err != nil {
			return nil, err
		}
		if p.id == id && (!gone[id] || p.entry != nil) { // what the branch holds is there, on record or not
			return &p, nil
		}
		if gone[id] {
			return nil, nil
		}
		if p.entry != nil && markerID(p.entry) == id { // it was restored since
			return nil, nil
		}
	}
	if !isCommit(id) || len(id) == opDigits {
		return nil, nil
	}
	for e, err := range commit.Log(ctx, v.chunks, v.head, commit.LogOptions{FirstParent: true}) {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(e.ID.String(), id) {
			at := v.at(change{after: e.Commit.Tree, time: e.Commit.Time})
			e, err := at.lookup(ctx, path)
			if e == nil || err != nil {
				return nil, err
			}
			return &past{id, e, at}, nil
		}
	}
	return nil, nil
}

// settle makes the list that a client sees of the versions of a path, from the
// newest to the oldest, as the history has them: each ID once, and what is gone
// hidden. So is a marker whose version was restored. What the branch holds now is
// never gone: a version is the latest, and so is a marker, where a version would be
// otherwise.
func settle(all []s3proxy.Version, gone map[string]bool) []s3proxy.Version {
	var out []s3proxy.Version
	seen := map[string]bool{}
	last := -1 // of out, that is not hidden
	for i, v := range all {
		v.Hidden = gone[v.VersionID] && (i > 0 || v.DeleteMarker)
		again := seen[v.VersionID]
		undone := v.DeleteMarker && seen[strings.TrimPrefix(v.VersionID, markerPrefix)]
		seen[v.VersionID] = true
		switch {
		case v.DeleteMarker && again:
			continue
		case undone:
			v.Hidden = true
		case v.Hidden:
		case again && out[last].VersionID == v.VersionID: // restored: it stays where it was
			out = append(out[:last], out[last+1:]...)
			last = len(out)
		case again:
			continue
		default:
			last = len(out)
		}
		out = append(out, v)
	}
	first := slices.IndexFunc(out, func(v s3proxy.Version) bool { return !v.Hidden })
	if first > 0 && all[0].DeleteMarker && !out[first].DeleteMarker {
		out[0].Hidden, first = false, 0
	}
	if first >= 0 {
		out[first].Latest = true
	}
	return out
}
