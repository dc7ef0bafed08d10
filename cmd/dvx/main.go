package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/dvx-io/dvx/pkg/pipeline/local"
)

func main() {
	local.MaybeSlot()
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	defer a.close()
	return a.run(ctx, args)
}
