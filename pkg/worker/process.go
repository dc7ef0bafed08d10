package worker

import (
	"context"
	"time"
)

// Process is one program to run.
type Process struct {
	Path  string   // of the executable; empty: the executor looks Argv[0] up
	Argv  []string //
	Env   []string // complete, NAME=VALUE
	Dir   string   // working directory
	Stdin string   // file to read standard input from; empty: nothing
	Log   string   // file that takes standard output and standard error, appended to
}

// Exit says how a program ended.
type Exit struct {
	Code    int           `json:"code"`             // exit status, 128+n if signal n ended it
	Signal  string        `json:"signal,omitempty"` // name of that signal
	Left    int           `json:"left,omitempty"`   // processes that it had left running, killed
	Killed  bool          `json:"killed,omitempty"` // ended on request
	CPU     time.Duration `json:"cpu"`              // user and system time of the program and what it started
	RSSMax  int64         `json:"rss"`              // bytes
	Failure string        `json:"error,omitempty"`  // it could not be started
}

// Executor executes programs.
type Executor interface {
	// Exec runs p to its end. When ctx ends, p and all that it started are
	// killed. Nothing of p lives on when Exec returned. An error means that the
	// infrastructure failed; how the program fared is in Exit.
	Exec(ctx context.Context, p Process) (Exit, error)
}
