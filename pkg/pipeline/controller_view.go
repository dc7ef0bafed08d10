package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Jobs reads what is known of jobs: of those under way in this process if an
// engine runs in it, and of all others from history. It may be used
// concurrently.
type Jobs struct {
	store *repo.Direct
	log   *history.Log
	memo  *memo.Cache
	live  func(func(*engine.State)) // looks at the engine's state, if there is one
	watch func(ctx context.Context, after uint64) (uint64, error)
	tells task.Teller         // what programs print that run; nil: it can't be known here
	mine  func() chunk.Reader // the engine's session, which has what is not published; nil: there is none
	scope string
	alone bool // nobody else keeps the memo in step with the root
}

// OpenJobs returns the jobs of a store in which no engine runs, or one that
// runs elsewhere: what it has published so far. scope is the trust scope whose
// results are of interest.
func OpenJobs(store *repo.Direct, scope string) *Jobs {
	return &Jobs{
		store: store, log: OpenHistory(store), memo: OpenMemo(store), live: func(func(*engine.State)) {}, watch: store.Watch, scope: scope, alone: true,
	}
}

// Jobs returns the jobs of the store, with those that the engine has under way
// as they are at the moment.
func (c *Controller) Jobs() *Jobs {
	look := func(do func(*engine.State)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.state != nil {
			do(c.state)
		}
	}
	tells, _ := c.o.Runner.(task.Teller)
	mine := func() chunk.Reader {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.state == nil {
			return nil
		}
		return c.session
	}
	return &Jobs{
		store: c.o.Store, log: c.log, memo: c.memo, live: look, watch: c.steps.wait, tells: tells, mine: mine, scope: c.o.Scope,
	}
}

// List returns all jobs of a pipeline, or of all if it is empty, newest first.
func (j *Jobs) List(ctx context.Context, pipeline string) ([]history.Job, error) {
	past, err := j.log.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	var live []history.Job
	j.live(func(s *engine.State) { live = s.Jobs() })
	// A job that the root calls over is over, though the engine may not have
	// heard yet how its swap ended.
	over := map[engine.JobID]history.Job{}
	for _, r := range past {
		if r.State.Final() {
			over[r.ID] = r
		}
	}
	for i, r := range live {
		live[i].Output = commit.ID{} // nobody can read it before it is published
		if o, ok := over[r.ID]; ok && !o.Created.Before(r.Created) {
			live[i] = o
		}
	}
	all := make([]history.Job, 0, len(past)+len(live))
	seen := map[engine.JobID]bool{}
	for _, r := range append(live, past...) {
		if !seen[r.ID] && (pipeline == "" || r.Pipeline == pipeline) {
			all = append(all, r)
		}
		seen[r.ID] = true
	}
	slices.SortStableFunc(all, func(a, b history.Job) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID.String(), b.ID.String()))
	})
	return all, nil
}

// Get returns the job of an ID or of a unique prefix of at least 6 digits.
func (j *Jobs) Get(ctx context.Context, prefix string) (history.Job, error) {
	all, err := j.List(ctx, "")
	if err != nil {
		return history.Job{}, err
	}
	return history.Find(all, prefix)
}

// Ledger returns what [Plan] and [Settle] need to know of jobs.
func (j *Jobs) Ledger(ctx context.Context) (engine.Ledger, error) {
	all, err := j.List(ctx, "")
	slices.Reverse(all)
	return engine.NewLedger(all), err
}

// DatumInfo is what is known of a datum of a job.
type DatumInfo struct {
	Identity string          `json:"identity"`
	Key      memo.Key        `json:"key"`
	State    string          `json:"state"` // skipped, or how the last attempt ended, or where it is
	Attempts int             `json:"attempts"`
	Reason   string          `json:"reason,omitempty"`
	Last     history.Attempt `json:"last,omitzero"` // the last attempt; of a skipped one, the run that gave the result, as far as the memo says
}

// skipped is the state of a datum that had a result already.
const skipped = "skipped"

// Datums yields the datums of a job: those that were run first, in order of
// their identity, then those that were skipped. The sequence ends after an
// error.
func (j *Jobs) Datums(ctx context.Context, id engine.JobID) iter.Seq2[DatumInfo, error] {
	return func(yield func(DatumInfo, error) bool) {
		if err := j.datums(ctx, id, func(d DatumInfo) bool { return yield(d, nil) }); err != nil {
			yield(DatumInfo{}, fmt.Errorf("datums of job %s: %w", id.Short(), err))
		}
	}
}

func (j *Jobs) datums(ctx context.Context, id engine.JobID, yield func(DatumInfo) bool) error {
	job, err := j.Get(ctx, id.String())
	if err != nil {
		return err
	}
	if err := j.sync(ctx); err != nil {
		return err
	}
	ran, err := j.ran(ctx, id)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, d := range ran {
		seen[d.Identity] = true
		if !yield(d) {
			return nil
		}
	}
	if job.Output.IsZero() {
		return nil
	}
	r, err := j.store.ReadAny(ctx)
	if err != nil {
		return err
	}
	c, err := commit.Load(ctx, r, job.Output)
	if err != nil || c.Prov == nil || c.Prov.Datums == nil {
		return err
	}
	for row, err := range output.Table(ctx, r, *c.Prov.Datums) {
		if err != nil {
			return err
		}
		if !seen[row.Identity] && !yield(j.skippedDatum(ctx, row.Identity, row.Key)) {
			return nil
		}
	}
	return nil
}

// sync brings the memo in step with the root, unless the engine does: it must
// never go back to an older root.
func (j *Jobs) sync(ctx context.Context) error {
	if !j.alone {
		return nil
	}
	root, err := j.store.Root(ctx)
	if err != nil {
		return err
	}
	return j.memo.Sync(ctx, root.Memo)
}

// ran returns the datums that a job has run or is to run, by identity.
func (j *Jobs) ran(ctx context.Context, id engine.JobID) ([]DatumInfo, error) {
	attempts, err := j.log.Attempts(ctx, id)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	var all []DatumInfo
	note := func(d DatumInfo) {
		if i, ok := at[d.Identity]; ok {
			d.Last, d.Attempts = all[i].Last, max(d.Attempts, all[i].Attempts)
			all[i] = d
			return
		}
		at[d.Identity] = len(all)
		all = append(all, d)
	}
	for _, a := range attempts {
		note(DatumInfo{Identity: a.Identity, Key: a.Key, State: a.Outcome, Attempts: a.Attempt, Reason: a.Reason})
		all[at[a.Identity]].Last = a
	}
	var live []engine.DatumStatus
	j.live(func(s *engine.State) { live = s.Datums(id) })
	for _, d := range live {
		if d.State == engine.DatumHit {
			if _, ok := at[d.Identity]; !ok {
				note(j.skippedDatum(ctx, d.Identity, d.Key))
			}
		} else if i, ok := at[d.Identity]; !ok || d.State != engine.DatumAccepted && d.State != engine.DatumFailed {
			note(DatumInfo{Identity: d.Identity, Key: d.Key, State: string(d.State), Attempts: d.Attempts, Reason: d.Reason})
		} else {
			all[i].Attempts = max(all[i].Attempts, d.Attempts)
		}
	}
	slices.SortFunc(all, func(a, b DatumInfo) int { return strings.Compare(a.Identity, b.Identity) })
	return all, nil
}

// skippedDatum says what the memo knows of the run that gave a result.
func (j *Jobs) skippedDatum(ctx context.Context, identity string, key memo.Key) DatumInfo {
	d := DatumInfo{Identity: identity, Key: key, State: skipped}
	if r, ok, err := j.memo.Lookup(ctx, key, j.scope); err == nil && ok {
		d.Last = history.Attempt{Identity: identity, Key: key, Outcome: string(task.Succeeded), Exit: r.Exit, Log: r.Log, Started: r.Started, Ended: r.Ended}
	}
	return d
}

// Cancel ends a job, or datums of it, at the wish of a principal. It fails with
// fs.ErrNotExist if the job is not under way or has no such datum, and with
// fs.ErrInvalid if a datum is over.
func (c *Controller) Cancel(ctx context.Context, wish engine.Cancel) error {
	if !c.underWay(wish.Job) {
		return fmt.Errorf("job %s is not under way: %w", wish.Job.Short(), fs.ErrNotExist)
	}
	if len(wish.Datums) > RerunMax {
		return fmt.Errorf("%d datums, more than the %d that one wish may name: %w", len(wish.Datums), RerunMax, fs.ErrInvalid)
	}
	for _, d := range wish.Datums {
		var known, can bool
		c.Jobs().live(func(s *engine.State) { known, can = s.Cancels(wish.Job, d) })
		switch {
		case !known:
			return fmt.Errorf("job %s has no datum %q that it was to run; dvx datum list shows them: %w", wish.Job.Short(), d, fs.ErrNotExist)
		case !can:
			return fmt.Errorf("datum %s of job %s is over: %w", d, wish.Job.Short(), fs.ErrInvalid)
		}
	}
	return c.tell(ctx, wish)
}

// RerunMax is how many datums one rerun, or one cancel, may name.
const RerunMax = 1000

// Rerun evaluates the heads of a job once more: datums that failed are tried
// again, those with a result are not. only are the ones that are tried, none:
// all. It fails with fs.ErrInvalid if the job is not of the newest heads or a
// datum has a result, with fs.ErrNotExist if the job has no such datum.
func (c *Controller) Rerun(ctx context.Context, id engine.JobID, only []string) error {
	if err := c.checkOnly(ctx, id, only); err != nil {
		return err
	}
	current := false
	c.mu.Lock()
	if c.state != nil {
		current = c.state.Current(id)
	}
	c.mu.Unlock()
	if !current {
		return fmt.Errorf("job %s is not over, or not of the newest heads of its pipeline: %w", id.Short(), fs.ErrInvalid)
	}
	return c.tell(ctx, engine.Rerun{Job: id, Only: only})
}

// checkOnly refuses datums that a job does not have, or that have a result.
func (c *Controller) checkOnly(ctx context.Context, id engine.JobID, only []string) error {
	if len(only) > RerunMax {
		return fmt.Errorf("%d datums, more than the %d that one rerun may name: %w", len(only), RerunMax, fs.ErrInvalid)
	}
	missing := map[string]bool{}
	for _, name := range only {
		missing[name] = true
	}
	if len(missing) == 0 {
		return nil
	}
	for d, err := range c.Jobs().Datums(ctx, id) {
		switch {
		case err != nil:
			return err
		case !missing[d.Identity]:
			continue
		case d.State == skipped || d.State == string(task.Succeeded):
			return fmt.Errorf("datum %s of job %s has a result, which stands; change reprocess in the spec to run everything again: %w", d.Identity, id.Short(), fs.ErrInvalid)
		}
		if delete(missing, d.Identity); len(missing) == 0 {
			return nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		return fmt.Errorf("job %s has no datum %q; dvx datum list shows them: %w", id.Short(), name, fs.ErrNotExist)
	}
	return nil
}

func (c *Controller) underWay(id engine.JobID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != nil && c.state.UnderWay(id)
}

// errStopped is the answer to a wish while no engine runs.
var errStopped = errors.New("the engine is not running")

// tell hands the engine a wish.
func (c *Controller) tell(ctx context.Context, of engine.Happening) error {
	c.mu.Lock()
	over, runs := c.over, c.state != nil
	c.mu.Unlock()
	if !runs {
		return errStopped
	}
	select {
	case c.events <- delivery{of: of}:
		return nil
	case <-over:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errStopped, ctx.Err())
	}
}
