package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// app is one run of the command: its streams and its global flags.
type app struct {
	in  io.Reader
	out io.Writer
	err io.Writer

	json    bool
	store   string
	server  string
	keyFile string
	tls     tlsFiles
	dir     string
	place   place.Options
	copy    string // the working copy that named the store, if one did

	client *rpc.Client
	direct *repo.Direct
}

func newApp(in io.Reader, out, err io.Writer) *app { return &app{in: in, out: out, err: err} }

func (a *app) close() {
	if a.client != nil {
		_ = a.client.Close()
	}
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	cmd := a.root()
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(chunk.WithOutside(ctx, place.NewOutside(&a.place))); err != nil {
		return a.fail(ctx, err)
	}
	return exitOK
}

// root builds the command tree.
func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dvx",
		Short: "Version data directories and run pipelines on what changed",
		Long: `dvx versions data directories and runs pipelines on what changed.

A store (a folder or an s3:// URL) holds repos; a repo is a versioned directory. Name a version as
images@main, images@main~3, images@v1.2 or images@<commit>, and a file in it as images@main:/a/b.

` + exitHelp,
		Example: `  dvx demo                                  # see everything work, in a temporary folder
  dvx init && dvx commit -m "first version" # in a data directory
  dvx log images@main
  dvx cat images@main~1:/2026/a.csv`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.chooseStore(cmd); err != nil {
				return err
			}
			if a.dir == "" {
				return nil
			}
			if err := os.Chdir(a.dir); err != nil {
				return fmt.Errorf("-C %s: %w", a.dir, err)
			}
			return nil
		},
	}
	f := cmd.PersistentFlags()
	f.StringVar(&a.store, "store", os.Getenv("DVX_STORE"), "folder or s3://BUCKET/PREFIX of the store (DVX_STORE; default: that of the working copy)")
	f.StringVar(&a.server, "server", os.Getenv("DVX_SERVER"), "work through the daemon at HOST:PORT instead (DVX_SERVER, which counts before DVX_STORE)")
	f.StringVar(&a.tls.ca, "server-ca", os.Getenv("DVX_SERVER_CA"), "PEM file: trust a --server whose certificate it signed (DVX_SERVER_CA; default: only the one that the key is for)")
	f.StringVar(&a.tls.cert, "client-cert", os.Getenv("DVX_CLIENT_CERT"), "PEM file: show this certificate to --server in place of a key (DVX_CLIENT_CERT)")
	f.StringVar(&a.tls.key, "client-key", os.Getenv("DVX_CLIENT_KEY"), "PEM file of the certificate's private key (DVX_CLIENT_KEY)")
	f.StringVar(&a.keyFile, "key-file", "", "key for --server (DVX_KEY_FILE; default: owner.key in dvx's configuration folder)")
	f.StringVarP(&a.dir, "directory", "C", "", "run as if started in this folder")
	f.BoolVar(&a.json, "json", false, "print JSON")
	a.place.AddFlags(cmd)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	a.addCommands(cmd)
	a.addCompletion(cmd)
	return cmd
}

// chooseStore lets a flag that names the store win over the variable that does
// so in the other way.
func (a *app) chooseStore(cmd *cobra.Command) error {
	given := func(name, value string) bool { return value != "" && cmd.Flags().Changed(name) }
	switch store, server := given("store", a.store), given("server", a.server); {
	case store && server:
		return usagef("--store and --server are two ways to reach a store: give one of them")
	case store:
		a.server = ""
	case server:
		a.store = ""
	}
	return nil
}

// errNoStoreNamed is the error for a command that was not told where to work.
var errNoStoreNamed = kindError{"no store is named; give --store, set DVX_STORE, or work in a folder where dvx init ran", repo.ErrNoStore}

// open returns the store to work on: through the daemon with --server, else
// directly. The principal of direct work is the owner: who can open the store's
// files is its administrator.
func (a *app) open(ctx context.Context) (repo.Store, context.Context, error) {
	ctx = auth.With(ctx, auth.Owner)
	if a.client != nil {
		return a.client, ctx, nil
	}
	if err := a.locate(); err != nil {
		return nil, ctx, err
	}
	if a.server == "" {
		d, err := a.openDirect(ctx)
		return d, ctx, err
	}
	c, err := a.dial(ctx)
	return c, ctx, err
}

// locate fills in store and server from the working copy where no flag or
// variable names them.
func (a *app) locate() error {
	if a.store != "" || a.server != "" {
		return nil
	}
	wc, err := findWorkingCopy(".")
	if errors.Is(err, fs.ErrNotExist) {
		return errNoStoreNamed
	}
	if err != nil {
		return err
	}
	a.store, a.server, a.copy = wc.storeLocation(), wc.config.Server, wc.dir
	return nil
}

// openDirect opens the store's own objects.
func (a *app) openDirect(ctx context.Context) (*repo.Direct, error) {
	if a.direct != nil {
		return a.direct, nil
	}
	d, err := place.Open(ctx, a.store, a.place)
	if errors.Is(err, repo.ErrNoStore) && a.copy != "" {
		text := fmt.Sprintf("the store of this working copy is not at %s; if it was moved, say where in %s", a.store, filepath.Join(a.copy, ".dvx", "config"))
		return nil, kindError{text, repo.ErrNoStore}
	}
	if err != nil {
		return nil, err
	}
	a.direct = d
	return d, nil
}

// dial connects to the daemon.
func (a *app) dial(ctx context.Context) (*rpc.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	key, err := a.key()
	if a.tls.cert != "" && errors.Is(err, fs.ErrNotExist) {
		err = nil // the certificate says who calls
	}
	if err != nil {
		return nil, err
	}
	secure, err := a.tls.config(key)
	if err != nil {
		return nil, err
	}
	c, err := rpc.Dial(ctx, rpc.ClientOptions{Address: a.server, Key: key, TLS: secure})
	if err != nil {
		return nil, err
	}
	a.client = c
	return c, nil
}

// opID returns the operation ID that the user gave, or a new one.
func opID(flag string) (repo.OpID, error) {
	if flag != "" {
		return repo.ParseOpID(flag)
	}
	return repo.NewOpID(time.Now(), rand.Reader)
}

// move applies operations under a fresh operation ID.
func (a *app) move(ctx context.Context, ops ...repo.Op) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	op, err := opID("")
	if err != nil {
		return err
	}
	_, err = s.Move(ctx, repo.Txn{Op: op, Ops: ops})
	return err
}

// author returns who commits: DVX_AUTHOR, else the user's name at this host.
func author() string {
	if v := os.Getenv("DVX_AUTHOR"); v != "" {
		return v
	}
	name := "unknown"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// print writes v as indented JSON with --json, else what text prints.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.out)
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// hint says on standard error what is good to know, to people only.
func (a *app) hint(text string) {
	if !a.json {
		a.say("hint: " + text)
	}
}

// say writes a line to standard error. If that fails nobody is there to be told.
func (a *app) say(line string) { _, _ = fmt.Fprintln(a.err, line) }
