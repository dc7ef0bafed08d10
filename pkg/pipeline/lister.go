package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Lister lists the datums of jobs, with the results that there are. It may be
// used concurrently.
type Lister struct {
	Store    *repo.Direct
	Runner   task.Runner // says what would execute a command; it runs nothing
	Memo     *memo.Cache
	Scope    string       // whose results count
	Platform string       // as in "linux/amd64"
	Code     chunk.Reader // reads the code of a version that is not registered; nil: all code is in the store
}

// Listing is the datums of a job: all of them, or what changed since the
// pipeline's previous output.
type Listing struct {
	Total   int64 // datums of the job, the unchanged ones included
	Delta   bool  // Items and Removed are what changed
	Removed []string
	Items   []engine.Item
	Missing map[memo.Key]datum.Datum // those of Items that have no result
	Nodes   int64                    // tree nodes that were read, from a cache or not
	keys    *keying
}

// Parts returns the digests of what the memo key of a datum covers.
func (l *Listing) Parts(d datum.Datum) []memo.Part { return l.keys.parts(d) }

// List lists the datums of a job. It fails with fs.ErrNotExist if what would
// run them can't be found.
func (o *Lister) List(ctx context.Context, job engine.JobSpec) (*Listing, error) {
	l := &listing{o: o, job: job, answer: &Listing{Missing: map[memo.Key]datum.Datum{}}}
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	return l.answer, nil
}

// listing is one enumeration.
type listing struct {
	o      *Lister
	job    engine.JobSpec
	r      *nodeCounter
	keys   *keying
	answer *Listing

	block    []listed     // found, and not looked up yet
	pass     func() error // hands it over to those who look up
	resolved []*resolved  // what was handed over, in order
}

func (l *listing) run(ctx context.Context) error {
	r, err := l.o.Store.ReadAny(ctx)
	if err != nil {
		return err
	}
	l.r = &nodeCounter{Reader: r}
	defer func() { l.answer.Nodes = l.r.nodes.Load() }()
	if l.keys, err = l.o.keying(ctx, l.job.Head); err != nil {
		return err
	}
	l.answer.keys = l.keys
	old, ok, err := l.previous(ctx)
	if err != nil {
		return err
	}
	return l.resolving(ctx, func(ctx context.Context) error {
		if ok {
			return l.changes(ctx, old)
		}
		return l.all(ctx)
	})
}

// previous returns what the pipeline's previous output was made of, if what
// changed since then is all that needs to be listed: the same input selected
// its datums, and all but their content is the same in their keys, as one of
// them shows.
func (l *listing) previous(ctx context.Context) (old datum.Version, ok bool, err error) {
	prov := l.job.Head.Output.Commit.Prov
	_, counted := engine.CountOf(l.job.Head.Output.Commit)
	if prov == nil || prov.Datums == nil || !counted || l.keys.anew() || l.keys.version.Spec.Growth != nil || len(prov.Inputs) != len(l.job.Head.Inputs) || prov.Pipeline != l.job.Head.Name {
		return old, false, nil
	}
	was, err := l.loadSpec(ctx, prov.Spec)
	if err != nil {
		return old, false, err
	}
	now := l.keys.version.Spec
	if !was.Input.SameDatums(now.Input) || !maps.EqualFunc(was.Sweep, now.Sweep, slices.Equal) {
		return old, false, nil
	}
	old.Reader = l.r
	for _, in := range prov.Inputs {
		c, err := commit.Load(ctx, l.r, in.Commit)
		if err != nil {
			return old, false, err
		}
		old.Trees = append(old.Trees, c.Tree)
	}
	seen := 0
	for d, err := range datum.All(ctx, old, now) {
		if err != nil {
			return old, false, err
		}
		row, err := output.Lookup(ctx, l.r, *prov.Datums, d.Identity)
		if err != nil {
			return old, false, err
		}
		ok, err := l.stands(ctx, row, d)
		if seen++; err != nil || !ok || seen == len(l.keys.settings) { // one datum in each setting
			return old, ok, err
		}
	}
	return old, true, nil // there was no datum
}

// loadSpec returns the spec in a spec commit.
func (l *listing) loadSpec(ctx context.Context, id commit.ID) (spec.Spec, error) {
	if id == l.job.Head.Spec {
		return l.keys.version.Spec, nil
	}
	c, err := commit.Load(ctx, l.r, id)
	if err != nil {
		return spec.Spec{}, err
	}
	v, err := LoadVersion(ctx, l.r, c.Tree)
	if errors.Is(err, fs.ErrInvalid) || errors.Is(err, chunk.ErrCorrupt) {
		return spec.Spec{}, nil // a spec of another release: list everything
	}
	return v.Spec, err
}

// stands reports whether a row of the previous datum table is still the result
// of a datum: it has the datum's key, or one that differs only in what the
// datum sees of reference inputs.
func (l *listing) stands(ctx context.Context, row *output.Row, d datum.Datum) (bool, error) {
	if row == nil || !l.references() || row.Key == l.keys.key(d) {
		return row != nil && row.Key == l.keys.key(d), nil
	}
	r, ok, err := l.o.Memo.Lookup(ctx, row.Key, l.o.Scope)
	if err != nil || !ok {
		return false, err
	}
	return slices.Equal(l.counting(r.Parts), l.counting(l.keys.parts(d))), nil
}

// references reports whether an input is a reference.
func (l *listing) references() bool {
	for in := range l.keys.version.Spec.Input.Leaves() {
		if in.Reference {
			return true
		}
	}
	return false
}

// counting returns the parts of a key without those of reference inputs.
func (l *listing) counting(parts []memo.Part) []memo.Part {
	parts = slices.Clone(parts)
	for in := range l.keys.version.Spec.Input.Leaves() {
		if in.Reference {
			parts = slices.DeleteFunc(parts, func(p memo.Part) bool { return p.Name == "input:"+in.Name })
		}
	}
	return parts
}

func (l *listing) all(ctx context.Context) error {
	for d, err := range datum.All(ctx, l.now(), l.keys.version.Spec) {
		if err == nil {
			err = l.again(ctx, d)
		}
		if err != nil {
			return err
		}
		l.answer.Total++
	}
	return nil
}

// again lists a datum that the previous output may have a result of, which
// stands although a reference input has changed.
func (l *listing) again(ctx context.Context, d datum.Datum) error {
	prov := l.job.Head.Output.Commit.Prov
	if prov == nil || prov.Datums == nil || !l.references() {
		return l.add(d)
	}
	row, err := output.Lookup(ctx, l.r, *prov.Datums, d.Identity)
	if err != nil {
		return err
	}
	ok, err := l.stands(ctx, row, d)
	if err != nil {
		return err
	}
	if !ok {
		return l.add(d)
	}
	return l.queue(listed{item: engine.Item{Identity: d.Identity, Key: row.Key, Hit: true, Output: row.Output}})
}

// now returns what the job reads.
func (l *listing) now() datum.Version {
	v := datum.Version{Reader: l.r}
	for _, in := range l.job.Head.Inputs {
		v.Trees = append(v.Trees, in.Head.Commit.Tree)
	}
	return v
}

func (l *listing) changes(ctx context.Context, old datum.Version) error {
	l.answer.Delta = true
	l.answer.Total, _ = engine.CountOf(l.job.Head.Output.Commit)
	for x, err := range datum.AllChanges(ctx, old, l.now(), l.keys.version.Spec) {
		if err != nil {
			return err
		}
		switch x.Kind {
		case tree.Removed:
			l.answer.Removed = append(l.answer.Removed, x.Datum.Identity)
			l.answer.Total--
			continue
		case tree.Added:
			l.answer.Total++
		case tree.Modified:
		}
		if err := l.add(x.Datum); err != nil {
			return err
		}
	}
	return nil
}
