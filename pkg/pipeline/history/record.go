package history

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
)

// JobID names a job: the hash of what it evaluates.
type JobID chunk.ID

// String returns the ID as 64 lower-case hex digits.
func (id JobID) String() string { return chunk.ID(id).String() }

// Short returns the first 12 hex digits, for people.
func (id JobID) Short() string { return chunk.ID(id).Short() }

// IsZero reports whether the ID names no job.
func (id JobID) IsZero() bool { return chunk.ID(id).IsZero() }

// MarshalText encodes the ID as hex.
func (id JobID) MarshalText() ([]byte, error) { return chunk.ID(id).MarshalText() }

// UnmarshalText decodes 64 hex digits; anything else fails with fs.ErrInvalid.
func (id *JobID) UnmarshalText(b []byte) error { return (*chunk.ID)(id).UnmarshalText(b) }

// ParseJobID reads 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func ParseJobID(s string) (JobID, error) {
	id, err := chunk.ParseID(s)
	if err != nil {
		return JobID{}, fmt.Errorf("job id %.80q: want 64 hex digits: %w", s, fs.ErrInvalid)
	}
	return JobID(id), nil
}

// State says where a job is on its way.
type State string

// The states of a job, in the order in which it passes them. The last three
// are final.
const (
	Pending    State = "pending"    // wanted, its datums not yet listed
	Frozen     State = "frozen"     // its datums are listed, none has started
	Running    State = "running"    // datums run
	Merging    State = "merging"    // all datums are in, the output tree is made
	Publishing State = "publishing" // the output commit is on its way to the root
	Done       State = "done"       // the output commit is the head
	Failed     State = "failed"     // a datum failed, or the job can't run
	Killed     State = "killed"     // overtaken by newer inputs, or cancelled
)

// Final reports whether a job in state s is over.
func (s State) Final() bool { return s == Done || s == Failed || s == Killed }

func (s State) known() bool {
	switch s {
	case Pending, Frozen, Running, Merging, Publishing, Done, Failed, Killed:
		return true
	}
	return false
}

// Counts says how many datums of a job went which way.
type Counts struct {
	Total     int64 `json:"total"`               // datums of the job's inputs
	Hit       int64 `json:"hit"`                 // had a result already: skipped
	Ran       int64 `json:"ran"`                 // were run by this job, or by another at the same time
	Failed    int64 `json:"failed"`              // have no result
	Recovered int64 `json:"recovered,omitempty"` // have none either, and the error command succeeded
}

// Job is what is recorded of a job.
type Job struct {
	ID         JobID             `json:"id"`
	Pipeline   string            `json:"pipeline"`
	Branch     string            `json:"branch"`
	Spec       commit.ID         `json:"spec"` // commit that holds the spec
	Inputs     []commit.Input    `json:"inputs,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Rerun      int               `json:"rerun,omitempty"`   // how often a rerun was asked for
	Only       []string          `json:"only,omitempty"`    // of a rerun: the datums without a result that are tried again; none: all
	Skipped    []commit.Input    `json:"skipped,omitempty"` // commits that it passes over, for newer ones, oldest first
	State      State             `json:"state"`
	Reason     string            `json:"reason,omitempty"` // one line for people: why it failed or was killed
	By         string            `json:"by,omitempty"`     // the principal that cancelled it
	Counts     Counts            `json:"counts"`
	Created    time.Time         `json:"created"`
	Started    time.Time         `json:"started,omitzero"` // when its datums were listed
	Ended      time.Time         `json:"ended,omitzero"`
	Output     commit.ID         `json:"output,omitzero"` // when done
	Hooks      bool              `json:"hooks,omitempty"` // its spec has some to run when it is over; an event says when that is done
	Run        string            `json:"run,omitempty"`   // run ID: one per commit by a user, through the whole graph of pipelines
}

// Attempt is what is recorded of one run of user code.
type Attempt struct {
	Job      JobID         `json:"job"`      // the job that started it
	Identity string        `json:"identity"` // of the datum
	Key      memo.Key      `json:"key"`
	Attempt  int           `json:"attempt"` // from 1
	Outcome  string        `json:"outcome"` // succeeded, failed, timed-out, crashed, cancelled
	Exit     int           `json:"exit"`
	Failure  string        `json:"failure,omitempty"` // of a failed one: exit, limit, output, signal, start, timeout
	Reason   string        `json:"reason,omitempty"`
	By       string        `json:"by,omitempty"` // the principal that cancelled it
	Log      chunk.Content `json:"log,omitzero"` // stdout and stderr as they came
	Started  time.Time     `json:"started"`
	Ended    time.Time     `json:"ended"`
	Stats    Stats         `json:"stats,omitzero"`
}

// Stats says where an attempt's time went. Durations are in nanoseconds.
type Stats struct {
	Queue    time.Duration `json:"queue,omitempty"` // laid out, waiting for a slot
	Fetch    time.Duration `json:"fetch,omitempty"`
	Run      time.Duration `json:"run,omitempty"`
	Store    time.Duration `json:"store,omitempty"`
	CPU      time.Duration `json:"cpu,omitempty"` // of the program and its children
	RSSMax   int64         `json:"rssMax,omitempty"`
	BytesIn  int64         `json:"bytesIn,omitempty"`
	BytesOut int64         `json:"bytesOut,omitempty"`
}

// The kinds of event.
const (
	NotReproducible = "not-reproducible" // a datum gave a second, different result, which was dropped
	Verification    = "verified"         // the work of some datums was done again and compared
	HookDone        = "hook"             // the hooks of a job were run, or are not allowed
	StateLost       = "state-lost"       // the daemon's journal was damaged and set aside
	Restarted       = "restarted"        // the engine started and found jobs under way
)

// Event is something worth telling that is neither a job nor an attempt.
type Event struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	Job  JobID     `json:"job,omitzero"`
	Key  memo.Key  `json:"key,omitzero"`
	Text string    `json:"text,omitempty"`
}

// Record is a Job, an Attempt or an Event: exactly one of the fields is set.
type Record struct {
	Job     *Job     `json:"job,omitempty"`
	Attempt *Attempt `json:"attempt,omitempty"`
	Event   *Event   `json:"event,omitempty"`
}

// check fails with fs.ErrInvalid unless exactly one field is set and sound.
func (r Record) check() error {
	switch {
	case r.Job != nil && r.Attempt == nil && r.Event == nil:
		if !r.Job.State.known() || r.Job.ID.IsZero() || r.Job.Created.IsZero() {
			return fmt.Errorf("job record %v in state %.40q: want an id, a state and a time: %w", r.Job.ID.Short(), r.Job.State, fs.ErrInvalid)
		}
	case r.Attempt != nil && r.Job == nil && r.Event == nil:
		if r.Attempt.Attempt < 1 || r.Attempt.Outcome == "" {
			return fmt.Errorf("attempt record of datum %.80q: want a number from 1 and an outcome: %w", r.Attempt.Identity, fs.ErrInvalid)
		}
	case r.Event != nil && r.Job == nil && r.Attempt == nil:
		if r.Event.Kind == "" {
			return fmt.Errorf("event record without a kind: %w", fs.ErrInvalid)
		}
	default:
		return fmt.Errorf("history record: want exactly one of job, attempt, event: %w", fs.ErrInvalid)
	}
	return nil
}
