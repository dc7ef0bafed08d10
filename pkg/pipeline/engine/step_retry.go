package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// policy says when there is another attempt at a datum.
type policy struct {
	tries   int           // attempts that may fail
	backoff time.Duration // after the first of them
	classes []string      // failures after which there is another; none: any
	crashes int           // attempts that may be lost; 0: as many as the engine says
}

func policyOf(s *spec.Spec) *policy {
	return &policy{tries: max(1, s.Datum.Tries), backoff: s.DatumBackoff(), classes: s.Datum.RetryOn, crashes: s.Datum.CrashTries}
}

// retries reports whether a failure of that kind may be followed by another
// attempt.
func (p *policy) retries(f task.Failure) bool {
	return len(p.classes) == 0 || slices.Contains(p.classes, string(f))
}

// tryAgain plans another attempt at a datum whose program failed, at once or
// after the wait that the spec asks for.
func (s *State) tryAgain(w *work) {
	least := w.policy.backoff
	if least <= 0 {
		s.queue(w)
		return
	}
	if s.moveWork(w, DatumRetryWait) {
		s.waitFor(w, jitter(backoff(least, max(least, s.opts.BackoffMax), w.fails), w))
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

// crashed plans another attempt after a while, unless there were too many.
func (s *State) crashed(w *work, reason string) {
	w.reason, w.success = reason, false
	if w.crashes++; w.crashes >= cmp.Or(w.policy.crashes, s.opts.CrashesMax+1) {
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
