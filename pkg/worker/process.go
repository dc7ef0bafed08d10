package worker

import (
	"context"
	"time"
)

// Process is one program to run.
type Process struct {
	Path  string   // of the executable; empty: the executor looks Argv[0] up on Env's PATH
	Argv  []string //
	Env   []string // complete, NAME=VALUE
	Dir   string   // working directory
	Stdin string   // file to read standard input from; empty: nothing
	Log   string   // file that takes standard output and standard error, appended to

	// Lines and Answers are named pipes that the program finds open as descriptors
	// 3, to read from, and 4, to write to; empty: it finds nothing there. The caller
	// has both open for reading and writing.
	Lines, Answers string
}

// Exit says how a program ended.
type Exit struct {
	Code    int           // exit status, 128+n if signal n ended it
	Signal  string        // name of that signal
	Left    int           // processes that it had left running, killed
	Killed  bool          // ended on request
	Starved bool          // it failed, and the system had ended something of it at the memory limit of its container
	CPU     time.Duration // user and system time of the program and what it started
	RSSMax  int64         // bytes
	Failure string        // why it could not be started: the author's to mend
	Answer  string        // of a program that takes datum after datum: why there is no result
}

// Executor executes programs.
type Executor interface {
	// Exec runs p to its end. When ctx ends, p and all that it started are
	// killed. Nothing of p lives on when Exec returned. An error means that the
	// infrastructure failed; how the program fared is in Exit.
	Exec(ctx context.Context, p Process) (Exit, error)
}
