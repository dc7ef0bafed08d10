package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Options are the figures by which [Step] decides. The zero value is usable.
type Options struct {
	Slots             int             // attempts at once; 1 by default
	CheckpointEvery   time.Duration   // 30 s by default: what a wiped journal costs at most
	NoteAfter         time.Duration   // 1 s by default: how long the record that a job has begun waits for the swap of something else
	CheckpointRecords int             // 10,000 by default: bounds the segments of one swap
	CrashesMax        int             // attempts lost to the infrastructure before a datum or job fails; 20 by default
	BackoffMin        time.Duration   // 1 s by default
	BackoffMax        time.Duration   // 5 min by default
	Pools             map[string]Pool // that pipelines may name
	Trace             func(Transition)
	Without           Transition // the tables lack it: a test shows that this is noticed
}

// Defaulted returns the options with every figure set.
func (o Options) Defaulted() Options {
	setDefault(&o.Slots, 1)
	setDefault(&o.CheckpointEvery, 30*time.Second)
	setDefault(&o.NoteAfter, time.Second)
	setDefault(&o.CheckpointRecords, 10_000)
	setDefault(&o.CrashesMax, 20)
	setDefault(&o.BackoffMin, time.Second)
	setDefault(&o.BackoffMax, 5*time.Minute)
	return o
}

func setDefault[T ~int | ~int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Backoff returns how long to wait after the n-th failure, from 1.
func (o *Options) Backoff(n int) time.Duration { return backoff(o.BackoffMin, o.BackoffMax, n) }

// backoff doubles the least wait after each failure but the first, up to most.
func backoff(least, most time.Duration, n int) time.Duration {
	d := least
	for ; n > 1 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}

// State is all that the engine knows. Only [Step] changes it, and it needs no
// lock: one goroutine owns it. It is lost with the process and made again from
// the store, the history and the journal.
type State struct {
	opts   Options
	jobsM  edges[history.State]
	datumM edges[DatumState]

	now    time.Time
	snap   Snapshot
	seen   bool   // something was observed
	minGen uint64 // older observations are of the past
	ledger Ledger
	open   map[JobID]history.Job // jobs that were under way when the engine started

	jobs    map[JobID]*job
	order   []JobID // of jobs, by age
	turn    int     // in order: whose datum is started next
	work    map[memo.Key]*work
	running map[int]attempt // attempts under way, by serial
	busy    map[ref]int     // attempts under way, by pipeline
	waits   []memo.Key      // datums in retry-wait
	first   time.Time       // no datum in retry-wait is due before
	stray   []memo.Key      // datums that run and that nobody waits for
	pools   map[string]*pool
	pooled  time.Time // when a pool's rate lets the next attempt start that waits for it
	woken   time.Time // the newest WakeAt

	swap     swap
	epochs   int        // enumerations that were begun
	starts   int        // attempts that were asked for
	persists int        // that were asked for
	effects  []Effect   // of the step under way
	gone     []memo.Key // datums that the step under way dropped
	ahead    ahead
	hooked   hooked
}

// swap is what is known of root swaps: one is under way at a time.
type swap struct {
	seq     int
	busy    bool
	job     JobID     // that it publishes; zero: a checkpoint
	carries int       // records in it
	pending int       // records that wait for the next one
	force   bool      // the next one is due at once
	due     time.Time // and not later than this; zero: that is not known
	last    time.Time // when the last one was done
	fails   int
	retryAt time.Time
}

// job is a job under way.
type job struct {
	spec    JobSpec
	record  history.Job
	epoch   int // of the newest enumeration: answers to older ones are dropped
	policy  *policy
	growth  growth
	partial partial
	delta   bool
	removed []string
	items   []item
	left    int        // items that wait
	ran     int64      // datums that were run for it before it was listed again
	owed    int64      // of these, datums that others are to emit again
	ready   []memo.Key // planned datums that this job has queued
	short   shortage   // what it waits for to start one of them
	fails   int        // of the infrastructure, in the present state
	lacks   int64      // datums that failed, or were recovered: the output is to do without them
	limit   time.Time  // when it fails for its time limit; zero: never
	retryAt time.Time  // when the present state's effect is to be asked for again; zero: it is under way
	noted   bool       // there is a record of it
}

// item is a datum of a job. It is small: there may be a million.
type item struct {
	identity string
	key      memo.Key
	output   tree.Root
	done     bool
	lacking  bool // it has no result and never will
}

// work is a datum that some job wants, by its key.
type work struct {
	key      memo.Key
	state    DatumState
	attempt  int    // number of the newest attempt
	serial   int    // of that attempt
	live     bool   // it is under way
	killed   bool   // it was told to stop
	by       string // the principal that stopped it
	why      string // and why, if it was a wish for this datum
	reported int    // serial of the attempt whose result is or was being made durable
	persist  int    // the Persist that does so
	success  bool   // of that attempt
	output   tree.Root
	reason   string
	fails    int          // attempts that user code failed
	failure  task.Failure // of the last of them
	policy   *policy      // shared by the datums of a job
	crashes  int          // attempts that the infrastructure lost
	recovers bool         // the reported attempt failed, and its error command succeeded
	after    time.Time
	pipeline ref              // that wanted it first
	identity string           // of the datum, there
	job      JobID            // that started the newest attempt
	owners   []owner          // who waits for it, or has its result
	record   *history.Attempt // of the reported attempt, if nobody waited for it
}

// owner is an item that waits for a datum, or has its result.
type owner struct {
	job  JobID
	item int
}

// NewState returns the state of an engine that starts. open are the jobs that
// history says were under way when the last one stopped.
func NewState(o Options, l Ledger, open []history.Job) *State {
	s := &State{
		opts: o.Defaulted(), jobsM: jobEdges().without("job", o.Without), datumM: datumEdges().without("datum", o.Without), ledger: l.Clone(),
		open: map[JobID]history.Job{}, jobs: map[JobID]*job{}, work: map[memo.Key]*work{}, running: map[int]attempt{}, busy: map[ref]int{}, pools: newPools(o.Pools), ahead: ahead{limits: map[ref]int{}, ran: map[memo.Key]ranAhead{}}, hooked: hooked{asked: map[ending]bool{}},
	}
	if s.ledger.Ended == nil {
		s.ledger = NewLedger(nil)
	}
	for _, j := range open {
		s.open[j.ID] = j
	}
	return s
}

func (s *State) emit(e Effect) { s.effects = append(s.effects, e) }

// note keeps a history record for the next swap.
func (s *State) note(r history.Record) {
	s.swap.pending++
	s.emit(Record{Record: r})
}

// moveJob takes a job to another state, if the table allows it.
func (s *State) moveJob(j *job, to history.State) bool {
	from := j.record.State
	if !s.jobsM.allows(from, to) {
		s.emit(Complain{Text: fmt.Sprintf("job %v: %s to %s is no transition", j.spec.ID.Short(), from, to)})
		return false
	}
	j.record.State, j.fails, j.retryAt = to, 0, time.Time{}
	s.trace("job", string(from), string(to))
	return true
}

// moveWork takes a datum to another state, if the table allows it.
func (s *State) moveWork(w *work, to DatumState) bool {
	if !s.datumM.allows(w.state, to) {
		s.emit(Complain{Text: fmt.Sprintf("datum %v: %s to %s is no transition", w.key.Short(), w.state, to)})
		return false
	}
	s.trace("datum", string(w.state), string(to))
	w.state = to
	return true
}

func (s *State) trace(machine, from, to string) {
	if s.opts.Trace != nil {
		s.opts.Trace(Transition{Machine: machine, From: from, To: to})
	}
}

// pass sets the clock. A clock that was set back takes all deadlines along, so
// that no wait becomes longer.
func (s *State) pass(at time.Time) {
	if d := s.now.Sub(at); d > 0 {
		for _, w := range s.waits {
			if x := s.work[w]; x != nil {
				x.after = x.after.Add(-d)
			}
		}
		for _, j := range s.jobs {
			if !j.retryAt.IsZero() {
				j.retryAt = j.retryAt.Add(-d)
			}
			if !j.partial.next.IsZero() {
				j.partial.next = j.partial.next.Add(-d)
			}
			if !j.limit.IsZero() {
				j.limit = j.limit.Add(-d)
			}
		}
		s.first = s.first.Add(-d)
		for _, p := range s.pools {
			for i := range p.starts {
				p.starts[i] = p.starts[i].Add(-d)
			}
		}
		s.swap.last = s.swap.last.Add(-d)
		if !s.swap.due.IsZero() {
			s.swap.due = s.swap.due.Add(-d)
		}
		if !s.swap.retryAt.IsZero() {
			s.swap.retryAt = s.swap.retryAt.Add(-d)
		}
	}
	s.now = at
	if s.swap.last.IsZero() {
		s.swap.last = at
	}
}

// dropWork forgets a datum that nobody waits for.
func (s *State) dropWork(w *work) {
	if s.moveWork(w, DatumDropped) {
		delete(s.work, w.key)
		s.gone = append(s.gone, w.key)
		if i := slices.Index(s.waits, w.key); i >= 0 {
			s.waits = slices.Delete(s.waits, i, i+1)
		}
	}
}

// Jobs returns the jobs under way, oldest first, with their present counts.
func (s *State) Jobs() []history.Job {
	out := make([]history.Job, 0, len(s.order))
	for _, id := range s.order {
		out = append(out, s.jobs[id].record)
	}
	return out
}

// DatumStatus is what the engine knows of a datum of a job under way.
type DatumStatus struct {
	Identity string
	Key      memo.Key
	State    DatumState
	Attempts int
	Reason   string
}

// Datums returns the datums of a job under way that changed since the previous
// output, or all of them if there is none; nil if the job is not under way.
func (s *State) Datums(id JobID) []DatumStatus {
	j := s.jobs[id]
	if j == nil {
		return nil
	}
	out := make([]DatumStatus, 0, len(j.items))
	for _, it := range j.items {
		d := DatumStatus{Identity: it.identity, Key: it.key, State: DatumHit}
		if w := s.work[it.key]; w != nil {
			d.State, d.Attempts, d.Reason = w.state, w.attempt, w.reason
		}
		out = append(out, d)
	}
	return out
}

// Running returns the datums of a job that an attempt is under way at, in order
// of identity. It costs what runs, not what the job has.
func (s *State) Running(id JobID) []DatumStatus {
	j := s.jobs[id]
	if j == nil {
		return nil
	}
	var out []DatumStatus
	for serial, a := range s.running {
		w := s.work[a.key]
		if w == nil || !w.live || w.serial != serial || w.state != DatumRunning {
			continue
		}
		if i := slices.IndexFunc(w.owners, func(o owner) bool { return o.job == id }); i >= 0 {
			out = append(out, DatumStatus{Identity: j.items[w.owners[i].item].identity, Key: w.key, State: w.state, Attempts: w.attempt})
		}
	}
	slices.SortFunc(out, func(a, b DatumStatus) int { return strings.Compare(a.Identity, b.Identity) })
	return out
}

// Current reports whether a job is over and of the newest heads.
func (s *State) Current(id JobID) bool {
	return s.jobs[id] == nil && slices.ContainsFunc(s.snap.Pipelines, func(p PipelineHead) bool {
		return p.Ready() && s.ledger.Current(p).ID == id
	})
}

// Wants reports whether a datum is wanted, or its result is on its way.
func (s *State) Wants(key memo.Key) bool { return s.work[key] != nil }

// UnderWay reports whether a job is.
func (s *State) UnderWay(id JobID) bool { return s.jobs[id] != nil }
