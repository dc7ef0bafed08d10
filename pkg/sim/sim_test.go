package sim

import (
	"cmp"
	"flag"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

var seeds = flag.Int("seeds", 0, "how many seeds to run; DVX_SEEDS if 0, else 100")

// seedRange returns the seeds to run: DVX_SEED alone, or as many as wanted.
func seedRange(t *testing.T) []uint64 {
	t.Helper()
	if s := os.Getenv("DVX_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("DVX_SEED: %v", err)
		}
		return []uint64{n}
	}
	env, _ := strconv.Atoi(os.Getenv("DVX_SEEDS"))
	out := make([]uint64, cmp.Or(*seeds, env, 100))
	for i := range out {
		out[i] = uint64(i) + 1
	}
	return out
}

// TestSeeds runs the engine in a world where everything goes wrong: the
// outputs are those of an undisturbed run, twice in the same way.
func TestSeeds(t *testing.T) {
	calm, err := Run(0, Options{})
	if err != nil {
		t.Fatalf("undisturbed: %v", err)
	}
	hurried, err := Run(0, Options{Hurry: true})
	if err != nil {
		t.Fatalf("undisturbed, in a hurry: %v", err)
	}
	var events, crashes int
	var elapsed time.Duration
	for _, seed := range seedRange(t) {
		o := Options{Faults: AllFaults(), Hurry: seed%2 == 0}
		if os.Getenv("DVX_SEED") != "" {
			o.Log = t.Output()
		}
		a, err := Run(seed, o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Run(seed, o)
		if err != nil || a.Trace != b.Trace {
			t.Fatalf("seed %d: a second run gave trace %s after %s (%v)", seed, b.Trace, a.Trace, err)
		}
		for branch, want := range calm.Outputs {
			if !o.Hurry && a.Outputs[branch] != want {
				t.Errorf("seed %d: head of %s differs from that of an undisturbed run", seed, branch)
			}
			if o.Hurry && a.Contents[branch] != hurried.Contents[branch] {
				t.Errorf("seed %d: content of %s differs from that of an undisturbed run", seed, branch)
			}
		}
		events += a.Events
		crashes += a.Crashes
		elapsed += a.Elapsed
	}
	t.Logf("%d events, %d crashes, %v of simulated time", events, crashes, elapsed)
}

// TestTransitions fails if the faults no longer lead through every transition
// of the engine's tables.
func TestTransitions(t *testing.T) {
	seen := map[engine.Transition]int{}
	for seed := range uint64(40) {
		o := Options{Faults: AllFaults(), Hurry: seed%2 == 0, Trace: func(x engine.Transition) { seen[x]++ }}
		o.Faults.Final, o.Faults.EffectLost, o.Faults.Vanish, o.Faults.UserFails = 100, 100, 200, 200
		o.Faults.Meddle = 20
		o.CrashesMax, o.UserFailsMax = 1+int(seed%3), 100
		if _, err := Run(seed, o); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range engine.Transitions() {
		if seen[x] == 0 {
			t.Errorf("%s: nothing led from %s to %s", x.Machine, x.From, x.To)
		}
		delete(seen, x)
	}
	for x := range seen {
		t.Errorf("%s: %s to %s is not in the table", x.Machine, x.From, x.To)
	}
}

// TestUndisturbedRunsNothingTwice holds without any fault: each datum runs
// once, also if two pipelines share it.
func TestUndisturbedRunsNothingTwice(t *testing.T) {
	runs := map[string]int{}
	o := Options{Step: func(s *engine.State, e engine.Event) []engine.Effect {
		effects := engine.Step(s, e)
		for _, x := range effects {
			if start, ok := x.(engine.Start); ok {
				runs[start.Key.String()]++
			}
		}
		return effects
	}}
	if _, err := Run(7, o); err != nil {
		t.Fatal(err)
	}
	counts := make([]int, 0, len(runs))
	for _, n := range runs {
		counts = append(counts, n)
	}
	if len(counts) == 0 || slices.Max(counts) > 1 {
		t.Errorf("%d keys were started, the busiest %d times", len(counts), slices.Max(counts))
	}
}

// TestMutants breaks the engine in one place each: the invariants notice.
func TestMutants(t *testing.T) {
	for name, mutate := range map[string]func(*engine.State, engine.Event) []engine.Effect{
		"a checkpoint is forgotten": func(s *engine.State, e engine.Event) []engine.Effect {
			return slices.DeleteFunc(engine.Step(s, e), func(x engine.Effect) bool {
				_, ok := x.(engine.Checkpoint)
				return ok
			})
		},
		"a lost result counts as durable": func(s *engine.State, e engine.Event) []engine.Effect {
			if x, ok := e.Of.(engine.Persisted); ok {
				x.Err = nil
				e.Of = x
			}
			return engine.Step(s, e)
		},
		"a failed attempt counts as a success": func(s *engine.State, e engine.Event) []engine.Effect {
			if x, ok := e.Of.(engine.Finished); ok && x.Result.Outcome == task.Crashed {
				x.Result.Outcome = task.Succeeded
				e.Of = x
			}
			return engine.Step(s, e)
		},
		"removed datums stay": func(s *engine.State, e engine.Event) []engine.Effect {
			if x, ok := e.Of.(engine.Enumerated); ok {
				x.Removed = nil
				e.Of = x
			}
			return engine.Step(s, e)
		},
		"each datum is started twice": func(s *engine.State, e engine.Event) []engine.Effect {
			effects := engine.Step(s, e)
			for _, x := range effects {
				if start, ok := x.(engine.Start); ok {
					effects = append(effects, start)
				}
			}
			return effects
		},
		"a failure goes unnoticed": func(s *engine.State, e engine.Event) []engine.Effect {
			if x, ok := e.Of.(engine.Finished); ok && x.Result.Outcome != task.Succeeded {
				e.Of = engine.Tick{}
			}
			return engine.Step(s, e)
		},
		"datums that did not change are dropped": func(s *engine.State, e engine.Event) []engine.Effect {
			if x, ok := e.Of.(engine.Enumerated); ok {
				x.Delta = false
				e.Of = x
			}
			return engine.Step(s, e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(40) {
				if _, err := Run(seed, Options{Faults: AllFaults(), Step: mutate, Hurry: seed%2 == 0}); err != nil {
					t.Logf("found: %v", err)
					return
				}
			}
			t.Error("40 seeds did not notice")
		})
	}
}
