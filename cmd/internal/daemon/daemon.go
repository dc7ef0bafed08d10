package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// Options configures a daemon. Zero fields take the defaults of the serve
// command.
type Options struct {
	Store           string        // folder or s3:// URL
	Listen          string        // gRPC
	S3Listen        string        // S3; empty: none
	S3Domain        string        // virtual-host style below this domain
	State           string        // folder for journal and work files
	KeyFile         string        // the owner's key
	Slots           int           // programs at once
	CheckpointEvery time.Duration // how often finished datums are written to the store at least
	NoPipelines     bool          // serve only
	Plaintext       bool          // listen beyond this machine, unencrypted
	Place           place.Options
	Log             *slog.Logger
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
	ctx = auth.With(ctx, auth.Owner)
	for _, at := range []string{o.Listen, o.S3Listen} {
		if err := checkListen(at, o.Plaintext); err != nil {
			return err
		}
	}
	objects, hint, err := watched(ctx, o)
	if err != nil {
		return err
	}
	direct, err := repo.OpenDirect(ctx, objects, repo.Options{Now: time.Now, Rand: rand.Reader, Hint: hint, WatchEvery: watchEvery(o.Store)})
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
	eng, err := newEngine(ctx, direct, o)
	if err != nil {
		return err
	}
	defer func() { _ = eng.close() }()
	keys := auth.Keys{key}
	server := rpc.NewServer(rpc.ServerOptions{
		Store: direct, Jobs: eng.jobs(), Keys: keys, Authorizer: auth.OwnerOnly{}, Log: o.Log, Now: time.Now,
	})
	lis, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	web, s3lis, err := s3Edge(direct, keys, o)
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
	}
	g.Go(func() error { return eng.run(ctx) })
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

// checkListen refuses to listen beyond this machine, where keys and data could
// be read on the way, unless that was asked for.
func checkListen(at string, plaintext bool) error {
	if at == "" || plaintext {
		return nil
	}
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return fmt.Errorf("listen at %q: want HOST:PORT: %w", at, fs.ErrInvalid)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen at %s: others could read keys and data on the way, since nothing is encrypted yet; use 127.0.0.1 with a tunnel, or insist with --plaintext: %w",
		at, fs.ErrPermission)
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

// s3Edge makes the S3 server and its listener; both nil if there shall be none.
func s3Edge(s repo.Store, keys auth.Keys, o Options) (*http.Server, net.Listener, error) {
	if o.S3Listen == "" {
		return nil, nil, nil
	}
	backend := s3repo.New(s, auth.OwnerOnly{})
	handler, err := s3proxy.New(backend, s3repo.KeyLookup(keys), s3proxy.Options{
		Now: time.Now, Domain: o.S3Domain, Authorize: backend.Authorize, Log: o.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	lis, err := net.Listen("tcp", o.S3Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for S3: %w", err)
	}
	return s3proxy.NewServer(handler, o.Log), lis, nil
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
