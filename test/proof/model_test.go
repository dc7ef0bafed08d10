package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestModel runs random sequences of operations of two processes on a store,
// collections among them, and holds every answer to a model: maps from names to
// versions, and from versions to files.
func TestModel(t *testing.T) {
	const steps = 40
	first, end := seedRange(t, seeds(20, 4))
	counts := make([]map[string]int, end-first)
	err := workers(int(end-first), func(i int) error {
		seed := first + uint64(i)
		m := newModel(t, seed)
		counts[i] = m.counts
		for n := range steps {
			name, err := m.step()
			if err == nil {
				err = m.check()
			}
			if err != nil {
				return fmt.Errorf("DVX_SEED=%d, step %d, %s: %w", seed, n+1, name, err)
			}
			m.counts[name]++
		}
		_, err := audit(m.ctx, m.objects, seen{collected: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	total := map[string]int{}
	for _, c := range counts {
		for name, n := range c {
			total[name] += n
		}
	}
	figure(t, "%d sequences of %d operations of %d kinds %v: as the model says", end-first, steps, len(total), total)
}

// model is a store and what it should be.
type model struct {
	t       testing.TB
	ctx     context.Context
	rng     *rand.Rand
	objects *mem.Store
	ds      []*repo.Direct
	counts  map[string]int

	branches map[string]commit.ID
	tags     map[string]commit.ID
	files    map[commit.ID]map[string]string // by version
	parents  map[commit.ID][]commit.ID
	ops      []done
}

// done is a commit that may be repeated.
type done struct {
	op           repo.OpID
	branch, path string
	text         string
	id           commit.ID
}

func newModel(t testing.TB, seed uint64) *model {
	m := &model{
		t: t, ctx: owner(t), rng: rand.New(rand.NewPCG(seed, 0)), objects: mem.New(mem.Options{}), counts: map[string]int{},
		branches: map[string]commit.ID{"main": {}}, tags: map[string]commit.ID{}, files: map[commit.ID]map[string]string{{}: {}}, parents: map[commit.ID][]commit.ID{},
	}
	m.ds = []*repo.Direct{create(t, m.objects), open(t, m.objects)}
	return m
}

func (m *model) d() *repo.Direct { return m.ds[m.rng.IntN(len(m.ds))] }

// pick returns one of the keys, in an order that repeats.
func pick[V any](rng *rand.Rand, m map[string]V) string {
	names := slices.Sorted(maps.Keys(m))
	return names[rng.IntN(len(names))]
}

func (m *model) path() string { return []string{"a", "b", "d/a", "d/b", "d/e/f"}[m.rng.IntN(5)] }

func (m *model) text() string { return noise(m.rng.Uint64(), m.rng.IntN(3000)) }

func (m *model) op() repo.OpID {
	op, err := m.ds[0].NewOp()
	if err != nil {
		m.t.Fatal(err)
	}
	return op
}

func (m *model) move(ops ...repo.Op) error {
	_, err := m.d().Move(m.ctx, repo.Txn{Op: m.op(), Ops: ops})
	return err
}

// wantErr holds err to a kind, or to nil.
func wantErr(err, kind error) error {
	if kind == nil && err == nil || kind != nil && errors.Is(err, kind) {
		return nil
	}
	return fmt.Errorf("ended with %v, the model says %v", err, kind) //nolint:errorlint // told, not handed on
}

// step does one random operation.
func (m *model) step() (string, error) {
	kinds := []struct {
		name string
		do   func() error
	}{
		{"put", m.put},
		{"put", m.put},
		{"put", m.put},
		{"put the same", m.putSame},
		{"remove", m.remove},
		{"repeat", m.repeat},
		{"stale put", m.stalePut},
		{"overwrite", m.overwrite},
		{"create branch", m.createBranch},
		{"delete branch", m.deleteBranch},
		{"set branch", m.setBranch},
		{"stale set", m.staleSet},
		{"create tag", m.createTag},
		{"delete tag", m.deleteTag},
		{"merge", m.merge},
		{"two branches", m.twoBranches},
		{"abandon", m.abandon},
		{"settle", m.settle},
		{"reopen", m.reopen},
		{"collect", m.collect},
		{"read old", m.readOld},
	}
	k := kinds[m.rng.IntN(len(kinds))]
	return k.name, k.do()
}

// commitOn commits edits to a branch and returns the new version.
func (m *model) commitOn(o repo.CommitOptions, edits func(*repo.Draft) ([]tree.Edit, error)) (repo.CommitResult, error) {
	o.Repo, o.Time = "r", testTime()
	if o.Op.IsZero() {
		o.Op = m.op()
	}
	d := m.d()
	return repo.Commit(m.ctx, d, o, func(ctx context.Context, dr *repo.Draft) (tree.Root, error) {
		es, err := edits(dr)
		if err != nil {
			return tree.Root{}, err
		}
		return dr.Apply(ctx, es)
	})
}

// record takes a commit over into the model.
func (m *model) record(branch string, res repo.CommitResult, change func(map[string]string)) {
	if res.Unchanged {
		return
	}
	files := maps.Clone(m.files[m.branches[branch]])
	change(files)
	m.files[res.ID], m.branches[branch], m.parents[res.ID] = files, res.ID, res.Commit.Parents
}

// reached reports whether a name leads to a version: a collection may have
// taken the others.
func (m *model) reached(id commit.ID) bool {
	todo := slices.Concat(slices.Collect(maps.Values(m.branches)), slices.Collect(maps.Values(m.tags)))
	for known := map[commit.ID]bool{}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if at == id {
			return true
		}
		if !known[at] {
			known[at] = true
			todo = append(todo, m.parents[at]...)
		}
	}
	return false
}

func (m *model) put() error {
	o := done{op: m.op(), branch: pick(m.rng, m.branches), path: m.path(), text: m.text()}
	return m.putOp(o)
}

func (m *model) putOp(o done) error {
	res, err := put(m.ctx, m.d(), o.op, o.branch, o.path, o.text)
	if err != nil {
		return err
	}
	m.record(o.branch, res, func(f map[string]string) { f[o.path] = o.text })
	o.id = res.ID
	if !res.Unchanged {
		m.ops = append(m.ops, o)
	}
	return nil
}

// putSame puts what is there: nothing is to be committed.
func (m *model) putSame() error {
	branch := pick(m.rng, m.branches)
	files := m.files[m.branches[branch]]
	if len(files) == 0 {
		return nil
	}
	path := pick(m.rng, files)
	res, err := put(m.ctx, m.d(), m.op(), branch, path, files[path])
	if err == nil && !res.Unchanged {
		err = fmt.Errorf("%s was committed again", path)
	}
	return err
}

func (m *model) remove() error {
	branch := pick(m.rng, m.branches)
	files := m.files[m.branches[branch]]
	if len(files) == 0 {
		return nil
	}
	path := pick(m.rng, files)
	res, err := m.commitOn(repo.CommitOptions{Branch: branch, Policy: repo.Rebase}, func(*repo.Draft) ([]tree.Edit, error) {
		return []tree.Edit{{Op: tree.Delete, Path: path}}, nil
	})
	if err == nil {
		m.record(branch, res, func(f map[string]string) { delete(f, path) })
	}
	return err
}

// repeat repeats an earlier commit: it gives the same version and moves nothing.
func (m *model) repeat() error {
	if len(m.ops) == 0 {
		return nil
	}
	o := m.ops[m.rng.IntN(len(m.ops))]
	if _, ok := m.branches[o.branch]; !ok {
		return nil
	}
	res, err := put(m.ctx, m.d(), o.op, o.branch, o.path, o.text)
	if !m.reached(o.id) && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && (!res.Replay && !res.Unchanged || res.Replay && res.ID != o.id) {
		err = fmt.Errorf("version %v again became %v", o.id.Short(), res.ID.Short())
	}
	return err
}

// stalePut commits on what is not the branch's version.
func (m *model) stalePut() error {
	branch, other := pick(m.rng, m.branches), m.anyVersion()
	if other == m.branches[branch] {
		return nil
	}
	text := m.text()
	_, err := m.commitOn(repo.CommitOptions{Branch: branch, Expect: &other}, func(dr *repo.Draft) ([]tree.Edit, error) {
		return m.edit(dr, "stale", text)
	})
	return wantErr(err, repo.ErrConflict)
}

// edit stores a text and returns the edit that puts it.
func (m *model) edit(dr *repo.Draft, path, text string) ([]tree.Edit, error) {
	c, err := writeText(m.ctx, dr, text)
	return []tree.Edit{{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: c}}}, err
}

// overwrite commits to a branch what was made on another version.
func (m *model) overwrite() error {
	branch, from := pick(m.rng, m.branches), m.anyVersion()
	if m.branches[branch].IsZero() || from.IsZero() {
		return nil
	}
	path, text := m.path(), m.text()
	res, err := m.commitOn(repo.CommitOptions{Branch: branch, Expect: &from, Policy: repo.Overwrite}, func(dr *repo.Draft) ([]tree.Edit, error) {
		return m.edit(dr, path, text)
	})
	if err != nil || res.Unchanged {
		return err
	}
	files := maps.Clone(m.files[from])
	files[path] = text
	m.files[res.ID], m.branches[branch], m.parents[res.ID] = files, res.ID, res.Commit.Parents
	return nil
}

// anyVersion returns a version that some name reaches, or none.
func (m *model) anyVersion() commit.ID {
	all := maps.Clone(m.branches)
	for name, id := range m.tags {
		all["tag "+name] = id
	}
	return all[pick(m.rng, all)]
}

func (m *model) createBranch() error {
	name, from := fmt.Sprintf("b%d", m.rng.IntN(3)), m.anyVersion()
	_, taken := m.branches[name]
	err := m.move(repo.CreateBranch{Repo: "r", Branch: name, From: from})
	if taken {
		return wantErr(err, fs.ErrExist)
	}
	if err == nil {
		m.branches[name] = from
	}
	return err
}

func (m *model) deleteBranch() error {
	name := pick(m.rng, m.branches)
	if name == "main" {
		return nil
	}
	err := m.move(repo.DeleteBranch{Repo: "r", Branch: name, Expect: m.branches[name]})
	if err == nil {
		delete(m.branches, name)
	}
	return err
}

func (m *model) setBranch() error {
	name, to := pick(m.rng, m.branches), m.anyVersion()
	if to.IsZero() {
		return nil
	}
	err := m.move(repo.MoveBranch{Repo: "r", Branch: name, Expect: m.branches[name], To: to, Force: true})
	if err == nil {
		m.branches[name] = to
	}
	return err
}

// staleSet sets a branch that is not where it is expected.
func (m *model) staleSet() error {
	name, to := pick(m.rng, m.branches), m.anyVersion()
	if to.IsZero() {
		return nil
	}
	wrong := commit.ID{1, 2, 3}
	return wantErr(m.move(repo.MoveBranch{Repo: "r", Branch: name, Expect: wrong, To: to, Force: true}), repo.ErrConflict)
}

func (m *model) createTag() error {
	name, to := fmt.Sprintf("v%d", m.rng.IntN(3)), m.anyVersion()
	if to.IsZero() {
		return nil
	}
	_, taken := m.tags[name]
	err := m.move(repo.CreateTag{Repo: "r", Tag: name, Commit: to})
	if taken {
		return wantErr(err, fs.ErrExist)
	}
	if err == nil {
		m.tags[name] = to
	}
	return err
}

func (m *model) deleteTag() error {
	name := fmt.Sprintf("v%d", m.rng.IntN(3))
	_, there := m.tags[name]
	err := m.move(repo.DeleteTag{Repo: "r", Tag: name})
	if !there {
		return wantErr(err, repo.ErrRefNotFound)
	}
	delete(m.tags, name)
	return err
}

// merge makes a commit with a second parent.
func (m *model) merge() error {
	branch, other := pick(m.rng, m.branches), m.anyVersion()
	if other.IsZero() || other == m.branches[branch] {
		return nil
	}
	path, text := m.path(), m.text()
	res, err := m.commitOn(repo.CommitOptions{Branch: branch, Merged: []commit.ID{other}}, func(dr *repo.Draft) ([]tree.Edit, error) {
		return m.edit(dr, path, text)
	})
	if err == nil {
		m.record(branch, res, func(f map[string]string) { f[path] = text })
	}
	return err
}

// twoBranches changes two names at once, or, if one cannot be, none.
func (m *model) twoBranches() error {
	to := m.anyVersion()
	_, taken := m.tags["both"]
	if to.IsZero() {
		return nil
	}
	err := m.move(
		repo.MoveBranch{Repo: "r", Branch: "main", Expect: m.branches["main"], To: to, Force: true},
		repo.CreateTag{Repo: "r", Tag: "both", Commit: to},
	)
	if taken {
		return wantErr(err, fs.ErrExist)
	}
	if err == nil {
		m.branches["main"], m.tags["both"] = to, to
	}
	return err
}

// abandon stores something and publishes nothing.
func (m *model) abandon() error {
	errGone := errors.New("the user went away")
	text := m.text()
	_, err := m.commitOn(repo.CommitOptions{Branch: "main"}, func(dr *repo.Draft) ([]tree.Edit, error) {
		if _, err := m.edit(dr, "x", text); err != nil {
			return nil, err
		}
		return nil, errGone
	})
	return wantErr(err, errGone)
}

// settle asks for the outcome of an operation: of one that was made, or of none.
func (m *model) settle() error {
	op, want := m.op(), false
	if len(m.ops) > 0 && m.rng.IntN(2) == 0 {
		op, want = m.ops[len(m.ops)-1].op, true
	}
	out, err := m.d().Settle(m.ctx, op)
	if err == nil && out.Applied != want {
		err = fmt.Errorf("operation applied: %v, the model says %v", out.Applied, want)
	}
	return err
}

// reopen ends a process and starts another.
func (m *model) reopen() error {
	i := m.rng.IntN(len(m.ds))
	if err := m.ds[i].Close(); err != nil {
		return err
	}
	m.ds[i] = open(m.t, m.objects)
	return nil
}

func (m *model) collect() error { return collectNow(m.ctx, m.objects) }

// readOld reads a file of a version that a name reaches.
func (m *model) readOld() error {
	id := m.anyVersion()
	if files := m.files[id]; len(files) > 0 {
		return m.same("r@"+id.String(), files, pick(m.rng, files))
	}
	return nil
}

func (m *model) same(ref string, files map[string]string, path string) error {
	got, err := read(m.ctx, m.d(), ref+":/"+path)
	if err == nil && got != files[path] {
		err = fmt.Errorf("%s:/%s has %d other bytes", ref, path, len(got))
	}
	return err
}

// check holds the names and one file of each branch to the model.
func (m *model) check() error {
	v, err := m.d().View(m.ctx)
	if err != nil {
		return err
	}
	r := v.Repos["r"]
	if len(r.Branches) != len(m.branches) || len(r.Tags) != len(m.tags) {
		return fmt.Errorf("%d branches and %d tags, the model has %d and %d", len(r.Branches), len(r.Tags), len(m.branches), len(m.tags))
	}
	for name, id := range m.tags {
		if r.Tags[name].Commit != id {
			return fmt.Errorf("tag %s is at %v, the model says %v", name, r.Tags[name].Commit.Short(), id.Short())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.branches)) {
		id := m.branches[name]
		if r.Branches[name].Commit != id {
			return fmt.Errorf("branch %s is at %v, the model says %v", name, r.Branches[name].Commit.Short(), id.Short())
		}
		if files := m.files[id]; len(files) > 0 {
			if err := m.same("r@"+name, files, pick(m.rng, files)); err != nil {
				return err
			}
		}
	}
	return nil
}
