package sim

import (
	"fmt"

	"github.com/dvx-io/dvx/pkg/pipeline"
)

// describe says in a line what an event or effect is about.
func describe(x any) string {
	switch x := x.(type) {
	case pipeline.Observed:
		return fmt.Sprintf("observed gen %d", x.Snapshot.Gen)
	case pipeline.Enumerated:
		return fmt.Sprintf("enumerated %s#%d: %d items, %d removed, of %d (%v)", x.Job.Short(), x.Epoch, len(x.Items), len(x.Removed), x.Total, x.Err)
	case pipeline.Finished:
		return fmt.Sprintf("finished %s/%d: %s%s", x.Key.Short(), x.Attempt, x.Result.Outcome, known(x.Known))
	case pipeline.Persisted:
		return fmt.Sprintf("persisted %s, persist %d (%v)", x.Key.Short(), x.Seq, x.Err)
	case pipeline.Merged:
		return fmt.Sprintf("merged %s#%d as %s (%v)", x.Job.Short(), x.Epoch, x.Commit.Short(), x.Err)
	case pipeline.Swapped:
		return fmt.Sprintf("swapped %d: verdict %d, gen %d", x.Seq, x.Verdict, x.Gen)
	case pipeline.Tick:
		return "tick"
	case pipeline.Look:
		return "look"
	case pipeline.Enumerate:
		return fmt.Sprintf("enumerate %s#%d of %s@%s", x.Job.ID.Short(), x.Epoch, x.Job.Head.Name, x.Job.Head.Branch)
	case pipeline.Start:
		return fmt.Sprintf("start %s/%d, %s of job %s", x.Key.Short(), x.Attempt, x.Identity, x.Job.Short())
	case pipeline.Kill:
		return fmt.Sprintf("kill %s, serial %d", x.Key.Short(), x.Serial)
	case pipeline.Persist:
		return fmt.Sprintf("persist %d: %s/%d %s", x.Seq, x.Attempt.Key.Short(), x.Attempt.Attempt, x.Attempt.Outcome)
	case pipeline.Merge:
		return fmt.Sprintf("merge %s#%d: %d changed, %d removed", x.Job.ID.Short(), x.Epoch, len(x.Delta.Changed), len(x.Delta.Removed))
	case pipeline.Publish:
		return fmt.Sprintf("publish %s as %s, swap %d", x.Job.ID.Short(), x.Commit.Short(), x.Seq)
	case pipeline.Checkpoint:
		return fmt.Sprintf("checkpoint, swap %d", x.Seq)
	case pipeline.Record:
		return describeRecord(x)
	case pipeline.WakeAt:
		return "wake at " + x.Time.UTC().Format("15:04:05.000000")
	case pipeline.Forget:
		return fmt.Sprintf("forget %d", len(x.Keys))
	case pipeline.Complain:
		return "complain: " + x.Text
	default:
		return fmt.Sprintf("%T", x)
	}
}

func describeRecord(x pipeline.Record) string {
	switch r := x.Record; {
	case r.Job != nil:
		return fmt.Sprintf("record job %s %s %+v %s", r.Job.ID.Short(), r.Job.State, r.Job.Counts, r.Job.Reason)
	case r.Attempt != nil:
		return fmt.Sprintf("record attempt %s/%d %s", r.Attempt.Key.Short(), r.Attempt.Attempt, r.Attempt.Outcome)
	default:
		return fmt.Sprintf("record event %s", r.Event.Kind)
	}
}

func known(k bool) string {
	if k {
		return "known"
	}
	return ""
}
