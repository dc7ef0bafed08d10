package engine

import "github.com/dvx-io/dvx/pkg/pipeline/history"

// Hook asks to run what a spec wants done when a job is over. It may come more
// than once for a job, never not at all once the record that it is over is in the
// root: jobs whose hooks are not recorded as done have them run again.
type Hook struct{ Job history.Job }

func (Hook) effect() {}

// Owed tells of jobs whose hooks are due ([HooksDue]) as of a history that has
// grown by other hands than this engine's: it is what an engine is told first,
// and whenever a swap lands that an earlier one began, or that had no known
// outcome. So a record that ends a job is all that its hooks need.
type Owed struct{ Jobs []history.Job }

func (Owed) happening() {}

// hookedMax bounds the endings whose hooks are known to have been asked for. One
// that is forgotten is told of again only if its hooks are not recorded as done.
const hookedMax = 10_000

// hooked is what is known of hooks that were asked for.
type hooked struct {
	asked map[ending]bool
	order []ending
}

// ending names one time that a job was over.
type ending struct {
	job     JobID
	created int64 // in Unix nanoseconds
}

// hook has the hooks of a job run, if its spec has any. Its record is noted
// before, or is in the root.
func (s *State) hook(j history.Job) {
	k := ending{j.ID, j.Created.UnixNano()}
	if !j.Hooks || s.hooked.asked[k] {
		return
	}
	s.hooked.asked[k] = true
	if s.hooked.order = append(s.hooked.order, k); len(s.hooked.order) > hookedMax {
		delete(s.hooked.asked, s.hooked.order[0])
		s.hooked.order = s.hooked.order[1:]
	}
	s.emit(Hook{Job: j})
}

// onOwed has hooks run that nobody did.
func (s *State) onOwed(of Owed) {
	for _, j := range of.Jobs {
		s.hook(j)
	}
}

// HooksDue returns the jobs of the history that are over and whose hooks nobody
// recorded as done, in order of the history.
func HooksDue(jobs []history.Job, events []history.Event) []history.Job {
	done := map[JobID]bool{}
	for _, e := range events {
		if e.Kind == history.HookDone {
			done[e.Job] = true
		}
	}
	var due []history.Job
	for _, j := range jobs {
		if j.Hooks && j.State.Final() && !done[j.ID] {
			due = append(due, j)
		}
	}
	return due
}
