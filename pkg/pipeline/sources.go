package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// The labels of commits that sources make.
const (
	tickLabel = "dvx.tick" // the time of a cron input, RFC 3339
	urlLabel  = "dvx.url"  // where the file came from
	etagLabel = "dvx.etag" // which version of it that was, if the server said
)

// Limits of sources.
const (
	ticksMax   = 1000            // ticks of an input that one look makes up for; the next look goes on
	fetchAgain = time.Minute     // after a fetch that failed
	lateness   = 2 * time.Minute // after which a time was missed: the engine was not there
	idleLook   = time.Hour       // if nothing is due
)

// Fetcher gets files from elsewhere.
type Fetcher interface {
	// Fetch opens what a URL names, with the tag of its version, "" if it has
	// none. The body is nil if the version is still that of etag. The caller
	// closes it.
	Fetch(ctx context.Context, url, etag string) (body io.ReadCloser, tag string, err error)
}

// Sources fills the repos of inputs that are clocks or files from elsewhere:
// each tick and each new version of a file is a commit, made once however many
// engines do it. What it needs to know is in the store. Its methods must not be
// called at the same time.
type Sources struct {
	store    *repo.Direct
	observer *Observer
	rights   auth.Authorizer // nil: everybody may do everything
	fetch    Fetcher         // nil: nothing is fetched
	now      func() time.Time

	asked  map[string]time.Time // when a file was asked for last, by repo, branch and URL
	failed map[string]time.Time // when it could not be had, if that was the last thing that happened
}

// newSources returns what fills the inputs of a store's pipelines.
func newSources(o ControllerOptions, observer *Observer) *Sources {
	return &Sources{
		store: o.Store, observer: observer, rights: o.Rights, fetch: o.Fetch, now: o.Now,
		asked: map[string]time.Time{}, failed: map[string]time.Time{},
	}
}

// Unfilled is an input that could not be brought up to date.
type Unfilled struct {
	Pipeline, Branch string // whose input it is
	Err              error  // names the input and says why
}

// Look makes the commits that are due, and returns when the next will be, and
// the inputs for which that failed: they are tried again later.
func (s *Sources) Look(ctx context.Context) (next time.Time, failed []Unfilled, err error) {
	next = s.now().Add(idleLook)
	view, err := s.store.View(ctx)
	if err != nil {
		return next, nil, err
	}
	snap, err := s.observer.ObserveView(ctx, view)
	if err != nil {
		return next, nil, err
	}
	for _, p := range snap.Pipelines {
		i := -1
		for in := range p.Version.Spec.Input.Leaves() {
			i++
			if p.Problem != "" || !in.Sourced() || p.Inputs[i].Branch != p.Branch { // or another branch's pipeline fills it
				continue
			}
			at, err := s.fill(ctx, view, p, in)
			if ctx.Err() != nil {
				return next, failed, ctx.Err()
			}
			if errors.Is(err, repo.ErrConflict) { // another engine was faster
				next = s.now()
				continue
			}
			if err != nil {
				failed = append(failed, Unfilled{p.Name, p.Branch, fmt.Errorf("input %s of pipeline %s@%s: %w", in.Name, p.Name, p.Branch, err)})
				at = s.now().Add(fetchAgain)
			}
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
	}
	return next, failed, nil
}

// fill makes the commits that are due of one input, and returns when the next
// is, zero if there is none.
func (s *Sources) fill(ctx context.Context, view *repo.View, p engine.PipelineHead, in spec.Input) (time.Time, error) {
	r, exists := view.Repos[in.Repo]
	if len(r.Specs) > 0 {
		return time.Time{}, fmt.Errorf("repo %s is a pipeline's output: give the input another name: %w", in.Repo, fs.ErrExist)
	}
	if s.rights != nil {
		who := auth.Principal{Name: view.Repos[p.Name].Specs[p.Branch].Owner}
		if err := s.rights.Authorize(ctx, who, auth.Write, auth.Resource{Repo: in.Repo, Branch: p.Branch}); err != nil {
			return time.Time{}, fmt.Errorf("%w: who registered the pipeline last answers for it", err)
		}
	}
	head := r.Branches[p.Branch].Commit
	labels, err := s.labels(ctx, head)
	if err != nil {
		return time.Time{}, err
	}
	f := filling{s: s, p: p, in: in, head: head, labels: labels, create: !exists}
	if in.Cron != nil {
		return f.tick(ctx)
	}
	return f.file(ctx)
}

// labels returns those of a commit; nil of none.
func (s *Sources) labels(ctx context.Context, id commit.ID) (map[string]string, error) {
	if id.IsZero() {
		return nil, nil
	}
	r, err := s.store.ReadAny(ctx)
	if err != nil {
		return nil, err
	}
	c, err := commit.Load(ctx, r, id)
	return c.Labels, err
}

// filling is one input whose repo is to be filled.
type filling struct {
	s      *Sources
	p      engine.PipelineHead
	in     spec.Input
	head   commit.ID
	labels map[string]string // of head
	create bool              // the repo is not there
}

// Due returns the times of a cron input that came after last and not after now,
// as its policy for missed ones has them, and the first that is still to come,
// zero if there is none. more says that there are others before that.
func Due(c spec.Cron, last, now time.Time) (due []time.Time, next time.Time, more bool, err error) {
	schedule, err := c.Schedule()
	if err != nil {
		return nil, next, false, err
	}
	for at := last; ; {
		t, ok := schedule.Next(at)
		switch {
		case !ok:
			return due, time.Time{}, false, nil
		case t.After(now):
			return due, t, false, nil
		case len(due) == ticksMax && c.Missed == "":
			return due, t, true, nil
		}
		at = t
		late := now.Sub(t) > lateness
		switch {
		case c.Missed == spec.MissedLatest && late:
			due = append(due[:0], t)
		case c.Missed != spec.MissedNone || !late:
			due = append(due, t)
		}
	}
}

// tick makes a commit for each time that is due.
func (f *filling) tick(ctx context.Context) (time.Time, error) {
	last, err := time.Parse(time.RFC3339, f.labels[tickLabel])
	if err != nil { // there was no tick yet
		last = f.p.SpecCommit.Time
		if from, ok := f.in.Cron.From(); ok {
			last = from.Add(-time.Second) // the start itself counts
		}
	}
	now := f.s.now()
	due, next, more, err := Due(*f.in.Cron, last, now)
	if err != nil {
		return next, err
	}
	for _, t := range due {
		if err := f.tickAt(ctx, t); err != nil {
			return next, err
		}
	}
	if more {
		next = now
	}
	return next, nil
}

func (f *filling) tickAt(ctx context.Context, t time.Time) error {
	name := t.UTC().Format(time.RFC3339)
	return f.commit(ctx, name, t, map[string]string{tickLabel: name}, "tick "+name, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		edits := []tree.Edit{{Op: tree.Put, Path: name, Entry: tree.Entry{Kind: tree.File, Attrs: d.Attrs()}}}
		if f.in.Cron.Overwrite {
			return tree.Apply(ctx, d, tree.Root{}, edits)
		}
		return d.Apply(ctx, edits)
	})
}

// file asks for the file of a URL if it is time, and commits another version of
// it.
func (f *filling) file(ctx context.Context) (time.Time, error) {
	s, key := f.s, f.in.Repo+"@"+f.p.Branch+" "+f.in.URL
	period, asked, now := f.in.Period(), s.asked[key], s.now()
	same := f.labels[urlLabel] == f.in.URL
	switch {
	case s.fetch == nil:
		return time.Time{}, nil
	case same && period == 0:
		return time.Time{}, nil // it is what it was when it was first asked for
	case same && !asked.IsZero() && now.Before(asked.Add(period)):
		return asked.Add(period), nil
	case now.Before(s.failed[key].Add(fetchAgain)):
		return s.failed[key].Add(fetchAgain), nil
	}
	etag := ""
	if same {
		etag = f.labels[etagLabel]
	}
	s.failed[key] = now
	body, tag, err := s.fetch.Fetch(ctx, f.in.URL, etag)
	if err != nil {
		return time.Time{}, fmt.Errorf("fetch %s: %w", f.in.URL, err)
	}
	if body != nil {
		if err := f.store(ctx, body, tag, now); err != nil {
			return time.Time{}, fmt.Errorf("fetch %s: %w", f.in.URL, err)
		}
	}
	delete(s.failed, key)
	s.asked[key] = now
	if period == 0 {
		return time.Time{}, nil
	}
	return now.Add(period), nil
}

// store commits a file that was fetched.
func (f *filling) store(ctx context.Context, body io.ReadCloser, tag string, now time.Time) error {
	defer func() { _ = body.Close() }()
	labels := map[string]string{urlLabel: f.in.URL}
	if tag != "" {
		labels[etagLabel] = tag
	}
	version := tag
	if version == "" {
		version = now.Format(time.RFC3339Nano)
	}
	return f.commit(ctx, f.in.URL+" "+version+" "+f.head.String(), now, labels, "fetched "+f.in.URL, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		c, err := chunk.WriteContent(ctx, d, f.s.store.Config().Chunker, body)
		if err != nil {
			return tree.Root{}, err
		}
		e := tree.Entry{Kind: tree.File, Content: c, Attrs: d.Attrs()}
		return tree.Apply(ctx, d, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: fileName(f.in.URL), Entry: e}})
	})
}

// fileName returns the last part of a URL's path, or "data".
func fileName(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "data"
	}
	name := path.Base(strings.TrimSuffix(u.Path, "/"))
	if name == "" || name == "." || name == "/" || tree.CheckPath(name) != nil {
		return "data"
	}
	return name
}

// commit makes one commit of the input's repo. what names it: the same is
// committed once, whoever does it.
func (f *filling) commit(ctx context.Context, what string, at time.Time, labels map[string]string, message string, change func(context.Context, *repo.Draft) (tree.Root, error)) error {
	if f.create {
		op, err := f.s.store.NewOp()
		if err != nil {
			return err
		}
		_, err = f.s.store.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.CreateRepo{Repo: f.in.Repo, Branch: f.p.Branch}}})
		if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, repo.ErrConflict) {
			return err
		}
		f.create = false
	}
	sum := chunk.Data.Sum([]byte("dvx 2026-11 v1 source " + f.in.Repo + "@" + f.p.Branch + " " + what))
	res, err := repo.Commit(ctx, f.s.store, repo.CommitOptions{
		Repo: f.in.Repo, Branch: f.p.Branch, Op: repo.OpID(sum[:len(repo.OpID{})]), Time: commit.Stamp(at), Author: "dvx", Message: message,
		Labels: labels, AllowEmpty: true, Expect: &f.head, // a body can be read once
	}, change)
	if err != nil {
		return fmt.Errorf("commit %s: %w", message, err)
	}
	f.head = res.ID
	return nil
}
