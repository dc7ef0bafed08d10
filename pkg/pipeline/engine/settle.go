package engine

import (
	"fmt"
	"io/fs"
)

// Settlement says whether everything that depends on a branch is up to date.
type Settlement struct {
	Pending []JobSpec // jobs that are still to be done; none: settled
	Failed  []JobSpec // evaluations of the present heads that ended without an output
	Problem []PipelineHead
}

// Settled reports whether no job is to be done any more.
func (s Settlement) Settled() bool { return len(s.Pending) == 0 }

// Settle looks at every pipeline that leads to a branch of a repo or depends
// on it, through any number of others. While a pipeline is pending, those
// below it are not yet called for, so the answer is final only when nothing
// is pending. An empty repo means all pipelines. It is pure.
func Settle(s Snapshot, l Ledger, repoName, branch string) Settlement {
	related := relatives(s, ref{repoName, branch})
	var out Settlement
	for i, p := range s.Pipelines {
		switch j := l.Current(p); {
		case repoName != "" && !related[i]:
		case p.Problem != "":
			out.Problem = append(out.Problem, p)
		case !p.Ready() || p.Output.Job() == j.ID:
		case l.Ended[j.ID]:
			out.Failed = append(out.Failed, j)
		default:
			out.Pending = append(out.Pending, j)
		}
	}
	return out
}

// Err returns what a caller that waits for success should be told once the
// settlement is final: nil, or an error that names the failed pipelines.
func (s Settlement) Err() error {
	switch {
	case len(s.Failed) > 0:
		j := s.Failed[0]
		return fmt.Errorf("%d of the pipelines failed; the first is %s@%s, job %s: see dvx logs %s", len(s.Failed), j.Head.Name, j.Head.Branch, j.ID.Short(), j.ID.Short())
	case len(s.Problem) > 0:
		p := s.Problem[0]
		return fmt.Errorf("%d of the pipelines can't run; the first is %s@%s: %s: %w", len(s.Problem), p.Name, p.Branch, p.Problem, fs.ErrInvalid)
	}
	return nil
}
