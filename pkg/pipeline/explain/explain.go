package explain

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Options say whose results count and what would run programs. All fields are
// required; without a Runner there are no plans.
type Options struct {
	Store    *repo.Direct
	Jobs     *pipeline.Jobs
	Runner   task.Runner // it is asked for runtimes only
	Scope    string      // trust scope of results
	Platform string      // as in "linux/amd64"

	// Rights are asked whether a pipeline's owner may read its inputs: what can't
	// run for that is not looked into. nil: he may.
	Rights auth.Authorizer
}

// Explainer answers questions about a store.
type Explainer struct {
	o        Options
	memo     *memo.Cache
	observer *pipeline.Observer
}

// New returns an explainer.
func New(o Options) *Explainer {
	x := &Explainer{o: o, memo: pipeline.OpenMemo(o.Store), observer: pipeline.NewObserver(o.Store)}
	x.observer.Judge(o.Rights)
	return x
}

// sync brings the memo in step with the root.
func (x *Explainer) sync(ctx context.Context) error {
	root, err := x.o.Store.Root(ctx)
	if err != nil {
		return err
	}
	return x.memo.Sync(ctx, root.Memo)
}

// Datum is a datum for people: which paths a program would see of which input.
type Datum struct {
	Identity string      `json:"identity"`
	Inputs   []DatumPart `json:"inputs"`
}

// DatumPart is what a datum sees of an input.
type DatumPart struct {
	Name  string   `json:"name"`
	Paths []string `json:"paths"` // a directory's end in "/"
	Bytes int64    `json:"bytes"`
}

func datumOf(d datum.Datum) Datum {
	out := Datum{Identity: d.Identity}
	for _, in := range d.Inputs {
		part := DatumPart{Name: in.Name}
		for _, it := range in.Items {
			path := "/" + it.Path
			part.Bytes += it.Entry.Content.Size
			if it.Entry.Kind == tree.Dir {
				part.Bytes += it.Entry.Dir.Bytes
				path = strings.TrimSuffix(path, "/") + "/"
			}
			part.Paths = append(part.Paths, path)
		}
		out.Inputs = append(out.Inputs, part)
	}
	return out
}

// Preview yields the datums that an input would have on a branch, with no
// pipeline there to read it. It fails with fs.ErrNotExist if a repo or branch
// is not there.
func (x *Explainer) Preview(ctx context.Context, in spec.Input, branch string) iter.Seq2[Datum, error] {
	return func(yield func(Datum, error) bool) {
		v, err := x.heads(ctx, in, branch)
		if err != nil {
			yield(Datum{}, err)
			return
		}
		for d, err := range datum.List(ctx, v, in) {
			if !yield(datumOf(d), err) || err != nil {
				return
			}
		}
	}
}

// heads returns what an input reads on a branch at the moment.
func (x *Explainer) heads(ctx context.Context, in spec.Input, branch string) (datum.Version, error) {
	v := datum.Version{}
	view, err := x.o.Store.View(ctx)
	if err != nil {
		return v, err
	}
	if v.Reader, err = x.o.Store.ReadAny(ctx); err != nil {
		return v, err
	}
	for leaf := range in.Leaves() {
		at, problem := pipeline.ResolveInput(view, leaf, "", branch)
		if problem != "" {
			return v, fmt.Errorf("%s: %w", problem, fs.ErrNotExist)
		}
		id := view.Repos[leaf.Repo].Branches[at].Commit
		c := commit.Commit{}
		if !id.IsZero() {
			if c, err = commit.Load(ctx, v.Reader, id); err != nil {
				return v, err
			}
		}
		v.Trees = append(v.Trees, c.Tree)
	}
	return v, nil
}

// side is a version of a pipeline with what it read: one side of a comparison.
type side struct {
	commit  commit.Commit // the output; zero if there is none
	version engine.Version
	inputs  datum.Version
	refs    []commit.Input
}

// sideOf reads what an output commit was made of. It is zero for a commit that
// no pipeline made.
func (x *Explainer) sideOf(ctx context.Context, r chunk.Reader, id commit.ID) (side, error) {
	if id.IsZero() {
		return side{}, nil
	}
	c, err := commit.Load(ctx, r, id)
	if err != nil || c.Prov == nil {
		return side{}, err
	}
	s, err := x.read(ctx, r, c.Prov.Spec, c.Prov.Inputs)
	s.commit = c
	return s, err
}

// read reads a spec version and what it read.
func (x *Explainer) read(ctx context.Context, r chunk.Reader, version commit.ID, inputs []commit.Input) (side, error) {
	s := side{inputs: datum.Version{Reader: r}, refs: inputs}
	at, err := commit.Load(ctx, r, version)
	if err != nil {
		return s, err
	}
	if s.version, err = pipeline.LoadVersion(ctx, r, at.Tree); err != nil {
		return s, err
	}
	for _, in := range inputs {
		c, err := commit.Load(ctx, r, in.Commit)
		if err != nil {
			return s, err
		}
		s.inputs.Trees = append(s.inputs.Trees, c.Tree)
	}
	return s, nil
}

// refText names a version for people.
func refText(in commit.Input) string {
	return in.Repo + "@" + cmp.Or(in.Branch, "?") + " at " + in.Commit.Short()
}
