package s3repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// change is a step of a branch's history: what an operation made of a version.
type change struct {
	before, after tree.Root
	op            string    // in hex digits; openState for what is not sealed
	time          time.Time // of the commit
}

// openState stands for the operation that will seal the open writes.
const openState = "open"

// changes yields where in a version's history the selected paths were written,
// the newest first.
func (v *version) changes(ctx context.Context, o commit.StepsOptions) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		now := v.tree.Root()
		if v.open {
			var sealed tree.Root
			if !v.head.IsZero() {
				c, err := commit.Load(ctx, v.chunks, v.head)
				if err != nil {
					yield(change{}, err)
					return
				}
				sealed = c.Tree
			}
			if !yield(change{sealed, now, openState, v.time}, nil) {
				return
			}
			now = sealed
		}
		newest := commit.Step{} // of those that made now from the last version that has its files
		for s, err := range commit.Steps(ctx, v.chunks, v.head, o) {
			if newest.Op == "" {
				newest = s
			}
			if err == nil && v.expires {
				var gone bool
				if gone, err = isExpired(ctx, v.chunks, s.Commit.Tree); gone {
					continue
				}
			}
			if !yield(change{s.Commit.Tree, now, newest.Op, newest.Time}, err) || err != nil {
				return
			}
			now, newest = s.Commit.Tree, commit.Step{}
		}
	}
}

// isExpired reports whether retention has given a directory up: what changed in
// it then counts for the next version that has its files.
func isExpired(ctx context.Context, r chunk.Reader, root tree.Root) (bool, error) {
	if root.ID.IsZero() {
		return false, nil
	}
	_, err := r.Get(ctx, chunk.Node, chunk.ID(root.ID))
	if errors.Is(err, repo.ErrExpired) {
		return true, nil
	}
	return false, err
}

// at opens what a change made.
func (v *version) at(c change) *version {
	return &version{chunks: v.chunks, tree: tree.Open(v.chunks, c.after), time: c.time, room: v.room}
}

// history is where below a prefix the paths of a branch were written.
type history struct {
	v       *version
	prefix  string
	changes []change
}

// Limits of histories: of one, some 60 MiB, and of all that are remembered.
const (
	changesMax    = 1 << 18
	rememberedMax = 1 << 16
)

func (k *bucket) history(ctx context.Context, m *mount, prefix string) (*history, error) {
	v, err := k.version(ctx, m)
	if isAbsent(err) {
		return &history{}, nil
	}
	if err != nil {
		return nil, err
	}
	v.expires = k.view.Expires
	h := &history{v: v, prefix: prefix}
	for c, err := range v.changes(ctx, commit.StepsOptions{Prefix: prefix}) {
		if err != nil {
			return nil, err
		}
		if len(h.changes) == changesMax {
			return nil, fmt.Errorf("%w: more than %d commits changed what begins with %q: list a longer prefix", s3proxy.ErrBusy, changesMax, prefix)
		}
		h.changes = append(h.changes, c)
	}
	return h, nil
}

// window is a part of a history in order of path and then from the newest
// version to the oldest. Of the paths after one it holds the first, with all
// their versions.
type window struct {
	paths    []string
	versions map[string][]s3proxy.Version
	limit    int    // of versions, at which the greatest paths are left out
	count    int    //
	last     string // the last path, if others were left out
}

// window reads the versions of the first paths greater than after. Of what a
// change made outside of them little is read.
func (h *history) window(ctx context.Context, after string, limit int) (*window, error) {
	w := &window{versions: map[string][]s3proxy.Version{}, limit: limit}
	for _, c := range slices.Backward(h.changes) {
		if err := h.compare(ctx, c, after, w); err != nil {
			return nil, err
		}
	}
	w.shrink()
	for _, all := range w.versions {
		slices.Reverse(all)
	}
	return w, nil
}

// compare adds what a change made.
func (h *history) compare(ctx context.Context, c change, after string, w *window) error {
	v := h.v.at(c)
	r := h.v.chunks
	o := tree.DiffOptions{Storage: true, Prefix: h.prefix, After: after, Expand: true}
	for d, err := range tree.Diff(ctx, r, c.before, r, c.after, o) {
		if err != nil {
			return err
		}
		if w.last != "" && d.Path > w.last {
			return nil
		}
		is, was := isStored(&d.New), isStored(&d.Old)
		var found s3proxy.Version
		switch {
		case is && was && stored(&d.New).attrs.Op == stored(&d.Old).attrs.Op && stored(&d.New).content == stored(&d.Old).content:
			continue
		case is:
			found.ObjectInfo = v.summary(d.Path, &d.New)
			found.VersionID = cmp.Or(found.VersionID, c.op)
		case was:
			found.ObjectInfo = s3proxy.ObjectInfo{Key: d.Path, VersionID: markerID(&d.Old), LastModified: c.time}
			found.DeleteMarker = true
		default:
			continue
		}
		w.add(found)
	}
	return nil
}

func (w *window) add(v s3proxy.Version) {
	if w.versions[v.Key] == nil {
		w.paths = append(w.paths, v.Key)
	}
	w.versions[v.Key] = append(w.versions[v.Key], v)
	if w.count++; w.count > 2*w.limit {
		w.shrink()
	}
}

// shrink leaves out the greatest paths, as long as the limit is reached
// without.
func (w *window) shrink() {
	slices.Sort(w.paths)
	n := 0
	for i, path := range w.paths {
		if n >= w.limit {
			for _, path := range w.paths[i:] {
				delete(w.versions, path)
			}
			w.paths, w.count, w.last = w.paths[:i], n, w.paths[i-1]
			return
		}
		n += len(w.versions[path])
	}
}

// isStored tells whether an entry is something that somebody wrote.
func isStored(e *tree.Entry) bool {
	return e.Kind == tree.File || e.Kind == tree.Symlink || e.Kind == tree.Dir && e.Marker != nil
}

// histories remembers the histories that were listed last: the pages of one
// listing ask for the same.
type histories struct {
	mu   sync.Mutex
	keys []string // the one that was used last at the end
	by   map[string]*history
	size int // changes of all
}

func (c *histories) get(key string, load func() (*history, error)) (*history, error) {
	c.mu.Lock()
	known := c.by[key]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	h, err := load()
	if err != nil || len(h.changes) > rememberedMax/2 {
		return h, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]*history{}
	}
	if c.by[key] == nil {
		c.by[key] = h
		c.keys = append(c.keys, key)
		c.size += len(h.changes)
	}
	for len(c.keys) > historiesMax || c.size > rememberedMax {
		c.size -= len(c.by[c.keys[0]].changes)
		delete(c.by, c.keys[0])
		c.keys = c.keys[1:]
	}
	return h, nil
}

// historiesMax is how many histories are remembered.
const historiesMax = 8

// ListVersions implements s3proxy.Versioner. A version is what a write made,
// as far as it became a version of the branch: overwritten content does. It
// reads what the commits have below the prefix that changed something there.
func (b *Backend) ListVersions(ctx context.Context, name string, q s3proxy.VersionQuery) (s3proxy.VersionPage, error) {
	ctx, _ = enter(ctx)
	k, err := b.bucket(ctx, name)
	if err != nil {
		return s3proxy.VersionPage{}, err
	}
	page, err := s3proxy.PaginateVersions(q, func(yield func(s3proxy.Version, error) bool) {
		for _, m := range k.mounts(q.Prefix) {
			if more, err := k.mountVersions(ctx, m, q, yield); err != nil {
				yield(s3proxy.Version{}, err)
				return
			} else if !more {
				return
			}
		}
	})
	if err != nil {
		return s3proxy.VersionPage{}, sealWrite(err)
	}
	return page, nil
}

// windowMin is the least number of versions that are looked for at once.
const windowMin = 1000

// mountVersions yields the versions of one mount, from the query's marker on.
func (k *bucket) mountVersions(ctx context.Context, m *mount, q s3proxy.VersionQuery, yield func(s3proxy.Version, error) bool) (bool, error) {
	inner := ""
	if len(q.Prefix) > len(m.prefix) {
		inner = q.Prefix[len(m.prefix):]
	}
	key := fmt.Sprintf("%d %s %s %s", k.view.Gen, k.name, m.ref.String(), inner)
	h, err := k.b.histories.get(key, func() (*history, error) { return k.history(ctx, m, inner) })
	if err != nil {
		return false, err
	}
	gone, err := k.removals(ctx, m)
	if err != nil {
		return false, err
	}
	after := q.KeyMarker
	if q.VersionMarker != "" {
		after = before(after) // more versions of this key may come
	}
	for after, more := within(m, after); more; {
		w, err := h.window(ctx, after, max(q.MaxKeys+1, windowMin))
		if err != nil {
			return false, err
		}
		for _, path := range w.paths {
			hidden, err := gone.of(ctx, path)
			if err != nil {
				return false, err
			}
			all := settle(w.versions[path], hidden)
			if m.prefix+path == q.KeyMarker {
				all = withMarker(all, q.VersionMarker)
			}
			for _, v := range all {
				v.Key = m.prefix + path
				if !yield(v, nil) {
					return false, nil
				}
			}
		}
		if after, more = w.last, w.last != ""; !more {
			break
		}
		if common := rollUp(inner, after); q.Delimiter == "/" && common != "" {
			after = common + pastAll
		}
	}
	return true, nil
}

// withMarker puts the version that the last page ended with before all others,
// hidden, if it is no more: the key is listed once more then, rather than left out.
func withMarker(all []s3proxy.Version, id string) []s3proxy.Version {
	if id == "" || slices.ContainsFunc(all, func(v s3proxy.Version) bool { return v.VersionID == id }) {
		return all
	}
	return slices.Insert(all, 0, s3proxy.Version{ObjectInfo: s3proxy.ObjectInfo{VersionID: id}, Hidden: true})
}
