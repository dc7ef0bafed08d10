package engine

import "time"

// schedule starts datums while there are slots: those of the pipelines with the
// highest priority first, one job of them after the other.
func (s *State) schedule() {
	s.pooled = time.Time{}
	for len(s.running) < s.opts.Slots {
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
	if limit > 0 && s.busy[j.output()] >= limit || !s.fits(j) {
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
	j.short = shortage{}
	w.job, w.pipeline = j.spec.ID, j.output()
	for _, o := range w.owners {
		if o.job == w.job {
			w.identity = j.items[o.item].identity
			break
		}
	}
	s.launch(w, j.spec.Head.Version.Spec.Concurrency)
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
