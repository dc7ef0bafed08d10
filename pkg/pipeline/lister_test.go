package pipeline_test

import (
	"fmt"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestListingReadsWhatChanged: what is listed of a job, and what is read for it,
// follows what was added and not what is there.
func TestListingReadsWhatChanged(t *testing.T) {
	const folders = 300
	b := newBench(t)
	files := map[string]string{}
	for i := range folders {
		files[fmt.Sprintf("d%03d/a", i)] = fmt.Sprint("text ", i)
	}
	b.commit("many", files)
	b.register("up", "src", "main", func(s *spec.Spec) { s.Input.Glob = "/*/*" })
	l := b.listing("up")
	if len(l.Items) != folders || l.Nodes < folders {
		t.Errorf("at first %d datums in %d nodes", len(l.Items), l.Nodes)
	}
	stop := b.start()
	b.wait()
	stop()
	for i := range 3 {
		files[fmt.Sprintf("d%03d/more", i*100)] = "more"
	}
	b.commit("more", files)
	if l = b.listing("up"); len(l.Items) != 3 || l.Total != folders+3 || !l.Delta || l.Nodes == 0 || l.Nodes > 40 {
		t.Errorf("then %d of %d datums in %d nodes", len(l.Items), l.Total, l.Nodes)
	}
}

// listing lists the datums of the job that is planned for a pipeline.
func (b *bench) listing(name string) *pipeline.Listing {
	b.Helper()
	snap, err := pipeline.Observe(b.ctx, b.store)
	if err != nil {
		b.Fatal(err)
	}
	ledger, err := pipeline.OpenJobs(b.store, "test").Ledger(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, job := range engine.Plan(snap, ledger) {
		if job.Head.Name != name {
			continue
		}
		lister := &pipeline.Lister{Store: b.store, Runner: b.runner, Memo: pipeline.OpenMemo(b.store), Scope: "test", Platform: "test/test"}
		l, err := lister.List(b.ctx, job)
		if err != nil {
			b.Fatal(err)
		}
		return l
	}
	b.Fatalf("no job of %s is planned", name)
	return nil
}
