package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/dvx-io/dvx/pkg/pipeline/local"
)

func main() {
	local.MaybeSlot()
	if os.Getenv("GOGC") == "" {
		collectLater()
	}
	os.Exit(run(os.Args[1:]))
}

// gcPercent is how much the heap may grow between collections, in percent of
// what is in use. Most of that are buffers of packs, in which the collector has
// nothing to look for: half the usual room costs no time and saves 100 MiB.
const gcPercent = 50

// gcPercentFirst holds until the first collection, and lets the heap reach 32 MiB
// before that: the runtime collects from 4 MiB times the percentage on. A command
// that is over in 20 ms needs less, and half of its time went into collections.
const gcPercentFirst = 800

// collectLater sets the percentage to gcPercentFirst, and to gcPercent once there
// was a collection, unless somebody else has set it meanwhile.
func collectLater() {
	debug.SetGCPercent(gcPercentFirst)
	first := new([16]byte) // nothing points to it: it goes with the first collection
	runtime.AddCleanup(first, func(struct{}) {
		if now := debug.SetGCPercent(gcPercent); now != gcPercentFirst {
			debug.SetGCPercent(now)
		}
	}, struct{}{})
}

// run executes one command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	defer a.close()
	return a.run(ctx, args)
}
