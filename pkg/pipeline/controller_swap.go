package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/repo"
)

// merge stores the output commit of a job.
func (c *Controller) merge(ctx context.Context, e engine.Merge) engine.Merged {
	answer := engine.Merged{Job: e.Job.ID, Epoch: e.Epoch}
	prev := previousOutput(e.Job)
	delta, err := c.withoutGrowth(ctx, e.Job, e.Delta)
	var m output.Merging
	if err == nil {
		m, err = output.Merge(ctx, c.session, prev, delta, engine.StampOf(e.Job))
	}
	var out commit.Commit
	if err == nil {
		out, err = commit.Index(ctx, c.session, engine.OutputCommit(e.Job, m, e.Delta.Total, e.Delta.Lacks))
	}
	if err == nil {
		answer.Commit, err = commit.Save(ctx, c.session, out)
	}
	answer.Err, answer.Final = err, errors.Is(err, output.ErrClash) || errors.Is(err, fs.ErrInvalid)
	if err != nil && !answer.Final {
		c.probe(ctx, err)
	}
	return answer
}

// probe ends the engine's life if an error came from its session, which can't
// be used any more then, where the next life has a new one; or if another leads.
func (c *Controller) probe(ctx context.Context, err error) {
	c.swapping.Lock()
	defer c.swapping.Unlock()
	if ferr := c.session.Flush(ctx); errors.Is(err, repo.ErrDoomed) || errors.Is(err, repo.ErrDeposed) || ferr != nil && ctx.Err() == nil {
		c.fail(errors.Join(err, ferr))
	}
}

// publish moves the output branch of a job, together with all records.
func (c *Controller) publish(ctx context.Context, e engine.Publish) engine.Swapped {
	p := e.Job.Head
	t := repo.Txn{
		Op:  engine.PublishOp(e.Job),
		Ops: []repo.Op{repo.MoveBranch{Repo: p.Name, Branch: p.Branch, Expect: p.Output.ID, To: e.Commit}},
	}
	ctx, done := lasting(ctx)
	defer done()
	res, err := c.swap(ctx, t, &e.Record)
	return c.swapped(ctx, e.Seq, res, err)
}

// checkpoint publishes all records.
func (c *Controller) checkpoint(ctx context.Context, e engine.Checkpoint) engine.Swapped {
	ctx, done := lasting(ctx)
	defer done()
	res, err := c.swap(ctx, repo.Txn{}, nil)
	return c.swapped(ctx, e.Seq, res, err)
}

// swapped says what the outcome of a transaction means.
func (c *Controller) swapped(ctx context.Context, seq int, res repo.Result, err error) engine.Swapped {
	s := engine.Swapped{Seq: seq, Gen: res.Gen, Err: err}
	switch {
	case err == nil:
		s.Verdict = engine.Committed
		return s
	case errors.Is(err, repo.ErrConflict):
		s.Verdict = engine.Conflicted
	case errors.Is(err, repo.ErrUnknown):
		s.Verdict = engine.Unsure
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrInvalid), errors.Is(err, chunk.ErrCorrupt), errors.Is(err, chunk.ErrNotFound):
		s.Verdict = engine.Rejected
	default:
		s.Verdict = engine.Unsure
		c.probe(ctx, err)
	}
	c.o.Report(err)
	return s
}

// swap replaces the root by one with the operations of t, if any, and with
// all records that wait, last among them the one given.
func (c *Controller) swap(ctx context.Context, t repo.Txn, last *history.Job) (repo.Result, error) {
	c.swapping.Lock()
	defer c.swapping.Unlock()
	w, err := c.waiting()
	if err != nil {
		return repo.Result{}, err
	}
	a, err := c.attachments(ctx, w, last)
	if err != nil {
		return repo.Result{}, err
	}
	c.segments.add(a.AddHistory...)
	res, err := c.replaceRoot(ctx, t, a)
	if err != nil {
		c.segments.remove(a.AddHistory) // should they be in a root all the same, they are news
		return res, err
	}
	c.settle(ctx, w)
	return res, nil
}

// replaceRoot swaps the root for one with the operations of t and with a.
func (c *Controller) replaceRoot(ctx context.Context, t repo.Txn, a repo.Attachments) (res repo.Result, err error) {
	if t.Op.IsZero() {
		if t.Op, err = c.o.Store.NewOp(); err != nil {
			return res, err
		}
	}
	a.Term = c.o.Term
	res, err = c.o.Store.PublishWith(ctx, c.session, t, a)
	if err == nil && res.Replay && !moves(res, t) {
		return res, fmt.Errorf("operation %v was used for something else: %w", t.Op, repo.ErrConflict)
	}
	if err == nil && res.Replay {
		// Another transaction has moved the branch, without these records.
		if t.Op, err = c.o.Store.NewOp(); err == nil {
			res, err = c.o.Store.PublishWith(ctx, c.session, repo.Txn{Op: t.Op}, a)
		}
	}
	return res, err
}

// moves reports whether the outcome is that of the transaction: whoever knows a
// job can guess the operation of its publication, and use it before.
func moves(res repo.Result, t repo.Txn) bool {
	for _, op := range t.Ops {
		m, ok := op.(repo.MoveBranch)
		if ok && !slices.Contains(res.Moved, repo.Moved{Repo: m.Repo, Branch: m.Branch, Commit: m.To}) {
			return false
		}
	}
	return true
}

// waiting is what a swap is to publish.
type waiting struct {
	history []history.Record
	memo    []byte // a segment of records; nil: there are none
	mark    uint64 // of the journal: what was appended before is in the two above
}

// waiting returns what waits to be published.
func (c *Controller) waiting() (waiting, error) {
	c.keeping.Lock()
	defer c.keeping.Unlock()
	records, err := c.memo.EncodePending()
	return waiting{history: c.log.Pending(), memo: records, mark: c.o.Journal.Mark()}, err
}

// attachments stores the memo records and the history that wait, next to each
// other: a disk syncs two files in the time of one.
func (c *Controller) attachments(ctx context.Context, w waiting, last *history.Job) (repo.Attachments, error) {
	var a repo.Attachments
	g, ctx := errgroup.WithContext(ctx)
	if w.memo != nil {
		g.Go(func() (err error) {
			a.AddMemo, err = c.attach(ctx, "memo", w.memo)
			return err
		})
	}
	records := w.history
	if last != nil {
		records = append(slices.Clip(records), history.Record{Job: last})
	}
	if len(records) > 0 {
		g.Go(func() error {
			b, err := history.Encode(records)
			if err == nil {
				a.AddHistory, err = c.attach(ctx, "history", b)
			}
			return err
		})
	}
	err := g.Wait()
	return a, err
}

// attach stores a segment and returns its name, alone.
func (c *Controller) attach(ctx context.Context, kind string, b []byte) ([]string, error) {
	key, err := putSegment(ctx, c.o.Store, kind, b)
	return []string{key}, err
}

// settle forgets what is published, and joins segments if there are too many.
// None of it matters for correctness, so what fails is only reported.
func (c *Controller) settle(ctx context.Context, w waiting) {
	root, err := c.o.Store.Root(ctx)
	if err == nil {
		err = c.memo.Sync(ctx, root.Memo)
	}
	if err != nil {
		c.o.Report(fmt.Errorf("after a swap of the root: %w", err))
		return
	}
	c.log.Published(len(w.history))
	if c.replays {
		return // the rest of the journal is still to be read
	}
	if err := c.o.Journal.Drop(ctx, w.mark); err != nil {
		c.o.Report(fmt.Errorf("drop what is published from the journal: %w", err))
	}
	if err := c.compact(ctx, root); err != nil {
		c.o.Report(fmt.Errorf("join segments: %w", err))
	}
}

// compact joins memo and history segments if the root names too many.
func (c *Controller) compact(ctx context.Context, root *repo.Root) error {
	var a repo.Attachments
	m, ok, err := c.memo.Merge(ctx)
	if err != nil {
		return err
	}
	if ok {
		key, err := putSegment(ctx, c.o.Store, "memo", m.Data)
		if err != nil {
			return err
		}
		a.DropMemo, a.AddMemo = m.Names, []string{key}
	}
	var names []string
	var data []byte
	if len(root.History) > history.SegmentsMax {
		if names, data, err = c.log.Merge(ctx); err != nil {
			return err
		}
	}
	if names != nil {
		key, err := putSegment(ctx, c.o.Store, "history", data)
		if err != nil {
			return err
		}
		a.DropHistory, a.AddHistory = names, []string{key}
		if c.segments.hasAll(names) { // else it is news
			c.segments.add(key)
		}
	}
	if !ok && names == nil {
		return nil
	}
	op, err := c.o.Store.NewOp()
	if err != nil {
		return err
	}
	a.Term = c.o.Term
	if _, err := c.o.Store.PublishWith(ctx, nil, repo.Txn{Op: op}, a); err != nil {
		return err
	}
	if root, err = c.o.Store.Root(ctx); err != nil {
		return err
	}
	return c.memo.Sync(ctx, root.Memo)
}

// leaveFor bounds what an engine that stops has still to do.
const leaveFor = 20 * time.Second

// lasting returns a context that ends some time after ctx does, so that a swap
// which is under way when the engine stops has a known outcome.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(leaveFor, cancel) })
	return long, func() { stop(); cancel() }
}

// leave publishes what was accepted when the engine stops.
func (c *Controller) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveFor)
	defer cancel()
	if _, err := c.persistBatch(ctx, c.persists.take()); err != nil {
		return err
	}
	if len(c.partials) > 0 {
		if err := c.sweepPartials(ctx); err != nil {
			c.o.Report(err)
		}
	}
	c.lastHooks(ctx)
	if len(c.log.Pending()) == 0 && len(c.memo.Pending()) == 0 {
		return nil
	}
	_, err := c.swap(ctx, repo.Txn{}, nil)
	return err
}
