package s3repo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// state is a version of a branch as a step of its history: its commit, or, on
// top of all, the writes that are not sealed.
type state struct {
	id   string // of the commit, "open" for what is not sealed
	root tree.Root
	time time.Time
}

// markerPrefix begins the IDs of delete markers, which are named by the commit
// that no longer has the key.
const markerPrefix = "deleted-"

// openState stands for the commit that open writes will become.
const openState = "open"

// states yields the steps of a version's history, the newest first.
func (k *bucket) states(ctx context.Context, m *mount, v *version) iter.Seq2[state, error] {
	return func(yield func(state, error) bool) {
		if v.open && !yield(state{openState, v.tree.Root(), v.time}, nil) {
			return
		}
		if v.head.IsZero() {
			return
		}
		chunks, err := k.b.store.Reader(ctx, repo.Scope{Repo: k.name, Branch: k.branch(m.ref), Commit: v.head})
		if err != nil {
			yield(state{}, err)
			return
		}
		for e, err := range commit.Log(ctx, chunks, v.head, commit.LogOptions{FirstParent: true}) {
			if !yield(state{e.ID.String(), e.Commit.Tree, e.Commit.Time}, err) || err != nil {
				return
			}
		}
	}
}

// openVersion opens a version of a path by its ID: that of the write, which is
// in its attributes, or that of a commit which has it. Commits count only if
// they are of the history that the key names.
func (k *bucket) openVersion(ctx context.Context, m *mount, path string, name s3proxy.ObjectName) (s3proxy.Object, error) {
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
	at, err := k.findState(ctx, m, v, path, name.VersionID)
	if err != nil {
		return nil, seal(err)
	}
	if at == nil {
		return nil, none
	}
	e, err := at.lookup(ctx, path)
	if err != nil {
		return nil, seal(err)
	}
	if e == nil && strings.HasPrefix(name.VersionID, markerPrefix) {
		return nil, &s3proxy.DeletedError{VersionID: name.VersionID, Asked: true}
	}
	if e == nil || strings.HasPrefix(name.VersionID, markerPrefix) {
		return nil, none
	}
	return at.newObject(name.Key, e), nil
}

// clockSkewMax is how far apart the clocks of those who write may be.
const clockSkewMax = 15 * time.Minute

// findState finds the step of a history that a version ID names for a path,
// nil if there is none.
func (k *bucket) findState(ctx context.Context, m *mount, v *version, path, id string) (*version, error) {
	op, err := repo.ParseOpID(id)
	isOp := err == nil
	wanted := strings.TrimPrefix(id, markerPrefix)
	if !isOp && !isCommit(wanted) && wanted != openState {
		return nil, nil
	}
	for s, err := range k.states(ctx, m, v) {
		if err != nil {
			return nil, err
		}
		at := &version{chunks: v.chunks, tree: tree.Open(v.chunks, s.root), time: s.time}
		if !isOp {
			if strings.HasPrefix(s.id, wanted) {
				return at, nil
			}
			continue
		}
		if made, ok := op.Time(); ok && s.time.Before(made.Add(-clockSkewMax)) {
			return nil, nil // older than the write: nothing below has it
		}
		e, err := at.lookup(ctx, path)
		if err != nil {
			return nil, err
		}
		if e != nil && stored(e).attrs.Op == tree.OpID(op) {
			return at, nil
		}
	}
	return nil, nil
}

// history is what was ever at the paths with a prefix, the newest first.
type history struct {
	paths    []string
	versions map[string][]s3proxy.Version
}

// historyMax bounds the versions that one history holds: some 100 MiB.
const historyMax = 200_000

// history compares each version with the one before it, where they differ at
// paths with the prefix.
func (k *bucket) history(ctx context.Context, m *mount, prefix string) (*history, error) {
	v, err := k.version(ctx, m)
	if isAbsent(err) {
		return &history{}, nil
	}
	if err != nil {
		return nil, err
	}
	h := &history{versions: map[string][]s3proxy.Version{}}
	var newer *state
	count := 0
	for s, err := range k.states(ctx, m, v) {
		if err == nil && newer != nil {
			err = h.compare(ctx, v.chunks, m, *newer, s.root, prefix, &count)
		}
		if err != nil {
			return nil, err
		}
		newer = &s
	}
	if newer != nil {
		if err := h.compare(ctx, v.chunks, m, *newer, tree.Root{}, prefix, &count); err != nil {
			return nil, err
		}
	}
	h.paths = slices.Sorted(maps.Keys(h.versions))
	return h, nil
}

// compare adds what a state has and the one before it has not.
func (h *history) compare(ctx context.Context, r chunk.Reader, m *mount, s state, before tree.Root, prefix string, count *int) error {
	v := &version{chunks: r, tree: tree.Open(r, s.root), time: s.time}
	for c, err := range tree.Diff(ctx, r, before, r, s.root, tree.DiffOptions{Storage: true, Prefix: prefix, Expand: true}) {
		if err != nil {
			return err
		}
		if *count++; *count > historyMax {
			return fmt.Errorf("%w: more than %d versions under %q: list a longer prefix", s3proxy.ErrBusy, historyMax, prefix)
		}
		is, was := isStored(&c.New), isStored(&c.Old)
		key := m.prefix + c.Path
		var found s3proxy.Version
		switch {
		case is && was && stored(&c.New).attrs.Op == stored(&c.Old).attrs.Op && stored(&c.New).content == stored(&c.Old).content:
			continue
		case is:
			found.ObjectInfo = v.summary(key, &c.New)
			found.VersionID = cmp.Or(found.VersionID, s.id)
		case was:
			found.ObjectInfo = s3proxy.ObjectInfo{Key: key, VersionID: markerPrefix + s.id, LastModified: s.time}
			found.DeleteMarker = true
		default:
			continue
		}
		found.Latest = len(h.versions[c.Path]) == 0
		h.versions[c.Path] = append(h.versions[c.Path], found)
	}
	return nil
}

// isStored tells whether an entry is something that somebody wrote.
func isStored(e *tree.Entry) bool {
	return e.Kind == tree.File || e.Kind == tree.Symlink || e.Kind == tree.Dir && e.Marker != nil
}

// histories remembers the histories that were listed last: the pages of one
// listing ask for the same.
type histories struct {
	mu   sync.Mutex
	keys []string
	by   map[string]*history
}

// historiesMax is how many histories are remembered.
const historiesMax = 2

func (c *histories) get(key string, load func() (*history, error)) (*history, error) {
	c.mu.Lock()
	known := c.by[key]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	h, err := load()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]*history{}
	}
	if len(c.keys) == historiesMax {
		delete(c.by, c.keys[0])
		c.keys = c.keys[1:]
	}
	if c.by[key] == nil {
		c.keys = append(c.keys, key)
	}
	c.by[key] = h
	return h, nil
}

// ListVersions implements s3proxy.Versioner. A version is what a write made,
// as far as it became a version of the branch: overwritten content does. It
// reads the commits of the branch, and of their directories what differs below
// the prefix.
func (b *Backend) ListVersions(ctx context.Context, name string, q s3proxy.VersionQuery) (s3proxy.VersionPage, error) {
	ctx, _ = enter(ctx)
	k, err := b.bucket(ctx, name)
	if err != nil {
		return s3proxy.VersionPage{}, err
	}
	page, err := s3proxy.PaginateVersions(q, func(yield func(s3proxy.Version, error) bool) {
		for _, m := range k.mounts(q.Prefix) {
			if m.prefix != "" && q.KeyMarker > m.prefix && !strings.HasPrefix(q.KeyMarker, m.prefix) {
				continue // all its keys come before
			}
			inner := ""
			if len(q.Prefix) > len(m.prefix) {
				inner = q.Prefix[len(m.prefix):]
			}
			key := fmt.Sprintf("%d %s %s %s", k.view.Gen, k.name, m.ref.String(), inner)
			h, err := b.histories.get(key, func() (*history, error) { return k.history(ctx, m, inner) })
			if err != nil {
				yield(s3proxy.Version{}, err)
				return
			}
			for _, path := range h.paths {
				for _, v := range h.versions[path] {
					v.Key = m.prefix + path // of this mount, whoever asked first
					if !yield(v, nil) {
						return
					}
				}
			}
		}
	})
	if err != nil {
		return s3proxy.VersionPage{}, sealWrite(err)
	}
	return page, nil
}
