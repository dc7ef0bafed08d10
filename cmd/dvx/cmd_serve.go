package main

import (
	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
)

// cmdServe is the daemon in this binary: the same command as dvxd serve.
func cmdServe(a *app) *cobra.Command {
	return daemon.CommandFor(func() (string, error) { return a.store, a.locate() })
}
