package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
)

// Command returns the serve command of dvxd. more adds flags to it.
func Command(more func(*cobra.Command, *Options)) *cobra.Command {
	store := os.Getenv("DVX_STORE")
	var o Options
	cmd := commandFor(func() (string, error) {
		if store == "" {
			return "", fmt.Errorf("no store named; give --store or set DVX_STORE: %w", repo.ErrNoStore)
		}
		return store, nil
	}, &o)
	more(cmd, &o)
	cmd.Flags().StringVar(&store, "store", store, "folder or s3://BUCKET/PREFIX of the store (DVX_STORE)")
	return cmd
}

// CommandFor returns the serve command for a store that is found when the
// command runs.
func CommandFor(store func() (string, error)) *cobra.Command { return commandFor(store, &Options{}) }

func commandFor(store func() (string, error), o *Options) *cobra.Command {
	var ready string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the store over gRPC and S3 and run its pipelines",
		Long: `Serve the store over gRPC (for dvx --server) and S3 (for any S3 client), and run its pipelines as child
processes. Without flags both edges listen on loopback only, and the owner's key that opens them is made on the
first start, in a file that only you can read; dvx auth makes keys for others. gRPC is always encrypted, and a client
knows the daemon by its key file. Stop it with Ctrl-C or SIGTERM: running programs are ended, nothing
half done becomes visible, and the next start goes on where this one was.`,
		Example: `  dvx serve --store ./.dvx/store
  dvx --server 127.0.0.1:7777 repo list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Store, err = store(); err != nil {
				return err
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return Run(cmd.Context(), *o, func(i Info) error { return announce(cmd.OutOrStdout(), ready, i) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7777", "HOST:PORT for gRPC; port 0 chooses one")
	f.StringVar(&o.S3Listen, "s3-listen", "127.0.0.1:7778", "HOST:PORT for S3; port 0 chooses one, empty serves no S3")
	f.StringVar(&o.S3Domain, "s3-domain", "", "serve buckets as BUCKET.DOMAIN too (virtual-host style)")
	f.StringVar(&o.State, "state", "", "folder for the daemon's journal and work files (default: in your cache folder, by store)")
	f.StringVar(&o.Work, "work", "", "folder in which all programs run (default: in --state, and for datums that prove to be small in /dev/shm)")
	f.StringVar(&o.KeyFile, "key-file", "", "the owner's key, made if absent (DVX_KEY_FILE; default: owner.key in dvx's configuration folder)")
	f.IntVar(&o.Slots, "slots", runtime.NumCPU(), "programs that run at once")
	AddRunFlags(f, o)
	f.DurationVar(&o.CheckpointEvery, "checkpoint", 0, "write finished datums to the store at least this often (default 30s)")
	f.StringVar(&o.TLSCert, "tls-cert", "", "PEM file of the certificate for gRPC (default: one of its own, which clients know by their key file)")
	f.StringVar(&o.TLSKey, "tls-key", "", "PEM file of its private key")
	f.StringVar(&o.ClientCA, "client-ca", "", "PEM file; a gRPC client with a certificate signed by it is the principal that its common name says")
	f.StringVar(&o.S3Cert, "s3-cert", "", "PEM file of the certificate for S3 over HTTPS; read again when it changes")
	f.StringVar(&o.S3Key, "s3-key", "", "PEM file of its private key")
	f.BoolVar(&o.Plaintext, "plaintext", false, "serve S3 beyond this machine without --s3-cert: data can be read on the way")
	f.BoolVar(&o.NoPipelines, "no-pipelines", false, "serve only; run no pipelines")
	o.Place.AddFlags(cmd)
	f.StringVar(&ready, "ready-file", "", "write the addresses as JSON to this file once both edges listen")
	f.BoolVarP(&verbose, "verbose", "v", false, "log more")
	return cmd
}

// announce tells where the daemon listens.
func announce(w io.Writer, file string, i Info) error {
	if file != "" {
		b, err := json.Marshal(i)
		if err != nil {
			return err
		}
		if err := writeReady(file, append(b, '\n')); err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
	}
	_, err := fmt.Fprintf(w, "serving %s\n  gRPC  %s   (dvx --server %s)\n  S3    %s\n  key   %s\n", i.Store, i.GRPC, i.GRPC, i.S3, i.KeyFile)
	return err
}

// writeReady writes the ready file whole, by way of a new one beside it.
func writeReady(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".dvx-ready-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ExitCode returns dvxd's exit code for an error, as dvx uses them.
func ExitCode(err error) int {
	switch {
	case errors.Is(err, repo.ErrNoStore):
		return 10
	case errors.Is(err, fs.ErrPermission):
		return 7
	case errors.Is(err, fs.ErrNotExist):
		return 4
	case errors.Is(err, fs.ErrInvalid):
		return 2
	default:
		return 1
	}
}
