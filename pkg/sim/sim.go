package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// Faults says how often, in per mille of the occasions, each thing goes wrong.
type Faults struct {
	Duplicate  int // an event comes twice
	Late       int // an event comes up to ten minutes late
	LostLook   int // a change of the root is not noticed
	Unsure     int // a swap ends unknown; it may have been applied, or be applied later
	SwapFails  int // a swap fails and changes nothing
	EffectLost int // an enumeration, merge or persist fails
	Vanish     int // a worker vanishes with its task, and may return with the result
	UserFails  int // user code fails though it succeeds another time
	Crash      int // the daemon dies at an effect
	Wipe       int // of crashes: the journal is lost too
	ClockJump  int // the clock jumps by up to a day, either way
	Rival      int // another daemon publishes the same job first
	Meddle     int // somebody commits to the output of a pipeline; only if Options.Hurry
	Steer      int // somebody cancels a job or has one, or a datum, tried again; only if Options.Hurry
	Final      int // what failed fails for good; not among AllFaults
}

// AllFaults is a world in which everything goes wrong.
func AllFaults() Faults {
	return Faults{
		Duplicate: 100, Late: 60, LostLook: 200, Unsure: 150, SwapFails: 80, EffectLost: 50, Vanish: 80,
		UserFails: 30, Crash: 12, Wipe: 330, ClockJump: 10, Rival: 15, Meddle: 5, Steer: 10,
	}
}

// Options say what is simulated. The zero value is an undisturbed run of the
// engine as it is.
type Options struct {
	Faults Faults
	Hurry  bool // users commit without waiting for the pipelines
	Rounds int  // commits by users; 8 by default

	CrashesMax   int // as of the engine
	UserFailsMax int // how often user code fails on a datum; 2 by default, fewer than it has tries

	// Step stands for engine.Step, which is the default: a test shows with a
	// broken one that the invariants notice.
	Step func(*engine.State, engine.Event) []engine.Effect

	Trace   func(engine.Transition) // sees the transitions of the engine
	Without engine.Transition       // the engine's tables lack it: as of the engine
	Log     io.Writer               // told everything that happens, if set
}

// Report is what a run came to.
type Report struct {
	Seed       uint64
	Events     int
	Crashes    int
	Executions int               // attempts at datums that ran to their end
	Elapsed    time.Duration     // by the simulated clock
	Trace      string            // hash of all events and effects
	Outputs    map[string]string // by repo@branch: ID of the head
	Contents   map[string]string // by repo@branch: digest of the head's content
}

// Limits of a run: more is a bug of the engine, which does not come to rest.
const (
	eventsMax = 20_000
	lookEvery = time.Minute // the daemon looks at the root at least this often
)

// Run simulates one seed. The error names the invariant that did not hold; it
// is nil if all did.
func Run(seed uint64, o Options) (Report, error) {
	if o.Rounds == 0 {
		o.Rounds = 8
	}
	if o.UserFailsMax == 0 {
		o.UserFailsMax = 2
	}
	if o.Step == nil {
		o.Step = engine.Step
	}
	w := newWorld(seed, o)
	w.boot()
	for round := 0; w.broken == nil && round < o.Rounds; round++ {
		w.commitRound(round)
		w.suspend()
		if o.Hurry {
			w.runFor(time.Duration(w.rng.IntN(1200)) * time.Second)
			continue
		}
		w.calm(round == o.Rounds-1)
	}
	if w.broken == nil && o.Hurry {
		w.calm(true)
	}
	w.checkEnd()
	if w.broken != nil {
		return w.report(), fmt.Errorf("seed %d: %w (replay: DVX_SEED=%d go test ./pkg/sim -run TestSeeds)", seed, w.broken, seed)
	}
	return w.report(), nil
}

// suspend stops the whole world for some hours, as a machine that sleeps does:
// what was due meanwhile happens afterwards, at once.
func (w *world) suspend() {
	w.clock = w.clock.Add(3*time.Hour + time.Duration(w.rng.IntN(120))*time.Minute)
}

// calm runs until nothing is left to do. In the end the faults stop, since
// nothing can be promised while everything breaks.
func (w *world) calm(last bool) {
	if last {
		w.faults = Faults{}
	}
	for w.broken == nil && (!w.settled() || last && w.mend()) {
		if w.events > eventsMax {
			w.fail("the engine does not come to rest: %d events", w.events)
			return
		}
		if !w.next() {
			w.fail("nothing is under way, and there are jobs to be done")
			return
		}
	}
}

// runFor lets simulated time pass.
func (w *world) runFor(d time.Duration) {
	until := w.clock.Add(d)
	for w.broken == nil && len(w.queue) > 0 && !w.queue[0].at.After(until) && w.events < eventsMax {
		w.next()
	}
}

// happens draws whether a fault of that frequency occurs.
func (w *world) happens(perMille int) bool {
	return perMille > 0 && w.rng.IntN(1000) < perMille
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x64767821)) }
