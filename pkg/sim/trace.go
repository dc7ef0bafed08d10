package sim

import (
	"fmt"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// describe says in a line what an event or effect is about.
func describe(x any) string {
	switch x := x.(type) {
	case engine.Observed:
		return fmt.Sprintf("observed gen %d", x.Snapshot.Gen)
	case engine.Enumerated:
		return fmt.Sprintf("enumerated %s#%d: %d items, %d removed, of %d (%v)", x.Job.Short(), x.Epoch, len(x.Items), len(x.Removed), x.Total, x.Err)
	case engine.Finished:
		return fmt.Sprintf("finished %s/%d: %s%s", x.Key.Short(), x.Attempt, x.Result.Outcome, known(x.Known))
	case engine.Persisted:
		return fmt.Sprintf("persisted %s, persist %d (%v)", x.Key.Short(), x.Seq, x.Err)
	case engine.Merged:
		return fmt.Sprintf("merged %s#%d as %s (%v)", x.Job.Short(), x.Epoch, x.Commit.Short(), x.Err)
	case engine.Swapped:
		return fmt.Sprintf("swapped %d: verdict %d, gen %d", x.Seq, x.Verdict, x.Gen)
	case engine.Cancel:
		return fmt.Sprintf("cancel %s, datums %q, cascade %v", x.Job.Short(), x.Datums, x.Cascade)
	case engine.Rerun:
		return fmt.Sprintf("rerun %s, only %q", x.Job.Short(), x.Only)
	case engine.Tick:
		return "tick"
	case engine.Look:
		return "look"
	case engine.Enumerate:
		return fmt.Sprintf("enumerate %s#%d of %s@%s", x.Job.ID.Short(), x.Epoch, x.Job.Head.Name, x.Job.Head.Branch)
	case engine.Partial:
		return fmt.Sprintf("show %s#%d, %d: %d changed, first %v", x.Job.ID.Short(), x.Epoch, x.Seq, len(x.Delta.Changed), x.First)
	case engine.Shown:
		return fmt.Sprintf("shown %s#%d, %d (%v)", x.Job.Short(), x.Epoch, x.Seq, x.Err)
	case engine.Conceal:
		return "conceal " + x.Job.ID.Short()
	case engine.Hook:
		return "hook of " + x.Job.ID.Short()
	case engine.Owed:
		return fmt.Sprintf("owed the hooks of %d", len(x.Jobs))
	case engine.Grow:
		return fmt.Sprintf("grow %s#%d, level %d of %d", x.Job.ID.Short(), x.Epoch, x.Level, len(x.Of))
	case engine.Grown:
		return fmt.Sprintf("grown %s#%d, level %d: %d (%v)", x.Job.Short(), x.Epoch, x.Level, len(x.Items), x.Err)
	case engine.Foresee:
		return fmt.Sprintf("foresee %d outputs of %s@%s", len(x.Outputs), x.Pipeline, x.Branch)
	case engine.Foreseen:
		return fmt.Sprintf("foreseen %d", len(x.Datums))
	case engine.Start:
		return fmt.Sprintf("start %s/%d, %s of job %s", x.Key.Short(), x.Attempt, x.Identity, x.Job.Short())
	case engine.Kill:
		return fmt.Sprintf("kill %s, serial %d", x.Key.Short(), x.Serial)
	case engine.Persist:
		return fmt.Sprintf("persist %d: %s/%d %s", x.Seq, x.Attempt.Key.Short(), x.Attempt.Attempt, x.Attempt.Outcome)
	case engine.Merge:
		return fmt.Sprintf("merge %s#%d: %d changed, %d removed", x.Job.ID.Short(), x.Epoch, len(x.Delta.Changed), len(x.Delta.Removed))
	case engine.Publish:
		return fmt.Sprintf("publish %s as %s, swap %d", x.Job.ID.Short(), x.Commit.Short(), x.Seq)
	case engine.Checkpoint:
		return fmt.Sprintf("checkpoint, swap %d", x.Seq)
	case engine.Record:
		return describeRecord(x)
	case engine.WakeAt:
		return "wake at " + x.Time.UTC().Format("15:04:05.000000")
	case engine.Forget:
		return fmt.Sprintf("forget %d", len(x.Keys))
	case engine.Complain:
		return "complain: " + x.Text
	default:
		return fmt.Sprintf("%T", x)
	}
}

func describeRecord(x engine.Record) string {
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
