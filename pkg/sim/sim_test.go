package sim

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

var seeds = flag.Int("seeds", 0, "how many seeds to run; twenty times DVX_SEEDS if 0, else 40")

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
	out := make([]uint64, cmp.Or(*seeds, 20*env, 40))
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
	all := seedRange(t)
	shards := min(runtime.GOMAXPROCS(0), len(all))
	for i := range shards {
		t.Run(fmt.Sprint("shard ", i), func(t *testing.T) {
			t.Parallel()
			var sum Report
			for j := i; j < len(all); j += shards {
				r := checkSeed(t, all[j], calm, hurried)
				sum.Events += r.Events
				sum.Crashes += r.Crashes
				sum.Elapsed += r.Elapsed
			}
			t.Logf("%d events, %d crashes, %v of simulated time", sum.Events, sum.Crashes, sum.Elapsed)
		})
	}
}

// replayEvery is how many seeds are run once for each that is run twice.
const replayEvery = 50

// checkSeed runs a seed and compares it with undisturbed runs, and every so
// often with itself.
func checkSeed(t *testing.T, seed uint64, calm, hurried Report) Report {
	o := Options{Faults: AllFaults(), Hurry: seed%2 == 0}
	if os.Getenv("DVX_SEED") != "" {
		o.Log = t.Output()
	}
	a, err := Run(seed, o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Elapsed < 24*time.Hour {
		t.Fatalf("seed %d: only %v of simulated time", seed, a.Elapsed)
	}
	if seed <= 20 || seed%replayEvery == 0 {
		b, err := Run(seed, o)
		if err != nil || a.Trace != b.Trace {
			t.Fatalf("seed %d: a second run gave trace %s after %s (%v)", seed, b.Trace, a.Trace, err)
		}
	}
	for branch, want := range calm.Outputs {
		if !o.Hurry && a.Outputs[branch] != want {
			t.Errorf("seed %d: head of %s differs from that of an undisturbed run", seed, branch)
		}
		if o.Hurry && a.Contents[branch] != hurried.Contents[branch] {
			t.Errorf("seed %d: content of %s differs from that of an undisturbed run", seed, branch)
		}
	}
	return a
}

// TestTransitions fails if the faults no longer lead through every transition
// of the engine's tables.
func TestTransitions(t *testing.T) {
	seen := map[engine.Transition]int{}
	for seed := range uint64(40) {
		o := harsh(seed)
		o.Trace = func(x engine.Transition) { seen[x]++ }
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

// TestEveryTransitionMatters takes each transition out of the engine's tables:
// the simulation fails.
func TestEveryTransitionMatters(t *testing.T) {
	t.Parallel()
	for _, x := range engine.Transitions() {
		noticed := false
		for seed := uint64(0); seed < 60 && !noticed; seed++ {
			o := harsh(seed)
			o.Without = x
			_, err := Run(seed, o)
			noticed = err != nil
		}
		if !noticed {
			t.Errorf("%s: the transition from %s to %s is not missed", x.Machine, x.From, x.To)
		}
	}
}

// harsh returns a world in which every transition comes about.
func harsh(seed uint64) Options {
	o := Options{Faults: AllFaults(), Hurry: seed%2 == 0}
	o.Faults.Final, o.Faults.EffectLost, o.Faults.Vanish, o.Faults.UserFails = 100, 100, 200, 200
	o.Faults.Meddle = 20
	o.CrashesMax, o.UserFailsMax = 1+int(seed%3), 100
	return o
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
		"hooks are forgotten": func(s *engine.State, e engine.Event) []engine.Effect {
			return slices.DeleteFunc(engine.Step(s, e), func(x engine.Effect) bool {
				_, ok := x.(engine.Hook)
				return ok
			})
		},
		"hooks are asked for by who ends a job only": func(s *engine.State, e engine.Event) []engine.Effect {
			if _, ok := e.Of.(engine.Owed); ok {
				e.Of = engine.Tick{}
			}
			return engine.Step(s, e)
		},
		"what was emitted is forgotten": func(s *engine.State, e engine.Event) []engine.Effect {
			if x, ok := e.Of.(engine.Grown); ok {
				x.Items = nil
				e.Of = x
			}
			return engine.Step(s, e)
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
