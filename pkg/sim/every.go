package sim

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// choose makes the input of a pipeline that evaluates every commit the next one.
func (w *world) choose(p *engine.PipelineHead) {
	if p.Inputs[0].Head.ID.IsZero() {
		return
	}
	var done []commit.Input
	for _, id := range slices.Backward(w.branches[at(p.Name, p.Branch)]) {
		if prov := w.versions[id].commit.Prov; prov != nil {
			done = prov.Inputs
			break
		}
	}
	in := p.Inputs[0]
	heads := w.branches[at(in.Repo, in.Branch)]
	past := func(_, back int) (engine.Head, bool, error) {
		if back >= len(heads) {
			return engine.Head{}, false, nil
		}
		id := heads[len(heads)-1-back]
		return engine.Head{ID: id, Commit: w.versions[id].commit}, true, nil
	}
	next, waits, err := engine.Next(p.Inputs, done, past)
	if err != nil || waits != "" {
		w.fail("next commit of %s: %s, %v", in.Name, waits, err)
		return
	}
	p.Inputs = next
}

// checkEvery holds when a job is published: a pipeline that evaluates every
// commit leaves none out and takes none twice before the next.
func (w *world) checkEvery(p engine.PipelineHead) {
	if !w.stage(p).every {
		return
	}
	in := p.Inputs[0]
	n := slices.Index(w.branches[at(in.Repo, in.Branch)], in.Head.ID) + 1
	last := w.followed[at(p.Name, p.Branch)]
	if n != last && n != last+1 {
		w.fail("%s evaluates commit %d of its input after commit %d", p.Name, n, last)
	}
	w.followed[at(p.Name, p.Branch)] = n
}
