package task

import (
	"context"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Runner runs tasks: as child processes, in Pods, or as a fake. It may be used
// concurrently.
type Runner interface {
	// Runtime says what would execute command in the code tree: part of the
	// memo key. It fails if the command can't be found, naming where it looked.
	Runtime(ctx context.Context, t spec.Transform, code tree.Root, r chunk.Reader) (memo.Runtime, error)

	// Slots returns how many tasks can run at once.
	Slots() int

	// Run runs a task to its end: fetch inputs, run the program, store what it
	// wrote. When ctx ends everything that the task started is killed. An error
	// means that the program's fate is the infrastructure's fault; a program that
	// failed is a Result with an Outcome. Chunks of the result are in s; the
	// caller flushes s before it relies on them.
	Run(ctx context.Context, t Task, s chunk.Store) (Result, error)
}

// Teller is a [Runner] that knows what programs print while they run.
type Teller interface {
	// Printed fills b with what an attempt has printed from byte from on, and
	// returns how much that was: 0 if there is no more yet. It fails with
	// fs.ErrNotExist if the attempt does not run, or not here.
	Printed(key memo.Key, attempt int, from int64, b []byte) (int, error)
}

// Task is one attempt at one datum.
type Task struct {
	Key       memo.Key
	Pipeline  string         // whose datum it is
	Runtime   memo.Runtime   // what the key says that executes it
	Requests  spec.Resources // of a Pod
	Limits    spec.Resources // of a Pod
	Attempt   int            // from 1
	Last      bool           // if this one fails there is no other: the error command runs then
	RetryOn   []string       // failures that another attempt follows; none: any
	Transform spec.Transform
	Params    map[string]string
	Code      tree.Root // zero: no code
	Inputs    []Input
	Timeout   time.Duration // 0: none
	MaxOutput int64         // bytes that it may store; 0: any number
	Batch     bool          // the program takes one datum after the other, as docs/PIPELINES.md says
	SetSize   int           // one process of it takes at most so many; 0: any number
	Program   chunk.ID      // if Batch: the same for all tasks that one process may serve
}

// Final reports whether no other attempt follows if this one fails in that way.
func (t Task) Final(f Failure) bool {
	return t.Last || len(t.RetryOn) > 0 && !slices.Contains(t.RetryOn, string(f))
}

// Input is what a task sees under in/NAME.
type Input struct {
	Name  string
	Mode  Mode
	Value string // parameter that has the text of the one item as its value; "": none
	Items []Item // sorted by path; their Attrs and markers have no meaning
}

// Mode says how the program finds an input.
type Mode string

// The modes of an input.
const (
	Files Mode = ""      // files with their bytes
	Lazy  Mode = "lazy"  // named pipes, filled when the program opens them
	Empty Mode = "empty" // files without bytes
)

// URL names what an input selects by its content alone, for
// DVX_INPUT_<NAME>_URL, so that a program that reads it does not see where the
// content comes from: the content ID of a directory, the ID of a file's bytes.
// It is empty for an input of several items.
func (in Input) URL() string {
	if len(in.Items) != 1 {
		return ""
	}
	e := in.Items[0].Entry
	if e.Kind == tree.Dir {
		return "dvx://content/" + e.Dir.Content.String()
	}
	return "dvx://content/" + e.Content.ID.String()
}

// Item is one selected file or directory, at Path below in/NAME.
type Item struct {
	Path  string // without leading slash; empty for the whole tree
	Entry tree.Entry
}

// Outcome says how a program ended.
type Outcome string

// The outcomes of a task.
const (
	Succeeded Outcome = "succeeded" // exit status accepted, outputs stored
	Failed    Outcome = "failed"    // user code: exit status, signal, or outputs that are refused
	TimedOut  Outcome = "timed-out" // killed at its time limit
	Crashed   Outcome = "crashed"   // infrastructure
	Cancelled Outcome = "cancelled" // by somebody
	Recovered Outcome = "recovered" // failed in its last attempt, and the error command succeeded: there is no output
)

// Failure says in which way a program failed, as datum.retry_on names it.
type Failure string

// The ways in which a program fails.
const (
	FailedExit    Failure = "exit"    // an exit status that is not accepted
	FailedLimit   Failure = "limit"   // it used more than it may
	FailedOutput  Failure = "output"  // what it wrote is refused
	FailedSignal  Failure = "signal"  // a signal ended it
	FailedStart   Failure = "start"   // it could not be started
	FailedTimeout Failure = "timeout" // it ran into its time limit
)

// Result is what an attempt gave.
type Result struct {
	Outcome Outcome
	Output  tree.Root     // when Succeeded; entries carry no attributes
	Log     chunk.Content // stdout and stderr as they came
	Failure Failure       // when Failed, TimedOut or Recovered
	Exit    int           // exit status; 128+n for signal n
	Reason  string        // one line for people, when not Succeeded
	Started time.Time     // UTC
	Ended   time.Time     // UTC
	Stats   Stats
}

// Stats says where an attempt's time went.
type Stats struct {
	Queue             time.Duration // laid out, waiting for the right to run
	Fetch, Run, Store time.Duration
	CPU               time.Duration // user and system time of the program and its children
	RSSMax            int64         // bytes
	BytesIn, BytesOut int64
}
