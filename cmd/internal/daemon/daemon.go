package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// Options configures a daemon. Zero fields take the defaults of the serve
// command.
type Options struct {
	Store           string                 // folder or s3:// URL
	Listen          string                 // gRPC
	S3Listen        string                 // S3; empty: none
	S3Domain        string                 // virtual-host style below this domain
	State           string                 // folder for journal and work files
	Work            string                 // folder in which programs run; empty: in State
	KeyFile         string                 // the owner's key
	Slots           int                    // programs at once
	CheckpointEvery time.Duration          // how often finished datums are written to the store at least
	NoPipelines     bool                   // serve only
	Pools           map[string]engine.Pool // that pipelines may name
	Hooks           bool                   // run the hooks of specs, as the user who runs the daemon
	Again           bool                   // try again what failed before
	TLSCert, TLSKey string                 // PEM files for gRPC; empty: a certificate that the owner's key signs
	ClientCA        string                 // PEM file; who shows a certificate signed by it is the principal of its common name
	S3Cert, S3Key   string                 // PEM files for S3, which is HTTPS then
	Plaintext       bool                   // S3 beyond this machine, unencrypted
	Place           place.Options
	Log             *slog.Logger

	// Remote makes what runs pipelines with an image; nil: nothing does.
	Remote func(Site) (Remote, error)

	// Lead makes this one of several daemons, of which one runs the pipelines; nil:
	// there is only this one. It opens and serves nothing before it leads.
	Lead *Leading

	term   uint64          // of the store, if one of several daemons leads
	rights auth.Authorizer // of the owners of pipelines; nil: all, as who works on the store directly has
}

// Info says where a daemon listens.
type Info struct {
	Store   string `json:"store"`
	ID      string `json:"id"` // the store's UUID
	GRPC    string `json:"grpc"`
	S3      string `json:"s3,omitempty"`
	KeyFile string `json:"keyFile"`
	PID     int    `json:"pid"`
}

// stopTime is how long calls may go on after a stop was asked for.
const stopTime = 5 * time.Second

// Run serves until ctx ends, and calls ready once both edges listen. It returns
// nil after a stop that ctx asked for.
func Run(ctx context.Context, o Options, ready func(Info) error) error {
	if o.Lead == nil {
		return serve(ctx, o, ready)
	}
	return o.Lead.Wait(ctx, func(ctx context.Context) error { return serve(ctx, o, ready) })
}

func serve(ctx context.Context, o Options, ready func(Info) error) error {
	SpendMemory()
	ctx = chunk.WithOutside(auth.With(ctx, auth.Owner), place.NewOutside(&o.Place))
	if err := checkListen(o.S3Listen, o.Plaintext || o.S3Cert != ""); err != nil {
		return err
	}
	objects, hint, err := watched(ctx, o)
	if err != nil {
		return err
	}
	direct, err := repo.OpenDirect(ctx, objects, repo.Options{Now: time.Now, Rand: rand.Reader, Hint: hint, WatchEvery: watchEvery(o.Store), Yield: place.IsURL(o.Store), Memory: o.Place.Memory(o.Store)})
	if err != nil {
		return fmt.Errorf("open store %s: %w", o.Store, err)
	}
	defer func() { _ = direct.Close() }()
	key, keyFile, err := ownerKey(o.KeyFile)
	if err != nil {
		return err
	}
	if o.State == "" {
		if o.State, err = stateDir(direct.Config().Store); err != nil {
			return err
		}
	}
	door, err := openDoor(ctx, direct, key, o)
	if err != nil {
		return err
	}
	defer func() { _ = door.close() }()
	o.rights = door.ring
	eng, err := newEngine(ctx, direct, key, o)
	if err != nil {
		return err
	}
	defer func() { _ = eng.close() }()
	writer := repo.NewWriter(ctx, direct, repo.WriterOptions{})
	defer func() { _ = writer.Close() }()
	answers := eng.explain()
	server := rpc.NewServer(rpc.ServerOptions{
		Store: direct, Writer: writer, Jobs: eng.jobs(), Explain: answers, Past: answers, Cache: eng.cache(), Keys: door.ring, Authorizer: door.ring, TLS: door.tls, Audit: door.write,
		Board: eng.board, Workers: eng.remote, Log: o.Log, Now: time.Now,
	})
	lis, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	backend := s3repo.NewWriting(direct, writer, door.ring, s3repo.WritingOptions{Spool: o.State})
	web, s3lis, err := s3Edge(backend, door, o)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	info := Info{Store: o.Store, ID: direct.Config().Store, GRPC: lis.Addr().String(), KeyFile: keyFile, PID: os.Getpid()}
	if s3lis != nil {
		info.S3 = s3lis.Addr().String()
	}
	if err := ready(info); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.GRPC().Serve(lis) })
	if s3lis != nil {
		g.Go(func() error { return ignoreClosed(web.Serve(s3lis)) })
		g.Go(func() error { return expireUploads(ctx, backend, o.Log) })
	}
	g.Go(func() error { return eng.run(ctx) })
	g.Go(func() error {
		door.ring.Follow(ctx)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return stop(context.WithoutCancel(ctx), server, web)
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, server.Close())
}

// stop ends both edges: calls under way may end by themselves for a while.
func stop(ctx context.Context, server *rpc.Server, web *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.GRPC().GracefulStop()
	}()
	var err error
	if web != nil {
		if err = web.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
			err = web.Close()
		}
	}
	select {
	case <-done:
	case <-ctx.Done(): // a watcher never ends by itself
		server.GRPC().Stop()
		<-done
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ownerKey loads or makes the owner's key.
func ownerKey(file string) (auth.Key, string, error) {
	var err error
	if file == "" {
		if file, err = place.KeyFile(); err != nil {
			return auth.Key{}, "", err
		}
	}
	k, err := auth.LoadOrCreateKey(file, rand.Reader, auth.Owner)
	return k, file, err
}

// AuditFile returns where the daemon of a store on this machine keeps its audit
// log, unless it was given another state folder.
func AuditFile(store string) (string, error) {
	dir, err := stateDir(store)
	return filepath.Join(dir, auditFile), err
}

// stateDir returns the default folder for a store's daemon on this machine.
func stateDir(store string) (string, error) {
	base := os.Getenv("DVX_HOME")
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a folder for the daemon's state: %w; name one with --state", err)
		}
		base = filepath.Join(cache, "dvx")
	}
	return filepath.Join(base, "daemon", store), nil
}

// watchEvery is how often the root is looked at: a local file is cheap, a
// request to a bucket is not.
func watchEvery(location string) time.Duration {
	if place.IsURL(location) {
		return time.Second
	}
	return 250 * time.Millisecond
}
