package s3repo

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// version is an opened commit, or a branch with its open writes; an empty branch has one without files.
type version struct {
	chunks chunk.Reader
	tree   *tree.Tree
	time   time.Time // of the commit
	head   commit.ID // the commit, or the one that open writes are on top of
	open   bool      // it has open writes

	room *room

	expires bool // versions before it may have expired
}

// version opens the commit of m. The error is one of isAbsent if there is none.
func (k *bucket) version(ctx context.Context, m *mount) (*version, error) {
	if o, open := k.view.Open[repo.OpenKey(k.name, m.ref.Name)]; open && m.ref.At.IsZero() && len(m.ref.Steps) == 0 {
		seen, err := repo.Look(ctx, k.b.store, k.name, m.ref.Name)
		if err != nil {
			return nil, err
		}
		chunks := k.b.nodes.Reader(seen.Chunks)
		return &version{chunks: chunks, tree: tree.Open(chunks, seen.Root), time: o.Last, head: seen.Head, open: true, room: k.b.room}, nil
	}
	id, err := k.find(ctx, m.ref)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		none := new(chunk.Mem)
		return &version{chunks: none, tree: tree.Open(none, tree.Root{}), time: k.refs.Created, room: k.b.room}, nil
	}
	chunks, err := k.b.store.Reader(ctx, repo.Scope{Repo: k.name, Branch: k.branch(m.ref), Commit: id})
	if err != nil {
		return nil, err
	}
	c, err := k.b.loaded.load(ctx, chunks, id)
	if err != nil {
		return nil, err
	}
	chunks = k.b.nodes.Reader(chunks)
	return &version{chunks: chunks, tree: tree.Open(chunks, c.Tree), time: c.Time, head: id, room: k.b.room}, nil
}

// branch returns the branch that ref starts from, "" if it starts from a tag
// or a commit.
func (k *bucket) branch(ref repo.Ref) string {
	if _, ok := k.refs.Branches[ref.Name]; ok {
		return ref.Name
	}
	return ""
}

// find returns the commit that ref names, the zero ID for an empty branch.
func (k *bucket) find(ctx context.Context, ref repo.Ref) (commit.ID, error) {
	if ref.At.IsZero() && len(ref.Steps) == 0 {
		if b, ok := k.refs.Branches[ref.Name]; ok {
			return b.Commit, nil
		}
		if t, ok := k.refs.Tags[ref.Name]; ok {
			return t.Commit, nil
		}
	}
	return k.b.finder.find(ctx, k.b.store, k.view, ref)
}

// isAbsent reports whether an error says that a ref names nothing, or that its
// repo was deleted meanwhile, rather than that it could not be looked up.
func isAbsent(err error) bool {
	var ambiguous *repo.AmbiguousError
	return errors.Is(err, repo.ErrRefNotFound) || errors.Is(err, repo.ErrRepoNotFound) || errors.As(err, &ambiguous)
}

// foundMax is how many searches are remembered: some hundred bytes each.
const foundMax = 1024

// finder searches histories for commits, and remembers what it found for as
// long as the root stays: the pages of one list ask the same again and again.
type finder struct {
	mu    sync.Mutex
	gen   uint64 // of the root that found belongs to
	found map[string]finding
}

// finding is the outcome of a search: a commit, or the error that there is none.
type finding struct {
	id  commit.ID
	err error
}

func (f *finder) find(ctx context.Context, s repo.Store, v *repo.View, ref repo.Ref) (commit.ID, error) {
	key := ref.String()
	if known, ok := f.recall(v.Gen, key); ok {
		return known.id, known.err
	}
	res, err := repo.ResolveIn(ctx, s, v, ref)
	if err != nil && !isAbsent(err) {
		return commit.ID{}, err
	}
	f.remember(v.Gen, key, finding{res.ID, err})
	return res.ID, err
}

func (f *finder) recall(gen uint64, key string) (finding, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gen != gen {
		return finding{}, false
	}
	known, ok := f.found[key]
	return known, ok
}

func (f *finder) remember(gen uint64, key string, what finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if gen < f.gen {
		return
	}
	if gen > f.gen || len(f.found) >= foundMax {
		f.gen, f.found = gen, nil
	}
	if f.found == nil {
		f.found = map[string]finding{}
	}
	f.found[key] = what
}

// isObject reports whether e is an object: a file or link is, a directory if
// somebody wrote its key or if it is empty.
func (v *version) isObject(ctx context.Context, e *tree.Entry) (bool, error) {
	if e.Kind != tree.Dir || e.Marker != nil {
		return true, nil
	}
	if e.Dir.Files > 0 {
		return false, nil
	}
	for _, err := range tree.Open(v.chunks, e.Dir).Entries(ctx, "", "") {
		return false, err
	}
	return true, nil
}
