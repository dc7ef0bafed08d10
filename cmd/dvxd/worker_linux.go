package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/worker"
	"github.com/dvx-io/dvx/pkg/worker/agent"
)

// addWorker adds the commands that worker Pods run.
func addWorker(root *cobra.Command) {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Be a part of a worker Pod (dvxd makes such Pods by itself)",
		Example: `  dvxd worker install /dvx
  dvxd worker run --server dvxd.dvx.svc:7777 --pin KEY --proof TOKEN-FILE --work /dvx/work --call /dvx/call/stub.sock
  dvxd worker stub /dvx/call/stub.sock`,
	}
	cmd.AddCommand(installCommand(), stubCommand(), runCommand())
	root.AddCommand(cmd)
}

// installCommand fills the volume that agent and stub share.
func installCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "install FOLDER",
		Short:   "Put this program, and the folders that a worker needs, into a volume",
		Example: "  dvxd worker install /dvx",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range []string{"tools", "work", "call"} {
				dir := filepath.Join(args[0], name)
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				if err := os.Chmod(dir, 0o755); err != nil { // a set-group bit of the volume's included
					return err
				}
			}
			return copySelf(filepath.Join(args[0], "tools", "dvxd"))
		},
	}
}

func copySelf(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

func stubCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stub SOCKET",
		Short:   "Run programs for the agent at a unix socket, as the first process of a container",
		Example: "  dvxd worker stub /dvx/call/stub.sock",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if os.Getpid() != 1 {
				return fmt.Errorf("a stub empties /tmp, so that it runs as the first process of a container only: %w", fs.ErrInvalid)
			}
			return local.Stub(cmd.Context(), args[0], []string{"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"})
		},
	}
}

// agentFlags are those of the agent.
type agentFlags struct {
	server, pin, proof, work, call, startIn string
}

func runCommand() *cobra.Command {
	var a agentFlags
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Take tasks from a daemon and let the stub run their programs",
		Example: "  dvxd worker run --server 10.0.0.7:7777 --pin KEY --proof /var/run/dvx/token --work /dvx/work --call /dvx/call/stub.sock",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.server, "server", "", "HOST:PORT of the daemon")
	f.StringVar(&a.pin, "pin", "", "public key by which the daemon is known, hex")
	f.StringVar(&a.proof, "proof", "", "file with the token that shows which Pod this is")
	f.StringVar(&a.work, "work", "", "folder for tasks; its contents are lost")
	f.StringVar(&a.call, "call", "", "unix socket at which the stub calls")
	f.StringVar(&a.startIn, "start-in", "", "folder of the image in which programs start (default: the task's)")
	return cmd
}

// How long a worker that was told to end may finish what runs, and how long it
// looks for a daemon that does not answer.
const (
	drainTime  = 25 * time.Second
	searchTime = 3 * time.Minute
	searchWait = 500 * time.Millisecond
)

func (a *agentFlags) run(ctx context.Context, log *slog.Logger) error {
	pin, err := hex.DecodeString(a.pin)
	if err != nil || len(pin) != ed25519.PublicKeySize {
		return fmt.Errorf("--pin %.80q is no public key: %w", a.pin, fs.ErrInvalid)
	}
	client, err := rpc.DialWorker(rpc.WorkerOptions{
		Address: a.server, TLS: auth.ClientTLS(pin),
		Proof: func() (string, error) {
			b, err := os.ReadFile(a.proof)
			return strings.TrimSpace(string(b)), err
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	stub, err := local.AwaitStub(ctx, a.call)
	if err != nil {
		return err
	}
	defer func() { _ = stub.Close() }()
	for seen := time.Now(); ; {
		err := a.serve(ctx, client, stub, log, func() { seen = time.Now() })
		lost := errors.Is(err, lease.ErrGone) || errors.Is(err, rpc.ErrUnreachable) || errors.Is(err, auth.ErrUnauthenticated)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case !lost || time.Since(seen) > searchTime:
			return err
		}
		log.Warn("the daemon is looked for again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(searchWait):
		}
	}
}

// serve attaches to the daemon and works until it is gone. A daemon that starts
// again knows nobody.
func (a *agentFlags) serve(ctx context.Context, client *rpc.WorkerClient, stub *local.StubClient, log *slog.Logger, attached func()) error {
	config, err := client.Attach(ctx)
	if err != nil {
		return err
	}
	attached()
	err = agent.Run(ctx, agent.Options{
		Board: client, Dir: a.work, Params: config.Chunker, Path: local.Path, Patience: drainTime, Now: time.Now, Log: log,
		Exec:  func(dir string) worker.Executor { return local.StubFolder{Client: stub, Dir: dir, StartIn: a.startIn} },
		Fatal: local.IsLost,
	})
	attached()
	return err
}
