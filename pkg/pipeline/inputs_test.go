package pipeline_test

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestCrossWithReference: each file is run with the model; a new model runs
// nothing again, and what is new or changed runs with it.
func TestCrossWithReference(t *testing.T) {
	b := newBench(t)
	b.commitTo("model", "", "v1", map[string]string{"weights": "1"})
	b.register("up", "src", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Cross: []spec.Input{{Repo: "src", Glob: "/*"}, {Repo: "model", Glob: "/", Reference: true}}}
	})
	b.start()
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	b.wantRuns(3)

	b.commitTo("model", "", "v2", map[string]string{"weights": "2"})
	b.wait()
	b.wantRuns(3)

	b.commit("more", map[string]string{"a": "one", "b": "2b", "d": "four"})
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "2B", "d": "FOUR"})
	b.wantRuns(5)

	// A spec that runs the same in another way lists everything anew.
	b.register("up", "src", "main", func(s *spec.Spec) {
		s.Description = "the same"
		s.Input = spec.Input{Cross: []spec.Input{{Repo: "src", Glob: "/{*}"}, {Repo: "model", Glob: "/", Reference: true}}}
	})
	b.wait()
	b.wantRuns(5)

	b.register("up", "src", "main", func(s *spec.Spec) {
		s.Reprocess = "again"
		s.Input = spec.Input{Cross: []spec.Input{{Repo: "src", Glob: "/*"}, {Repo: "model", Glob: "/", Reference: true}}}
	})
	b.wait()
	b.wantRuns(8)
}

// TestUnionUnderOneName: the program need not know from which repo a file is,
// and files that are gone take their outputs with them.
func TestUnionUnderOneName(t *testing.T) {
	b := newBench(t)
	b.commitTo("more", "", "first", map[string]string{"x": "ten", "y": "eleven"})
	b.register("up", "src", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Union: []spec.Input{{Repo: "src", Name: "in", Glob: "/*"}, {Repo: "more", Name: "in", Glob: "/*"}}}
	})
	b.start()
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE", "x": "TEN", "y": "ELEVEN"})
	b.commitTo("more", "", "less", map[string]string{"y": "eleven"})
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE", "y": "ELEVEN"})
	b.wantRuns(5)
}

// TestJoinFollowsItsKeys: only the keys that change run.
func TestJoinFollowsItsKeys(t *testing.T) {
	b := newBench(t)
	b.commitTo("side", "", "first", map[string]string{"a.x": "1", "b.x": "1", "z.x": "1"})
	b.register("up", "src", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Join: []spec.Input{
			{Repo: "src", Glob: "/(*)", JoinOn: "$1", OuterJoin: true}, {Repo: "side", Glob: "/(*).x", JoinOn: "$1"},
		}}
	})
	b.start()
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	b.wantRuns(3)
	b.commitTo("side", "", "second", map[string]string{"a.x": "1", "b.x": "2", "c.x": "1"})
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	b.wantRuns(5) // b has another side, c has got one
}
