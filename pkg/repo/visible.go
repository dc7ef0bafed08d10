package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Visible is a branch as its readers see it: its commit, and over that the
// writes that are not sealed yet.
type Visible struct {
	Gen    uint64       // of the root
	Head   commit.ID    // the branch's commit; zero if it is empty
	Open   *OpenCommit  // nil if there are no open writes
	Root   tree.Root    // everything that is visible; the zero Root of an empty branch
	Chunks chunk.Reader // has the directory and its files
}

// Tree opens what is visible.
func (v *Visible) Tree() *tree.Tree { return tree.Open(v.Chunks, v.Root) }

// Looker is a [Store] that shows open commits.
type Looker interface {
	// Look returns what is visible of a branch as of the root of this moment:
	// all writes that were acknowledged before the call, by whichever process.
	Look(ctx context.Context, repo, branch string) (Visible, error)
}

// Look returns what is visible of a branch, see [Looker]. Of a Store that does
// not show open commits it is the branch's commit.
func Look(ctx context.Context, s Store, repo, branch string) (Visible, error) {
	if l, ok := s.(Looker); ok {
		return l.Look(ctx, repo, branch)
	}
	chunks, res, err := OpenReader(ctx, s, repo+"@"+branch)
	if err != nil {
		return Visible{}, err
	}
	return Visible{Gen: res.Gen, Head: res.ID, Root: res.Commit.Tree, Chunks: chunks}, nil
}

var _ Looker = (*Direct)(nil)

// Look implements [Looker].
func (d *Direct) Look(ctx context.Context, repo, branch string) (Visible, error) {
	l, err := d.revalidate(ctx)
	if err != nil {
		return Visible{}, err
	}
	v, err := d.look(ctx, l, repo, branch)
	if errors.Is(err, chunk.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) { // collected meanwhile: the root of the day does not need it
		if l, err = d.load(ctx); err == nil {
			v, err = d.look(ctx, l, repo, branch)
		}
	}
	if err != nil {
		return Visible{}, fmt.Errorf("%s@%s: %w", repo, branch, err)
	}
	return v, nil
}

func (d *Direct) look(ctx context.Context, l *loaded, repo, branch string) (Visible, error) {
	r, ok := l.root.Repos[repo]
	if !ok {
		return Visible{}, ErrRepoNotFound
	}
	b, ok := r.Branches[branch]
	if !ok {
		return Visible{}, ErrRefNotFound
	}
	chunks, err := d.reader(ctx, l)
	if err != nil {
		return Visible{}, err
	}
	v := Visible{Gen: l.root.Gen, Head: b.Commit, Chunks: chunks}
	o, open := l.root.Open[OpenKey(repo, branch)]
	if !open {
		v.Root, err = treeOf(ctx, chunks, b.Commit)
		return v, err
	}
	v.Open = &o
	m, err := d.open.materialize(ctx, chunks, OpenKey(repo, branch), &o)
	if err != nil {
		return Visible{}, err
	}
	v.Root, v.Chunks = m.root, over{m.mem, chunks}
	return v, nil
}

// treeOf returns the directory of a commit, the zero Root of the zero ID.
func treeOf(ctx context.Context, r chunk.Reader, id commit.ID) (tree.Root, error) {
	if id.IsZero() {
		return tree.Root{}, nil
	}
	c, err := commit.Load(ctx, r, id)
	return c.Tree, err
}

// below returns the directory that an open commit's batches are applied to.
func (o *OpenCommit) below(ctx context.Context, r chunk.Reader) (tree.Root, error) {
	if o.Tree != nil {
		return *o.Tree, nil
	}
	return treeOf(ctx, r, o.Base)
}

// openTrees keeps what is visible of the branches that were looked at last.
// The zero value is ready to use.
type openTrees struct {
	mu     sync.Mutex
	trees  map[string]*openTree
	recent []string // keys, the one used last at the end
}

// openTreesMax is how many branches' open trees are kept: each holds at most
// the nodes on the way to openFold paths, some tens of MiB, mostly a few KiB.
const openTreesMax = 8

// openTree is what is visible of one branch. Its lock admits one caller to the
// work of making it; the others find it done.
type openTree struct {
	mu sync.Mutex
	m  *materialized
}

func (t *openTrees) of(key string) *openTree {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trees == nil {
		t.trees = map[string]*openTree{}
	}
	if i := slices.Index(t.recent, key); i >= 0 {
		t.recent = slices.Delete(t.recent, i, i+1)
	}
	t.recent = append(t.recent, key)
	if len(t.recent) > openTreesMax {
		delete(t.trees, t.recent[0])
		t.recent = slices.Delete(t.recent, 0, 1)
	}
	if t.trees[key] == nil {
		t.trees[key] = &openTree{}
	}
	return t.trees[key]
}

// materialize returns what is visible of o, from what was made of its
// predecessors where that goes.
func (t *openTrees) materialize(ctx context.Context, r chunk.Reader, key string, o *OpenCommit) (*materialized, error) {
	from, err := o.below(ctx, r)
	if err != nil {
		return nil, err
	}
	at := t.of(key)
	at.mu.Lock()
	defer at.mu.Unlock()
	m, err := at.m.extend(ctx, r, from, o)
	if err == nil {
		at.m = m
	}
	return m, err
}

// materialized is a directory as readers see it, of which the nodes that the
// open writes make are in memory. It never changes.
type materialized struct {
	from    tree.Root // the directory below the batches
	batches []tree.ID // that were applied
	steps   int       // in how many steps: each leaves nodes behind that the next replaces
	root    tree.Root
	mem     *chunk.Mem
}

// materializeMax bounds the nodes in memory that are needed no more.
const materializeMax = 64

// extend applies the batches of o that m lacks. It starts from the beginning
// with no m, or one that o does not continue.
func (m *materialized) extend(ctx context.Context, r chunk.Reader, from tree.Root, o *OpenCommit) (*materialized, error) {
	if m == nil || m.from != from || !o.startsWith(m.batches) || m.steps >= materializeMax {
		m = &materialized{from: from, root: from, mem: &chunk.Mem{}}
	}
	rest := o.Batches[len(m.batches):]
	if len(rest) == 0 {
		return m, nil
	}
	writes, err := loadOverlay(ctx, r, rest)
	if err != nil {
		return nil, err
	}
	next := &materialized{from: from, batches: o.batchIDs(), steps: m.steps + 1, mem: m.mem}
	next.root, err = tree.Apply(ctx, over{m.mem, r}, m.root, writes.edits)
	return next, err
}

// LookRef resolves expr and opens what it names for reading: of a branch what
// is visible of it, of anything else the version, whose directory is then the
// Visible's Root.
func LookRef(ctx context.Context, s Store, expr string) (Visible, Resolved, error) {
	res, err := Resolve(ctx, s, expr)
	if err != nil {
		return Visible{}, Resolved{}, err
	}
	if res.Branch != "" && res.Ref.At.IsZero() && len(res.Ref.Steps) == 0 {
		v, err := Look(ctx, s, res.Repo, res.Branch)
		return v, res, err
	}
	r, err := s.Reader(ctx, res.Scope())
	return Visible{Gen: res.Gen, Head: res.ID, Root: res.Commit.Tree, Chunks: r}, res, err
}
