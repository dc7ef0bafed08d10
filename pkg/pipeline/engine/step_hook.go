package engine

import "github.com/dvx-io/dvx/pkg/pipeline/history"

// Hook asks to run what a spec wants done when a job is over. It may come more
// than once for a job, never not at all: after a restart the jobs whose hooks are
// not recorded as done have them run again.
type Hook struct{ Job history.Job }

func (Hook) effect() {}

// hook has the hooks of a job run, if its spec has any. Its record is noted
// before.
func (s *State) hook(j history.Job) {
	if j.Hooks {
		s.emit(Hook{Job: j})
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
