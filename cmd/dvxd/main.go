package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
)

func main() {
	local.MaybeSlot()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := &cobra.Command{
		Use:           "dvxd",
		Short:         "Serve a dvx store over gRPC and S3 and run its pipelines",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.AddCommand(daemon.Command(kubeFlags))
	addWorker(cmd)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dvxd:", err)
		os.Exit(daemon.ExitCode(err))
	}
}
