package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// onEnumerated freezes the set of a job's datums and starts with them.
func (s *State) onEnumerated(of Enumerated) {
	j := s.jobs[of.Job]
	if j == nil || j.epoch != of.Epoch || j.record.State != history.Pending || !j.retryAt.IsZero() {
		return
	}
	if of.Err != nil {
		s.lost(j, of.Err, of.Final)
		return
	}
	if !s.moveJob(j, history.Frozen) {
		return
	}
	if j.record.Started.IsZero() {
		j.record.Started = commit.Stamp(s.now)
	}
	j.delta, j.removed, j.record.Reason = of.Delta, of.Removed, ""
	j.items = make([]item, len(of.Items))
	own := int64(0)
	for i, it := range of.Items {
		s.want(j, i, it)
		if it.Hit && (it.Own || s.claim(j, it)) {
			own++
		}
	}
	j.ran = max(j.ran, own)
	s.killStrays("", func(w *work) bool { return w.pipeline == j.output() })
	j.record.Counts = history.Counts{Total: of.Total, Ran: j.ran, Hit: max(0, of.Total-int64(j.left)-j.ran)}
	if j.left == 0 {
		s.merge(j)
	} else if s.moveJob(j, history.Running) {
		if limit := j.spec.Head.Version.Spec.JobLimit(); limit > 0 && j.limit.IsZero() {
			j.limit = s.now.Add(limit)
		}
		s.noteJob(j)
		s.swap.force = true
	}
}

func (j *job) output() ref { return ref{j.spec.Head.Name, j.spec.Head.Branch} }

// want takes on one datum of a job: a hit, one that runs already, or a new one.
func (s *State) want(j *job, i int, it Item) {
	j.items[i] = item{identity: it.Identity, key: it.Key, output: it.Output, done: it.Hit}
	if it.Hit {
		s.moveWork(&work{key: it.Key, state: DatumNew}, DatumHit)
		return
	}
	w := s.work[it.Key]
	if w != nil && w.state == DatumFailed {
		s.dropWork(w)
		w = nil
	}
	if w == nil {
		spec := j.spec.Head.Version.Spec
		w = &work{
			key: it.Key, state: DatumNew, tries: max(1, spec.Datum.Tries), backoff: spec.DatumBackoff(), pipeline: j.output(), identity: it.Identity,
		}
		s.work[it.Key] = w
		s.moveWork(w, DatumPlanned)
		j.ready = append(j.ready, it.Key)
	} else if w.state == DatumPlanned && !w.live && len(w.owners) == 0 { // planned ahead
		j.ready = append(j.ready, it.Key)
	}
	w.owners = append(w.owners, owner{job: j.spec.ID, item: i})
	if w.state == DatumAccepted {
		j.items[i].output, j.items[i].done = w.output, true
		return
	}
	j.left++
}

// schedule starts datums while there are slots: those of the pipelines with the
// highest priority first, one job of them after the other.
func (s *State) schedule() {
	for s.live < s.opts.Slots {
		j, w := s.choose()
		if w == nil {
			return
		}
		s.start(j, w)
	}
}

// choose takes the datum that is to be started next, nil if there is none.
func (s *State) choose() (*job, *work) {
	tried := map[int]bool{}
	for {
		top, found := 0, false
		for _, id := range s.order {
			j := s.jobs[id]
			if p := j.priority(); len(j.ready) > 0 && !tried[p] && (!found || p > top) {
				top, found = p, true
			}
		}
		if !found {
			return nil, nil
		}
		tried[top] = true
		for range s.order {
			s.turn++
			j := s.jobs[s.order[s.turn%len(s.order)]]
			if len(j.ready) == 0 || j.priority() != top {
				continue
			}
			if w := s.nextReady(j); w != nil {
				return j, w
			}
		}
	}
}

func (j *job) priority() int { return j.spec.Head.Version.Spec.Scheduling.Priority }

// nextReady takes the next planned datum from a job's queue.
func (s *State) nextReady(j *job) *work {
	limit := j.spec.Head.Version.Spec.Parallelism.Max
	if limit > 0 && s.busy[j.output()] >= limit {
		return nil
	}
	for len(j.ready) > 0 {
		w := s.work[j.ready[0]]
		j.ready = j.ready[1:]
		if w != nil && w.state == DatumPlanned && !w.live {
			return w
		}
	}
	return nil
}

// start starts an attempt for a job.
func (s *State) start(j *job, w *work) {
	w.job, w.pipeline = j.spec.ID, j.output()
	for _, o := range w.owners {
		if o.job == w.job {
			w.identity = j.items[o.item].identity
			break
		}
	}
	s.launch(w)
}

// queue makes a datum wait for a slot again, with one of its owners.
func (s *State) queue(w *work) {
	if !s.moveWork(w, DatumPlanned) {
		return
	}
	s.requeue(w)
}

func (s *State) requeue(w *work) {
	j := s.jobs[w.owners[0].job]
	j.ready = append(j.ready, w.key)
}

// onFinished takes in how an attempt ended.
func (s *State) onFinished(of Finished) {
	w := s.work[of.Key]
	if w == nil {
		return
	}
	newest := of.Serial == w.serial && w.live
	if newest {
		w.live = false
		s.live--
		s.busy[w.pipeline]--
		s.stray = slices.DeleteFunc(s.stray, func(k memo.Key) bool { return k == w.key })
	}
	running, waited := newest && w.state == DatumRunning, newest && w.state == DatumPlanned
	switch {
	case of.Known:
		if running {
			s.accept(w, of.Result.Output)
		}
	case of.Result.Outcome == task.Succeeded:
		s.succeeded(w, of)
	case !running: // a late failure changes nothing
	case of.Result.Outcome == task.Failed || of.Result.Outcome == task.TimedOut || of.Result.Outcome == task.Recovered:
		s.report(w, of)
	case of.Result.Outcome == task.Cancelled || w.killed:
		of.Result.Outcome = task.Cancelled
		s.noteAttempt(w, of)
		s.again(w)
	default:
		s.noteAttempt(w, of)
		s.crashed(w, of.Result.Reason)
	}
	if waited && w.state == DatumPlanned { // the next attempt waited for this one to be gone
		if len(w.owners) == 0 {
			s.dropWork(w)
			return
		}
		s.requeue(w)
	}
}

// again plans a datum whose attempt came to nothing through nobody's fault.
func (s *State) again(w *work) {
	if len(w.owners) == 0 {
		s.dropWork(w)
		return
	}
	s.queue(w)
}

// succeeded takes the first success of a datum, whichever attempt it comes
// from, and compares any other with it.
func (s *State) succeeded(w *work, of Finished) {
	switch w.state {
	case DatumPlanned, DatumRunning, DatumRetryWait:
		if w.live {
			s.kill(w, "")
		}
		s.report(w, of)
	case DatumReported, DatumAccepted:
		if !w.success || of.Serial == w.reported || of.Result.Output.Content == w.output.Content {
			return
		}
		s.note(history.Record{Event: &history.Event{
			Time: commit.Stamp(s.now), Kind: history.NotReproducible, Job: w.job, Key: w.key,
			Text: fmt.Sprintf("datum %s: attempt %d gave another output than the one that counts", w.identity, of.Attempt),
		}})
	default: // it has failed before: its owners were told
	}
}

// report has a result made durable.
func (s *State) report(w *work, of Finished) {
	wasWaiting := w.state == DatumRetryWait
	if !s.moveWork(w, DatumReported) {
		return
	}
	if wasWaiting {
		s.unwait(w)
	}
	w.reported, w.success = of.Serial, of.Result.Outcome == task.Succeeded
	w.output, w.reason = of.Result.Output, of.Result.Reason
	w.recovers = of.Result.Outcome == task.Recovered
	s.persists++
	w.persist = s.persists
	record := s.attemptRecord(w, of)
	if len(w.owners) == 0 {
		w.record = &record
	}
	s.emit(Persist{Seq: w.persist, Attempt: record, Output: w.output})
}

// onPersisted lets a durable result count.
func (s *State) onPersisted(of Persisted) {
	w := s.work[of.Key]
	if w == nil || w.state != DatumReported || w.persist != of.Seq {
		return
	}
	switch {
	case of.Err != nil:
		s.crashed(w, firstLine(of.Err.Error()))
	case w.success:
		s.swap.pending++
		s.accept(w, of.Output)
	default:
		s.swap.pending++
		if w.fails++; w.fails < w.tries && !w.recovers && len(w.owners) > 0 {
			s.tryAgain(w)
			return
		}
		s.failed(w)
	}
}

// tryAgain plans another attempt at a datum whose program failed, at once or
// after the wait that the spec asks for.
func (s *State) tryAgain(w *work) {
	if w.backoff <= 0 {
		s.queue(w)
		return
	}
	if s.moveWork(w, DatumRetryWait) {
		s.waitFor(w, jitter(backoff(w.backoff, max(w.backoff, s.opts.BackoffMax), w.fails), w))
	}
}

// waitFor makes a datum wait before its next attempt.
func (s *State) waitFor(w *work, d time.Duration) {
	w.after = s.now.Add(d)
	if len(s.waits) == 0 || w.after.Before(s.first) {
		s.first = w.after
	}
	s.waits = append(s.waits, w.key)
}

// jitter lengthens a wait by up to a quarter, so that datums which failed
// together are not all tried again together. It is a function of the attempt,
// so that a replay waits as long.
func jitter(d time.Duration, w *work) time.Duration {
	share := (uint32(w.key[0])<<8 | uint32(w.key[1])) + uint32(w.attempt)*40503
	return d + d/4*time.Duration(share%1024)/1024
}

// accept gives a datum's output to everybody who waits for it.
func (s *State) accept(w *work, output tree.Root) {
	known := w.state == DatumRunning
	if !s.moveWork(w, DatumAccepted) {
		return
	}
	w.output, w.success, w.reason = output, true, ""
	if !known {
		s.foresees(w)
		s.claimRunning(w)
	}
	for _, o := range slices.Clone(w.owners) {
		j := s.jobs[o.job]
		it := &j.items[o.item]
		it.output, it.done = output, true
		if known {
			j.record.Counts.Hit++
		} else {
			j.record.Counts.Ran++
		}
		s.countDown(j)
	}
	if len(w.owners) == 0 && s.work[w.key] == w {
		if !known {
			s.keepAhead(w)
		}
		s.dropWork(w)
	}
}

// failed tells everybody who waits for a datum that there is no result.
func (s *State) failed(w *work) {
	if !s.moveWork(w, DatumFailed) {
		return
	}
	for _, o := range slices.Clone(w.owners) {
		j := s.jobs[o.job]
		if j == nil || j.items == nil {
			continue // its end made it give up the others
		}
		s.lack(j, o.item, w)
	}
	if len(w.owners) == 0 && s.work[w.key] == w {
		s.dropWork(w)
	}
}

// lack notes that a datum of a job has no result. The job goes on without it if
// its error command succeeded, or max_failed allows it; one too many ends the
// job if the spec set a limit, and else when all datums are over.
func (s *State) lack(j *job, i int, w *work) {
	j.items[i].lacking = true
	j.lacks++
	if w.recovers {
		j.record.Counts.Recovered++
		s.countDown(j)
		return
	}
	if j.record.Counts.Failed++; j.record.Counts.Failed == 1 {
		j.record.Reason = fmt.Sprintf("datum %s: %s", j.items[i].identity, cmp.Or(w.reason, "failed"))
	}
	if most := int64(j.spec.Head.Version.Spec.MaxFailed); most > 0 && j.record.Counts.Failed > most && j.record.State == history.Running {
		s.failJob(j)
		return
	}
	s.countDown(j)
}

// failJob ends a job for its failed datums.
func (s *State) failJob(j *job) {
	c, reason := j.record.Counts, j.record.Reason
	s.end(j, history.Failed, fmt.Sprintf("%d of %d datums failed: %s", c.Failed, c.Total, reason))
	s.killStrays("", func(w *work) bool { return w.job == j.spec.ID })
}

// crashed plans another attempt after a while, unless there were too many.
func (s *State) crashed(w *work, reason string) {
	w.reason, w.success = reason, false
	if w.crashes++; w.crashes > s.opts.CrashesMax {
		s.failed(w)
		return
	}
	if !s.moveWork(w, DatumRetryWait) {
		return
	}
	if len(w.owners) == 0 {
		s.dropWork(w)
		return
	}
	s.waitFor(w, jitter(s.opts.Backoff(w.crashes), w))
}

// retryWork plans the datums whose wait is over.
func (s *State) retryWork() {
	if len(s.waits) == 0 || s.first.After(s.now) {
		return
	}
	waits := s.waits
	s.waits = nil
	for _, key := range waits {
		switch w := s.work[key]; {
		case w == nil || w.state != DatumRetryWait:
		case w.after.After(s.now):
			if len(s.waits) == 0 || w.after.Before(s.first) {
				s.first = w.after
			}
			s.waits = append(s.waits, key)
		default:
			s.queue(w)
		}
	}
}

func (s *State) unwait(w *work) {
	s.waits = slices.DeleteFunc(s.waits, func(k memo.Key) bool { return k == w.key })
}

// countDown notes that one more datum of a job is over.
func (s *State) countDown(j *job) {
	j.left--
	if j.left > 0 || j.record.State != history.Running {
		return
	}
	if j.record.Counts.Failed > int64(j.spec.Head.Version.Spec.MaxFailed) {
		s.failJob(j)
		return
	}
	s.merge(j)
}

// merge asks for the output of a job whose datums are all in.
func (s *State) merge(j *job) {
	if s.moveJob(j, history.Merging) {
		s.emit(Merge{Job: j.spec, Epoch: j.epoch, Delta: j.changes()})
	}
}

// changes returns what the datums of a job say about its output. Those without
// a result are left out; if there was an earlier one, it is withdrawn.
func (j *job) changes() output.Delta {
	d := output.Delta{Total: j.record.Counts.Total - j.lacks, Lacks: j.lacks, Full: !j.delta, Removed: j.removed}
	d.Changed = make([]output.Datum, 0, len(j.items))
	for _, it := range j.items {
		if it.lacking {
			if j.delta {
				d.Removed = append(d.Removed[:len(d.Removed):len(d.Removed)], it.identity)
			}
			continue
		}
		d.Changed = append(d.Changed, output.Datum{Identity: it.identity, Key: it.key, Tree: it.output})
	}
	return d
}

// release gives up a job's claim to its datums. Those that nobody else waits
// for are dropped, or left to end by themselves if they run.
func (s *State) release(j *job) {
	for _, it := range j.items {
		w := s.work[it.key]
		if w == nil {
			continue // a hit
		}
		w.owners = slices.DeleteFunc(w.owners, func(o owner) bool { return o.job == j.spec.ID })
		switch {
		case w.state == DatumPlanned && len(w.owners) > 0:
			s.requeue(w)
		case len(w.owners) > 0 || w.state == DatumReported:
		case w.live: // it is dropped when the attempt is over
			if w.state == DatumRetryWait {
				s.unwait(w)
				s.moveWork(w, DatumPlanned)
			}
			if !slices.Contains(s.stray, w.key) {
				s.stray = append(s.stray, w.key)
			}
		default:
			s.dropWork(w)
		}
	}
	j.ran = j.record.Counts.Ran
	j.items, j.ready, j.removed, j.left, j.lacks = nil, nil, nil, 0, 0
}

// killStrays stops the attempts that nobody waits for and that match.
func (s *State) killStrays(by string, match func(*work) bool) {
	s.stray = slices.DeleteFunc(s.stray, func(k memo.Key) bool {
		w := s.work[k]
		if w == nil || !w.live || len(w.owners) > 0 {
			return true
		}
		if !match(w) {
			return false
		}
		s.kill(w, by)
		return true
	})
}

func (s *State) kill(w *work, by string) {
	if !w.killed {
		w.killed, w.by = true, by
		s.emit(Kill{Key: w.key, Serial: w.serial})
	}
}

func (s *State) noteAttempt(w *work, of Finished) {
	a := s.attemptRecord(w, of)
	s.note(history.Record{Attempt: &a})
}

// attemptRecord returns what history keeps of an attempt.
func (s *State) attemptRecord(w *work, of Finished) history.Attempt {
	r := of.Result
	if len(w.owners) > 0 && w.job.IsZero() { // it was started ahead
		o := w.owners[0]
		w.job, w.identity = o.job, s.jobs[o.job].items[o.item].identity
	}
	a := history.Attempt{
		Job: w.job, Identity: w.identity, Key: w.key, Attempt: of.Attempt, Outcome: string(r.Outcome), Exit: r.Exit,
		Reason: firstLine(r.Reason), Log: r.Log, Started: commit.Stamp(r.Started), Ended: commit.Stamp(r.Ended), Stats: history.Stats(r.Stats),
	}
	if r.Outcome == task.Cancelled {
		a.By = w.by
	}
	return a
}
