package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// ClientOptions configures a [Client].
type ClientOptions struct {
	Address string   // host:port of a daemon, or unix:PATH
	Key     auth.Key // sent with every call; the zero Key if a certificate in TLS says who calls
	Dial    []grpc.DialOption

	// TLS says how the daemon proves who it is, see [auth.ClientTLS]. nil is in
	// the clear, and only to this machine.
	TLS *tls.Config

	// Plaintext sends the key to an Address beyond this machine too, although
	// nothing encrypts it on the way there.
	Plaintext bool
}

// Client is a store reached through a daemon. It implements repo.Store.
type Client struct {
	conn   *grpc.ClientConn
	config repo.Config
	refs   dvxv1.RefServiceClient
	data   dvxv1.DataServiceClient

	mu      sync.Mutex
	readers map[string]*reader // the newest open reader of each repo
	handles []string           // all open readers
}

var _ repo.Store = (*Client)(nil)

// Dial connects to a daemon and asks for the store's configuration. It fails
// with fs.ErrPermission rather than send a key in the clear over a network,
// see [ClientOptions].
func Dial(ctx context.Context, o ClientOptions) (*Client, error) {
	if o.TLS == nil && !o.Plaintext && !onThisMachine(o.Address) {
		return nil, fmt.Errorf("%q is not on this machine, and the key would go there unencrypted; forward a local port to it, as ssh -L does: %w", o.Address, fs.ErrPermission)
	}
	var refused atomic.Pointer[error]
	if o.TLS != nil {
		o.TLS = watchVerify(o.TLS, &refused)
	}
	var token string
	if o.Key.Access != "" {
		token = o.Key.Token()
	}
	transport := insecure.NewCredentials()
	if o.TLS != nil {
		transport = credentials.NewTLS(o.TLS)
	}
	opts := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageSizeMax)),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return fromStatus(invoke(withToken(ctx, token), method, req, reply, cc, opts...))
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			s, err := open(withToken(ctx, token), desc, cc, method, opts...)
			if err != nil {
				return nil, fromStatus(err)
			}
			return &clientStream{s}, nil
		}),
	}, o.Dial...)
	conn, err := grpc.NewClient(o.Address, opts...)
	if err != nil {
		return nil, fmt.Errorf("daemon address %q: %w", o.Address, errors.Join(err, fs.ErrInvalid))
	}
	c := &Client{
		conn: conn, refs: dvxv1.NewRefServiceClient(conn), data: dvxv1.NewDataServiceClient(conn),
		readers: map[string]*reader{},
	}
	resp, err := c.refs.GetConfig(ctx, &dvxv1.GetConfigRequest{})
	if why := refused.Load(); err != nil && why != nil {
		err = *why // what gRPC makes of it is that nobody answers
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", o.Address, err), conn.Close())
	}
	if c.config, err = repo.DecodeConfig(resp.GetConfig()); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", o.Address, err), conn.Close())
	}
	return c, nil
}

// watchVerify returns the configuration with a note of why a server was refused.
func watchVerify(c *tls.Config, refused *atomic.Pointer[error]) *tls.Config {
	c = c.Clone()
	verify := c.VerifyConnection
	if verify == nil {
		return c
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		err := verify(s)
		if err != nil {
			refused.Store(&err)
		}
		return err
	}
	return c
}

// onThisMachine reports whether what is sent to an address stays on this
// machine, whatever a name server says.
func onThisMachine(address string) bool {
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// clientStream gives a stream's errors their kinds back.
type clientStream struct{ grpc.ClientStream }

// SendMsg implements grpc.ClientStream.
func (s *clientStream) SendMsg(m any) error { return streamErr(s.ClientStream.SendMsg(m)) }

// RecvMsg implements grpc.ClientStream.
func (s *clientStream) RecvMsg(m any) error { return streamErr(s.ClientStream.RecvMsg(m)) }

// streamErr leaves io.EOF as it is: it is the end of a stream, not a failure.
func streamErr(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fromStatus(err)
}

// Close ends the connection and all scopes that were opened over it.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, handle := range c.handles {
		c.closeScope(handle)
	}
	c.handles = nil
	return c.conn.Close()
}

// closeScope tells the server that a scope is not needed any more. If the
// message is lost the scope ends by itself after a while.
func (c *Client) closeScope(handle string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := c.data.CloseScope(ctx, &dvxv1.CloseScopeRequest{Handle: handle})
	_ = err
}

// Config implements repo.Store.
func (c *Client) Config() repo.Config { return c.config }

// View implements repo.Store.
func (c *Client) View(ctx context.Context) (*repo.View, error) {
	resp, err := c.refs.GetView(ctx, &dvxv1.GetViewRequest{})
	if err != nil {
		return nil, err
	}
	return viewFrom(resp.GetView())
}

// Watch implements repo.Store.
func (c *Client) Watch(ctx context.Context, after uint64) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.refs.WatchView(ctx, &dvxv1.WatchViewRequest{After: after})
	if err != nil {
		return 0, err
	}
	resp, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return after, nil
	}
	if err != nil {
		return 0, err
	}
	return resp.GetGeneration(), nil
}

// Move implements repo.Store.
func (c *Client) Move(ctx context.Context, t repo.Txn) (repo.Result, error) {
	m, err := txnTo(t)
	if err != nil {
		return repo.Result{}, err
	}
	resp, err := c.refs.Move(ctx, &dvxv1.MoveRequest{Txn: m})
	if err != nil {
		return repo.Result{}, unknownIfLost(t, err)
	}
	return repo.Result{Gen: resp.GetResult().GetGeneration(), Replay: resp.GetResult().GetReplay()}, nil
}

// unknownIfLost reports a lost connection during a transaction as what it is.
func unknownIfLost(t repo.Txn, err error) error {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("operation %v: %w: %w", t.Op, repo.ErrUnknown, err)
	}
	return err
}

// Reader implements repo.Store. Readers of one repo share a scope, for as long
// as it can name more chunks.
func (c *Client) Reader(ctx context.Context, s repo.Scope) (chunk.Reader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.readers[s.Repo]; ok {
		_, err := c.data.OpenReader(ctx, &dvxv1.OpenReaderRequest{Scope: scopeTo(s), Handle: r.handle})
		if err == nil || !errors.Is(err, ErrScope) {
			return r, err
		}
	}
	resp, err := c.data.OpenReader(ctx, &dvxv1.OpenReaderRequest{Scope: scopeTo(s)})
	if err != nil {
		return nil, err
	}
	r := &reader{c: c, handle: resp.GetHandle()}
	c.readers[s.Repo] = r
	c.handles = append(c.handles, r.handle)
	return r, nil
}

func scopeTo(s repo.Scope) *dvxv1.Scope {
	return &dvxv1.Scope{Repo: s.Repo, Branch: s.Branch, Commit: idBytes(s.Commit)}
}

// readChunk fetches one chunk within a scope and verifies it.
func (c *Client) readChunk(ctx context.Context, handle string, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.data.ReadChunks(ctx, &dvxv1.ReadChunksRequest{
		Handle: handle, Chunks: []*dvxv1.ChunkRef{{Kind: uint32(kind), Id: id[:]}},
	})
	if err != nil {
		return nil, err
	}
	var b []byte
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("read %v %s: %w", kind, id.Short(), err)
		}
		if err := chunk.CheckSize(kind, len(b)+len(m.GetData())); err != nil {
			return nil, err
		}
		b = append(b, m.GetData()...)
		if m.GetLast() {
			break
		}
	}
	if kind.Sum(b) != id {
		return nil, fmt.Errorf("%v %s arrived damaged: %w", kind, id.Short(), chunk.ErrCorrupt)
	}
	return b, nil
}
