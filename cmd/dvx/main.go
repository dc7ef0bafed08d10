package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/dvx-io/dvx/pkg/pipeline/local"
)

func main() {
	local.MaybeSlot()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args[1:]))
}

// gcPercent is how much the heap may grow between collections, in percent of
// what is in use. Most of that are buffers of packs, in which the collector has
// nothing to look for: half the usual room costs no time and saves 100 MiB.
const gcPercent = 50

// run executes one command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	defer a.close()
	return a.run(ctx, args)
}
