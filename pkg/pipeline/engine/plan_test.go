package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

func testID(s string) commit.ID { return commit.ID(chunk.Commit.Sum([]byte(s))) }

func testTime(minute int) time.Time { return time.Date(2026, 11, 20, 9, minute, 0, 0, time.UTC) }

// testHead returns a pipeline that reads one repo.
func testHead(name, branch, input string) PipelineHead {
	p := PipelineHead{Name: name, Branch: branch, Spec: testID("spec of " + name)}
	p.SpecCommit = commit.Commit{Time: testTime(1), Author: "owner"}
	p.Version.Spec = spec.Spec{Pipeline: name, Parameters: map[string]string{"n": "1"}}
	p.Inputs = []InputHead{{Name: input, Repo: input, Branch: branch}}
	return p
}

func headAt(s string, minute int) Head {
	return Head{ID: testID(s), Commit: commit.Commit{Time: testTime(minute)}}
}

func testJob() JobSpec {
	p := testHead("count", "main", "src")
	p.Inputs[0].Head = headAt("src 1", 2)
	p.Output = headAt("out 1", 3)
	return Ledger{}.Current(p)
}

func encodeCommit(t rapid.TB, c commit.Commit) string {
	b, err := commit.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// made returns the head that a job leaves.
func made(j JobSpec) Head {
	h := headAt("output of "+j.ID.String(), 9)
	h.Commit.Prov = &commit.Provenance{Job: j.ID.String()}
	return h
}

// TestJobIDCoversWhatIsEvaluated changes each part in turn.
func TestJobIDCoversWhatIsEvaluated(t *testing.T) {
	base := testJob().Head
	seen := map[JobID]string{NewJobID(base, 0): "nothing"}
	for what, change := range map[string]func(*PipelineHead){
		"pipeline":  func(p *PipelineHead) { p.Name = "other" },
		"branch":    func(p *PipelineHead) { p.Branch = "staging" },
		"spec":      func(p *PipelineHead) { p.Spec = testID("other") },
		"input":     func(p *PipelineHead) { p.Inputs = []InputHead{{Name: "src", Head: headAt("src 2", 1)}} },
		"name":      func(p *PipelineHead) { p.Inputs = []InputHead{{Name: "x", Head: p.Inputs[0].Head}} },
		"parameter": func(p *PipelineHead) { p.Version.Spec.Parameters = map[string]string{"n": "2"} },
	} {
		p := base
		change(&p)
		id := NewJobID(p, 0)
		if other, ok := seen[id]; ok {
			t.Errorf("changing the %s gives the ID of changing the %s", what, other)
		}
		seen[id] = what
	}
	if NewJobID(base, 1) == NewJobID(base, 0) {
		t.Error("a rerun has the ID of the first run")
	}
	p := base
	p.Output = headAt("elsewhere", 1)
	if NewJobID(p, 0) != NewJobID(base, 0) {
		t.Error("the ID depends on the output")
	}
}

func TestPlan(t *testing.T) {
	p := testJob().Head
	job := Ledger{}.Current(p)
	for _, c := range []struct {
		name   string
		change func(*PipelineHead, *Ledger)
		want   int
	}{
		{"new heads", func(*PipelineHead, *Ledger) {}, 1},
		{"evaluated", func(p *PipelineHead, _ *Ledger) { p.Output = made(job) }, 0},
		{"no input yet", func(p *PipelineHead, _ *Ledger) { p.Inputs[0].Head = Head{} }, 0},
		{"can't run", func(p *PipelineHead, _ *Ledger) { p.Problem = "spec is broken" }, 0},
		{"failed", func(_ *PipelineHead, l *Ledger) { l.Note(record(job, history.Failed, "")) }, 0},
		{"failed before", func(_ *PipelineHead, l *Ledger) {
			jobs := []history.Job{record(job, history.Failed, "")}
			*l = NewLedger(jobs)
			l.Again(jobs)
			l.Again(jobs)
		}, 1},
		{"failed before, and again since", func(p *PipelineHead, l *Ledger) {
			jobs := []history.Job{record(job, history.Failed, ""), record(JobSpec{ID: NewJobID(*p, 1), Rerun: 1, Head: *p}, history.Failed, "")}
			*l = NewLedger(jobs)
			l.Again(jobs[:1])
		}, 0},
		{"cancelled before", func(_ *PipelineHead, l *Ledger) {
			jobs := []history.Job{record(job, history.Killed, "owner")}
			*l = NewLedger(jobs)
			l.Again(jobs)
		}, 0},
		{"cancelled", func(_ *PipelineHead, l *Ledger) { l.Note(record(job, history.Killed, "owner")) }, 0},
		{"overtaken once", func(_ *PipelineHead, l *Ledger) { l.Note(record(job, history.Killed, "")) }, 1},
		{"evaluated, and asked for again", func(p *PipelineHead, l *Ledger) {
			p.Output = made(job)
			again := record(JobSpec{ID: NewJobID(*p, 1), Rerun: 1, Head: *p}, history.Running, "")
			l.Note(again)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, ledger := p, NewLedger(nil)
			head.Inputs = []InputHead{p.Inputs[0]}
			c.change(&head, &ledger)
			if got := Plan(Snapshot{Pipelines: []PipelineHead{head}}, ledger); len(got) != c.want {
				t.Errorf("%d jobs are wanted, want %d", len(got), c.want)
			}
		})
	}
}

func record(j JobSpec, s history.State, by string) history.Job {
	r := j.record(testTime(0))
	r.State, r.By = s, by
	return r
}

// chain is src -> a -> b, and an unrelated pipeline.
func chain() Snapshot {
	a, b, other := testHead("a", "main", "src"), testHead("b", "main", "a"), testHead("other", "main", "elsewhere")
	a.Inputs[0].Head = headAt("src 1", 2)
	other.Inputs[0].Head = headAt("elsewhere 1", 2)
	return Snapshot{Pipelines: []PipelineHead{a, b, other}}
}

// TestSettle follows a commit down a chain: pending until the last pipeline
// has evaluated the output of the one before.
func TestSettle(t *testing.T) {
	s, l := chain(), NewLedger(nil)
	pending := func(repoName string) int { return len(Settle(s, l, repoName, "main").Pending) }
	if pending("src") != 1 || pending("b") != 1 || pending("elsewhere") != 1 || pending("nowhere") != 0 {
		t.Fatalf("before: %d %d %d %d", pending("src"), pending("b"), pending("elsewhere"), pending("nowhere"))
	}
	s.Pipelines[0].Output = made(l.Current(s.Pipelines[0]))
	s.Pipelines[1].Inputs[0].Head = s.Pipelines[0].Output
	if pending("src") != 1 {
		t.Fatal("settled before the second pipeline ran")
	}
	last := l.Current(s.Pipelines[1])
	l.Note(record(last, history.Failed, ""))
	got := Settle(s, l, "src", "main")
	if !got.Settled() || len(got.Failed) != 1 || got.Err() == nil {
		t.Fatalf("a failed job: %+v, %v", got, got.Err())
	}
	l.Note(record(last, history.Done, ""))
	s.Pipelines[1].Output = made(last)
	if got := Settle(s, l, "src", "main"); !got.Settled() || got.Err() != nil {
		t.Fatalf("all done: %+v, %v", got, got.Err())
	}
	if got := Settle(s, l, "", ""); len(got.Pending) != 1 {
		t.Fatalf("everything: %d pending", len(got.Pending))
	}
}

func TestMarkCycles(t *testing.T) {
	s := chain()
	s.Pipelines[0].Inputs[0] = InputHead{Name: "b", Repo: "b", Branch: "main", Head: headAt("b", 1)}
	MarkCycles(s.Pipelines)
	if s.Pipelines[0].Ready() || s.Pipelines[1].Ready() || !s.Pipelines[2].Ready() {
		t.Errorf("problems: %q, %q, %q", s.Pipelines[0].Problem, s.Pipelines[1].Problem, s.Pipelines[2].Problem)
	}
}
