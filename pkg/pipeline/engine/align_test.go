package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
)

// dag is pipelines over histories of commits, run one job at a time in
// whichever order.
type dag struct {
	t       *testing.T
	feeds   map[string][]string // inputs by pipeline
	names   []string            // of the pipelines
	history map[string][]Head   // by repo, oldest first
}

func (g *dag) commit(name string, c commit.Commit) {
	n := len(g.history[name])
	g.history[name] = append(g.history[name], Head{ID: testID(fmt.Sprint(name, n)), Commit: c})
}

func (g *dag) newest(name string) Head {
	if h := g.history[name]; len(h) > 0 {
		return h[len(h)-1]
	}
	return Head{}
}

// snapshot is what an observer would see.
func (g *dag) snapshot() Snapshot {
	var s Snapshot
	for _, name := range g.names {
		p := testHead(name, "main", "")
		p.Inputs, p.Output = nil, g.newest(name)
		for _, in := range g.feeds[name] {
			p.Inputs = append(p.Inputs, InputHead{Name: in, Repo: in, Branch: "main", Head: g.newest(in)})
		}
		var err error
		p.Inputs, p.Waits, err = Align(p.Inputs, func(input, back int) (Head, bool, error) {
			h := g.history[p.Inputs[input].Repo]
			if i := len(h) - 1 - back; i >= 0 {
				return h[i], true, nil
			}
			return Head{}, false, nil
		})
		if err != nil {
			g.t.Fatal(err)
		}
		s.Pipelines = append(s.Pipelines, p)
	}
	return s
}

// run does a job, and checks that what it sees is of one version of each origin.
func (g *dag) run(j JobSpec) {
	origins := originsOf(j.Head)
	for i, o := range origins {
		if slices.ContainsFunc(origins[:i], func(x commit.Ref) bool { return x.Repo == o.Repo && x.Branch == o.Branch }) {
			g.t.Fatalf("job of %s sees two versions of %s: %v", j.Head.Name, o.Repo, origins)
		}
	}
	g.commit(j.Head.Name, commit.Commit{Origins: origins, Run: RunOf(j.Head), Prov: &commit.Provenance{Job: j.ID.String()}})
}

// TestDiamondSeesOneOrigin commits to the sources of a graph of diamonds and
// runs its pipelines in 1,000 random orders: each job sees one version of each
// source, and in the end all outputs are of the newest ones, in one run.
func TestDiamondSeesOneOrigin(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := &dag{t: t, names: strings.Fields("b c d e"), history: map[string][]Head{}, feeds: map[string][]string{
			"b": {"a"}, "c": {"a", "x"}, "d": {"b", "c"}, "e": {"a", "d", "x"},
		}}
		commits := 0
		for step := 0; ; step++ {
			plan := Plan(g.snapshot(), Ledger{})
			if step > 400 {
				t.Fatalf("seed %d: no end; %d jobs are wanted", seed, len(plan))
			}
			if commits < 7 && (len(plan) == 0 || r.IntN(3) == 0) {
				g.commit([]string{"a", "x"}[r.IntN(2)], commit.Commit{})
				commits++
				continue
			}
			if len(plan) == 0 {
				break
			}
			g.run(plan[r.IntN(len(plan))])
		}
		want := map[string]commit.ID{"a": g.newest("a").ID, "x": g.newest("x").ID}
		if want["a"].IsZero() || want["x"].IsZero() {
			continue
		}
		for _, name := range g.names {
			for _, o := range g.newest(name).Commit.Origins {
				if o.Commit != want[o.Repo] {
					t.Fatalf("seed %d: %s ends with an old version of %s", seed, name, o.Repo)
				}
			}
		}
		if d, e := g.newest("d").Commit.Run, g.newest("e").Commit.Run; d != e || d == "" {
			t.Fatalf("seed %d: the ends of the graph are of runs %s and %s", seed, d, e)
		}
	}
}

// TestAlignWaits: what can't fit is not run, and says why.
func TestAlignWaits(t *testing.T) {
	of := func(id string) Head {
		return Head{ID: testID("out of " + id), Commit: commit.Commit{Origins: []commit.Ref{{Repo: "a", Branch: "main", Commit: testID(id)}}}}
	}
	inputs := []InputHead{{Name: "b", Repo: "b", Branch: "main", Head: of("a2")}, {Name: "c", Repo: "c", Branch: "main", Head: of("a1")}}
	none := func(int, int) (Head, bool, error) { return Head{}, false, nil }
	_, problem, err := Align(inputs, none)
	if err != nil || !strings.Contains(problem, "a@main") {
		t.Errorf("problem %q, error %v", problem, err)
	}
	p := testHead("d", "main", "b")
	p.Inputs, p.Waits = inputs, problem
	if p.Ready() || len(Plan(Snapshot{Pipelines: []PipelineHead{p}}, Ledger{})) != 0 {
		t.Error("a job is planned for inputs that do not fit")
	}
}
