package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// upper is a runner whose program writes each input file in capitals, under
// its own name.
type upper struct {
	mu     sync.Mutex
	ran    map[string]int                      // by path
	fail   map[string]bool                     // paths on which it fails
	before func(context.Context, string) error // called first, with the path
	emit   func(text string) map[string]string // further datums that follow from a file's text
}

func (u *upper) Runtime(_ context.Context, t spec.Transform, _ tree.Root, _ chunk.Reader) (memo.Runtime, error) {
	if t.Cmd[0] != "upper" {
		return memo.Runtime{}, fmt.Errorf("no program %s: %w", t.Cmd[0], fs.ErrNotExist)
	}
	return memo.Runtime{Host: "test"}, nil
}

func (u *upper) Slots() int { return 4 }

func (u *upper) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	it := t.Inputs[0].Items[0]
	u.mu.Lock()
	if u.ran == nil {
		u.ran = map[string]int{}
	}
	u.ran[it.Path]++
	fail, before := u.fail[it.Path], u.before
	u.mu.Unlock()
	if before != nil {
		if err := before(ctx, it.Path); err != nil {
			return task.Result{}, err
		}
	}
	log, err := put(ctx, s, "saw "+it.Path+"\n")
	if err != nil {
		return task.Result{}, err
	}
	if fail {
		return task.Result{Outcome: task.Failed, Exit: 3, Reason: "exit status 3", Log: log}, nil
	}
	f, err := chunk.OpenContent(ctx, s, it.Entry.Content)
	if err != nil {
		return task.Result{}, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return task.Result{}, err
	}
	c, err := put(ctx, s, strings.ToUpper(string(b)))
	if err != nil {
		return task.Result{}, err
	}
	edits := []tree.Edit{{Op: tree.Put, Path: path.Join(t.Params["to"], it.Path), Entry: tree.Entry{Kind: tree.File, Content: c}}}
	if u.emit != nil {
		for name, text := range u.emit(string(b)) {
			if c, err = put(ctx, s, text); err != nil {
				return task.Result{}, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: spec.GrowDir + "/" + name, Entry: tree.Entry{Kind: tree.File, Content: c}})
		}
	}
	out, err := tree.Apply(ctx, s, tree.Root{}, edits)
	return task.Result{Outcome: task.Succeeded, Output: out, Log: log}, err
}

func (u *upper) count() (total int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.ran {
		total += n
	}
	return total
}

func put(ctx context.Context, s chunk.Store, text string) (chunk.Content, error) {
	return chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader(text))
}

// bench is a store with an engine.
type bench struct {
	*testing.T
	ctx     context.Context
	store   *repo.Direct
	runner  *upper
	journal *pipeline.MemoryJournal
	clock   *clock
	engine  *pipeline.Controller
	hook    pipeline.RunHook
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now advances a little with every look.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

func newBench(t *testing.T) *bench { return newBenchOn(t, mem.New(mem.Options{})) }

func newBenchOn(t *testing.T, objects objstore.Store) *bench {
	b := &bench{T: t, ctx: auth.With(context.Background(), auth.Owner), runner: &upper{}, journal: &pipeline.MemoryJournal{}}
	b.clock = &clock{now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	var err error
	b.store, err = repo.Init(b.ctx, objects, repo.InitOptions{Options: repo.Options{
		Now: b.clock.Now, Rand: rand.NewChaCha8([32]byte{1}), WatchEvery: 2 * time.Millisecond,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	b.commit("first", map[string]string{"a": "one", "b": "two", "c": "three"})
	return b
}

// start runs an engine until the returned function is called.
func (b *bench) start() (stop func()) {
	b.Helper()
	var err error
	b.engine, err = pipeline.NewController(pipeline.ControllerOptions{
		Store: b.store, Runner: b.runner, Journal: b.journal, Now: b.clock.Now, Platform: "test/test", Scope: "test",
		FlushEvery: time.Millisecond, Report: func(err error) { b.Logf("engine: %v", err) }, Hook: b.hook,
		Engine: engine.Options{BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, NoteAfter: time.Millisecond},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error)
	go func() { done <- b.engine.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				b.Errorf("engine: %v", err)
			}
		})
	}
	b.Cleanup(stop)
	return stop
}

func (b *bench) op() repo.OpID {
	b.Helper()
	op, err := b.store.NewOp()
	if err != nil {
		b.Fatal(err)
	}
	return op
}

// commit makes the files the content of src@main.
func (b *bench) commit(message string, files map[string]string) {
	b.Helper()
	b.commitTo("src", "", message, files)
}

// commitTo makes the files the content of a branch, main if it is empty.
func (b *bench) commitTo(name, branch, message string, files map[string]string) {
	b.Helper()
	if view, err := b.store.View(b.ctx); err != nil || view.Repos[name].Created.IsZero() {
		if _, err := b.store.Move(b.ctx, repo.Txn{Op: b.op(), Ops: []repo.Op{repo.CreateRepo{Repo: name}}}); err != nil {
			b.Fatal(err)
		}
	}
	o := repo.CommitOptions{Repo: name, Branch: branch, Op: b.op(), Time: b.clock.Now(), Message: message}
	_, err := repo.Commit(b.ctx, b.store, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		edits := []tree.Edit{}
		if !d.Base.ID.IsZero() {
			for e, err := range tree.Open(d, d.Base).Walk(ctx, tree.WalkOptions{}) {
				if err != nil {
					return tree.Root{}, err
				}
				edits = append(edits, tree.Edit{Op: tree.Delete, Path: e.Path})
			}
		}
		for p, text := range files {
			c, err := put(ctx, d, text)
			if err != nil {
				return tree.Root{}, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: p, Entry: tree.Entry{Kind: tree.File, Content: c}})
		}
		return d.Apply(ctx, edits)
	})
	if err != nil {
		b.Fatal(err)
	}
}

// register makes a pipeline that reads a repo.
func (b *bench) register(name, input, branch string, change func(*spec.Spec)) {
	b.Helper()
	s := spec.Spec{Pipeline: name, Transform: spec.Transform{Cmd: []string{"upper"}}, Input: spec.Input{Repo: input, Glob: "/*"}}
	if change != nil {
		change(&s)
	}
	_, _, err := pipeline.Register(b.ctx, b.store, pipeline.Registration{
		Spec: s.WithDefaults(), Source: []byte("source"), Branch: branch, Author: "owner", Op: b.op(), Time: b.clock.Now(),
	})
	if err != nil {
		b.Fatal(err)
	}
}

// patience is how long a test waits for what should come soon.
const patience = 5 * time.Minute

// wait returns once nothing is to be done for src.
func (b *bench) wait() engine.Settlement {
	b.Helper()
	return b.waitFor(patience)
}

func (b *bench) waitFor(most time.Duration) engine.Settlement {
	b.Helper()
	jobs := pipeline.OpenJobs(b.store, "test")
	ctx, cancel := context.WithTimeout(b.ctx, most)
	defer cancel()
	for {
		s, settled := b.next(ctx, jobs)
		if settled {
			return s
		}
		if ctx.Err() != nil {
			b.Fatal("the pipelines do not settle")
		}
	}
}

// next returns at once if nothing is to be done, and else after the next move
// of the root.
func (b *bench) next(ctx context.Context, jobs *pipeline.Jobs) (s engine.Settlement, settled bool) {
	b.Helper()
	snap, err := pipeline.Observe(b.ctx, b.store)
	if err != nil {
		b.Fatal(err)
	}
	l, err := jobs.Ledger(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	if s = engine.Settle(snap, l, "", ""); s.Settled() {
		return s, true
	}
	if _, err := b.store.Watch(ctx, snap.Gen); err != nil && ctx.Err() == nil {
		b.Fatal(err)
	}
	return s, false
}

// files returns the content of a branch.
func (b *bench) files(expr string) map[string]string {
	b.Helper()
	t, _, err := repo.Open(b.ctx, b.store, expr)
	if err != nil {
		b.Fatal(err)
	}
	out := map[string]string{}
	for e, err := range t.Walk(b.ctx, tree.WalkOptions{}) {
		if err != nil {
			b.Fatal(err)
		}
		r, _, err := repo.GetFile(b.ctx, b.store, expr+":/"+e.Path)
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		out[e.Path] = string(text)
	}
	return out
}

func (b *bench) wantFiles(expr string, want map[string]string) {
	b.Helper()
	if diff := cmp.Diff(want, b.files(expr)); diff != "" {
		b.Errorf("%s differs (-want +got):\n%s", expr, diff)
	}
}

func (b *bench) wantRuns(want int) {
	b.Helper()
	if got := b.runner.count(); got != want {
		b.Errorf("%d datums were run so far, want %d", got, want)
	}
}

// newest returns the newest job of a pipeline.
func (b *bench) newest(name string) history.Job {
	b.Helper()
	jobs, err := pipeline.OpenJobs(b.store, "test").List(b.ctx, name)
	if err != nil || len(jobs) == 0 {
		b.Fatalf("%d jobs of %s: %v", len(jobs), name, err)
	}
	return jobs[0]
}

// TestMainJob: a chain of two pipelines runs what changed, and nothing twice.
func TestMainJob(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", nil)
	b.register("again", "up", "main", nil)
	b.start()

	b.wait()
	b.wantFiles("again@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	b.wantRuns(6)

	b.commit("edit", map[string]string{"a": "one", "b": "2b", "c": "three"})
	b.wait()
	b.wantFiles("again@main", map[string]string{"a": "ONE", "b": "2B", "c": "THREE"})
	b.wantRuns(8)

	b.commit("back", map[string]string{"a": "one", "b": "two", "c": "three"})
	b.wait()
	b.wantFiles("again@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	b.wantRuns(8)

	b.commit("less", map[string]string{"a": "one", "c": "three"})
	b.wait()
	b.wantFiles("again@main", map[string]string{"a": "ONE", "c": "THREE"})
	b.wantRuns(8)

	b.register("up", "src", "main", func(s *spec.Spec) { s.Parameters = map[string]string{"n": "1"} })
	b.wait()
	b.wantRuns(10) // the code may see it; its output is the same, so "again" has nothing to do
	if c := b.newest("again").Counts; c.Hit != 2 || c.Total != 2 {
		t.Errorf("the second pipeline counts %+v", c)
	}

	b.register("up", "src", "staging", func(s *spec.Spec) {
		s.Input.Branch = "main"
		s.Parameters = map[string]string{"n": "1"}
	})
	b.wait()
	b.wantRuns(10)
	b.wantFiles("up@staging", map[string]string{"a": "ONE", "c": "THREE"})
}

// TestFailedDatum: the job fails after the others are done, is not tried again
// by itself, and a rerun tries only what failed.
func TestFailedDatum(t *testing.T) {
	b := newBench(t)
	b.runner.fail = map[string]bool{"b": true}
	b.register("up", "src", "main", func(s *spec.Spec) { s.Datum.Tries = 2 })
	stop := b.start()
	if s := b.wait(); len(s.Failed) != 1 || s.Err() == nil {
		t.Fatalf("settlement %+v", s)
	}
	b.wantRuns(4)
	j := b.newest("up")
	if j.State != history.Failed || j.Counts.Failed != 1 || j.Counts.Ran != 2 || !strings.Contains(j.Reason, "src:/b") {
		t.Errorf("job %+v", j)
	}
	b.wantLog(j.ID, "src:/b", "saw b\n")

	stop()
	b.runner.fail = nil
	b.start()
	b.wait()
	b.wantRuns(4)
	for err := errors.New("not yet"); err != nil; {
		if err = b.engine.Rerun(b.ctx, j.ID, nil); err != nil && !errors.Is(err, fs.ErrInvalid) {
			t.Fatal(err)
		}
	}
	for b.newest("up").State != history.Done {
		if _, err := b.store.Watch(b.ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.wantRuns(5)
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
}

func (b *bench) wantLog(id engine.JobID, identity, want string) {
	b.Helper()
	jobs := pipeline.OpenJobs(b.store, "test")
	for d, err := range jobs.Datums(b.ctx, id) {
		if err != nil {
			b.Fatal(err)
		}
		if d.Identity != identity {
			continue
		}
		r, err := jobs.ReadLog(b.ctx, d.Last)
		if err != nil {
			b.Fatal(err)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != want {
			b.Errorf("log of %s is %q (%v), want %q", identity, text, err, want)
		}
		return
	}
	b.Errorf("job %s has no datum %s", id.Short(), identity)
}

// TestInterrupted: an engine is stopped in the middle of a job; the next one
// runs the rest, and only the rest.
func TestInterrupted(t *testing.T) {
	b := newBench(t)
	hung := make(chan struct{})
	var once sync.Once
	b.runner.before = func(ctx context.Context, p string) error {
		if p != "c" {
			return nil
		}
		once.Do(func() { close(hung) })
		<-ctx.Done()
		return ctx.Err()
	}
	b.register("up", "src", "main", nil)
	stop := b.start()
	<-hung
	for b.newestCounts("up").Ran < 2 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if j := b.newest("up"); j.State != history.Running {
		t.Errorf("after the stop the job is %s", j.State)
	}
	b.runner.mu.Lock()
	b.runner.before = nil
	b.runner.mu.Unlock()
	b.start()
	b.wait()
	b.wantRuns(4)
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	if j := b.newest("up"); j.State != history.Done || j.Counts.Ran != 3 || j.Counts.Hit != 0 { // its own, before and after
		t.Errorf("job %+v", j)
	}
}

func (b *bench) newestCounts(name string) history.Counts {
	jobs, err := b.engine.Jobs().List(b.ctx, name)
	if err != nil {
		b.Fatal(err)
	}
	if len(jobs) == 0 {
		return history.Counts{}
	}
	return jobs[0].Counts
}

// clone returns the bench as it would be found after a power loss at this
// moment: the objects so far, and the journal, or a new one if it is lost.
func (b *bench) clone(wiped bool) *bench {
	b.Helper()
	c := &bench{T: b.T, ctx: b.ctx, runner: &upper{}, clock: b.clock}
	objects, journal := b.moment()
	if c.journal = journal; wiped {
		c.journal = &pipeline.MemoryJournal{}
	}
	var err error
	c.store, err = repo.OpenDirect(b.ctx, objects, repo.Options{Now: b.clock.Now, Rand: rand.NewChaCha8([32]byte{2}), WatchEvery: 2 * time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.store.Close() })
	return c
}

// moment copies the objects and the journal of a moment: the root has not moved
// meanwhile, so the journal lacks nothing that the objects do not hold.
func (b *bench) moment() (*mem.Store, *pipeline.MemoryJournal) {
	b.Helper()
	for {
		before := b.gen()
		objects := mem.New(mem.Options{})
		for i, err := range b.store.Objects().List(b.ctx, "", "") {
			var data []byte
			if err == nil {
				data, _, err = objstore.ReadAll(b.ctx, b.store.Objects(), i.Key, objstore.Range{}, 1<<30)
			}
			if err == nil {
				_, err = objects.Put(b.ctx, i.Key, objstore.Bytes(data), objstore.Condition{IfAbsent: true})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		journal := &pipeline.MemoryJournal{}
		err := b.journal.Replay(b.ctx, func(e pipeline.Entry) error { return journal.Append(b.ctx, []pipeline.Entry{e}) })
		if err != nil {
			b.Fatal(err)
		}
		if b.gen() == before {
			return objects, journal
		}
	}
}

// gen returns the generation of the root.
func (b *bench) gen() uint64 {
	b.Helper()
	root, err := b.store.Root(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return root.Gen
}

// hollow makes the journal name outputs that are not stored, as if collection
// had taken their writer for dead.
func (b *bench) hollow() {
	b.Helper()
	full := b.journal
	b.journal = &pipeline.MemoryJournal{}
	err := full.Replay(b.ctx, func(e pipeline.Entry) error {
		if e.Record != nil {
			r := *e.Record
			r.Output.ID[0] ^= 1
			e.Record = &r
		}
		return b.journal.Append(b.ctx, []pipeline.Entry{e})
	})
	if err != nil {
		b.Fatal(err)
	}
}

// published returns how many results the root names: a checkpoint may have come
// before the crash.
func (b *bench) published() int {
	root, err := b.store.Root(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, key := range root.Memo {
		data, _, err := objstore.ReadAll(b.ctx, b.store.Objects(), key, objstore.Range{}, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		segment, err := memo.OpenSegment(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		n += segment.Len()
	}
	return n
}

// recorded reports whether the store's history has a job of a pipeline.
func (b *bench) recorded(name string) bool {
	b.Helper()
	jobs, err := pipeline.OpenJobs(b.store, "test").List(b.ctx, name)
	if err != nil {
		b.Fatal(err)
	}
	return len(jobs) > 0
}

// TestCrash: the power fails in the middle of a job. With its journal the
// engine runs only what was not accepted; without, or if the journal's results
// are not stored any more, what was not published. The output commit is the same
// as if nothing had happened.
func TestCrash(t *testing.T) {
	b := newBench(t)
	hung, resume := make(chan struct{}), make(chan struct{})
	b.runner.before = func(ctx context.Context, p string) error {
		if p == "c" {
			close(hung)
			<-resume
			return nil
		}
		jobs := pipeline.OpenJobs(b.store, "test")
		for { // or the results would be published with the record of the job
			list, err := jobs.List(ctx, "up")
			if err != nil || len(list) > 0 {
				return err
			}
			time.Sleep(time.Millisecond)
		}
	}
	b.register("up", "src", "main", nil)
	b.start()
	<-hung
	for b.newestCounts("up").Ran < 2 || !b.recorded("up") {
		time.Sleep(time.Millisecond)
	}
	kept, wiped, hollow := b.clone(false), b.clone(true), b.clone(false)
	hollow.hollow()
	close(resume)
	b.wait()
	want, err := repo.Resolve(b.ctx, b.store, "up@main")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		*bench
		runs int
	}{{"journal kept", kept, 1}, {"journal lost", wiped, 3 - wiped.published()}, {"results lost", hollow, 3 - hollow.published()}} {
		if j := c.newest("up"); j.State != history.Running {
			t.Errorf("%s: before the restart the job is %s", c.name, j.State)
		}
		c.start()
		c.wait()
		got, err := repo.Resolve(c.ctx, c.store, "up@main")
		if err != nil || got.ID != want.ID {
			t.Errorf("%s: head %v (%v), want %v", c.name, got.ID.Short(), err, want.ID.Short())
		}
		if n := c.runner.count(); n != c.runs {
			t.Errorf("%s: %d datums were run after the restart, want %d", c.name, n, c.runs)
		}
		c.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
		c.wantLog(c.newest("up").ID, "src:/a", "saw a\n")
	}
}

// full is a store whose disk is full at times.
type full struct {
	objstore.Store
	is atomic.Bool
}

func (f *full) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if f.is.Load() {
		return objstore.Info{}, errors.New("no space left on device")
	}
	return f.Store.Put(ctx, key, body, c)
}

// TestDiskFull: the engine ends when it can store nothing, shows nothing half,
// and goes on where it was once there is space.
func TestDiskFull(t *testing.T) {
	disk := &full{Store: mem.New(mem.Options{})}
	b := newBenchOn(t, disk)
	b.runner.before = func(_ context.Context, p string) error {
		if p == "b" {
			disk.is.Store(true)
		}
		return nil
	}
	b.register("up", "src", "main", nil)
	c, err := pipeline.NewController(pipeline.ControllerOptions{
		Store: b.store, Runner: b.runner, Journal: b.journal, Now: b.clock.Now, Platform: "test/test", Scope: "test", FlushEvery: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(b.ctx); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("the engine ended with %v", err)
	}
	if head, err := repo.Resolve(b.ctx, b.store, "up@main"); err != nil || !head.ID.IsZero() {
		t.Errorf("the output is %v (%v)", head.ID.Short(), err)
	}
	b.runner.before = nil
	disk.is.Store(false)
	b.start()
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
}

// TestUnrunnable: a command that is not there fails the job, and says so.
func TestUnrunnable(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", func(s *spec.Spec) { s.Transform.Cmd = []string{"nothere"} })
	b.start()
	b.wait()
	if j := b.newest("up"); j.State != history.Failed || !strings.Contains(j.Reason, "nothere") {
		t.Errorf("job %+v", j)
	}
}

// TestCrashesAreTriedAgain: what the infrastructure loses is not the user's
// failure.
func TestCrashesAreTriedAgain(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	crashes := 3
	b.runner.before = func(context.Context, string) error {
		mu.Lock()
		defer mu.Unlock()
		if crashes > 0 {
			crashes--
			return errors.New("the node went away")
		}
		return nil
	}
	b.register("up", "src", "main", nil)
	b.start()
	b.wait()
	b.wantRuns(6)
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
}

// TestManyDatums: a thousand trivial datums share flushes and one output.
func TestManyDatums(t *testing.T) {
	b := newBench(t)
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("f%04d", i)] = fmt.Sprint("v", i)
	}
	b.commit("many", files)
	b.register("up", "src", "main", nil)
	b.start()
	began := time.Now()
	b.wait()
	t.Logf("1000 datums in %v", time.Since(began))
	b.wantRuns(1000)
	if n := len(b.files("up@main")); n != 1000 {
		t.Errorf("%d files, want 1000", n)
	}
}
