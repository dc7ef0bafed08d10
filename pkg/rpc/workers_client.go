package rpc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// WorkerOptions configures a [WorkerClient].
type WorkerOptions struct {
	Address string
	TLS     *tls.Config            // how the daemon proves who it is, see auth.ClientTLS; nil: in the clear, to this machine only
	Proof   func() (string, error) // says who the worker is; asked for each time that it must attach
	Dial    []grpc.DialOption
}

// WorkerClient is a worker's end of a board of leases that a daemon holds. It
// may be used concurrently.
type WorkerClient struct {
	o    WorkerOptions
	conn *grpc.ClientConn
	api  dvxv1.WorkerServiceClient

	mu  sync.Mutex
	key string
}

// DialWorker prepares a connection; [WorkerClient.Attach] is the first call.
func DialWorker(o WorkerOptions) (*WorkerClient, error) {
	if o.TLS == nil && !onThisMachine(o.Address) {
		return nil, fmt.Errorf("%q is not on this machine, and nothing says how it proves who it is: %w", o.Address, fs.ErrPermission)
	}
	transport := insecure.NewCredentials()
	if o.TLS != nil {
		transport = credentials.NewTLS(o.TLS)
	}
	conn, err := grpc.NewClient(o.Address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageSizeMax)),
	}, o.Dial...)...)
	if err != nil {
		return nil, fmt.Errorf("daemon address %q: %w", o.Address, errors.Join(err, fs.ErrInvalid))
	}
	return &WorkerClient{o: o, conn: conn, api: dvxv1.NewWorkerServiceClient(conn)}, nil
}

// Close ends the connection.
func (w *WorkerClient) Close() error { return w.conn.Close() }

// Attach shows the daemon who the worker is, and returns the configuration of
// its store.
func (w *WorkerClient) Attach(ctx context.Context) (repo.Config, error) {
	proof, err := w.o.Proof()
	if err != nil {
		return repo.Config{}, err
	}
	resp, err := w.api.Attach(ctx, &dvxv1.AttachRequest{Proof: proof, Version: workerVersion})
	if err != nil {
		return repo.Config{}, fmt.Errorf("attach to %s: %w", w.o.Address, fromStatus(err))
	}
	w.mu.Lock()
	w.key = resp.GetKey()
	w.mu.Unlock()
	c, err := repo.DecodeConfig(resp.GetConfig())
	if err != nil {
		return c, fmt.Errorf("attach to %s: %w", w.o.Address, err)
	}
	return c, nil
}

func (w *WorkerClient) auth(ctx context.Context) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return withToken(ctx, w.key)
}

// Take leases up to n tasks; none if there were none for a while.
func (w *WorkerClient) Take(ctx context.Context, n int) ([]lease.Lease, error) {
	resp, err := w.api.Take(w.auth(ctx), &dvxv1.TakeRequest{Count: uint32(n)}) //nolint:gosec // a few
	if err != nil {
		return nil, fromStatus(err)
	}
	var leases []lease.Lease
	for _, m := range resp.GetLeases() {
		l := lease.Lease{Token: m.GetToken()}
		if err := json.Unmarshal(m.GetTask(), &l.Task); err != nil {
			return nil, fmt.Errorf("lease %d: %w", l.Token, err)
		}
		leases = append(leases, l)
	}
	return leases, nil
}

// Beat says that the worker lives.
func (w *WorkerClient) Beat(ctx context.Context, tokens []uint64) (ended []uint64, leave bool, err error) {
	resp, err := w.api.Beat(w.auth(ctx), &dvxv1.BeatRequest{Tokens: tokens})
	if err != nil {
		return nil, false, fromStatus(err)
	}
	return resp.GetEnded(), resp.GetLeave(), nil
}

// Report ends a lease.
func (w *WorkerClient) Report(ctx context.Context, token uint64, r task.Result, failure string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("report on lease %d: %w", token, err)
	}
	_, err = w.api.Report(w.auth(ctx), &dvxv1.ReportRequest{Token: token, Result: b, Failure: failure})
	return fromStatus(err)
}

// Store returns the chunks of a lease.
func (w *WorkerClient) Store(token uint64) chunk.Store {
	return &leasedStore{w: w, token: token, sent: map[chunk.ID]struct{}{}}
}

// leasedStore reads and writes the chunks of one lease. What is put waits until
// there is enough of it, or it is flushed.
type leasedStore struct {
	w     *WorkerClient
	token uint64

	mu    sync.Mutex
	batch []pending
	size  int
	sent  map[chunk.ID]struct{} // written or waiting
}

// Get implements chunk.Reader.
func (s *leasedStore) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	s.mu.Lock()
	for _, p := range s.batch {
		if p.id == id && p.kind == kind {
			defer s.mu.Unlock()
			return append([]byte(nil), p.data...), nil
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.w.api.ReadLeased(s.w.auth(ctx), &dvxv1.ReadLeasedRequest{
		Token: s.token, Chunks: []*dvxv1.ChunkRef{{Kind: uint32(kind), Id: id[:]}},
	})
	if err != nil {
		return nil, fromStatus(err)
	}
	var b []byte
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("read %v %s: %w", kind, id.Short(), streamErr(err))
		}
		if err := chunk.CheckSize(kind, len(b)+len(m.GetData())); err != nil {
			return nil, err
		}
		if b = append(b, m.GetData()...); m.GetLast() {
			break
		}
	}
	if kind.Sum(b) != id {
		return nil, fmt.Errorf("%v %s arrived damaged: %w", kind, id.Short(), chunk.ErrCorrupt)
	}
	return b, nil
}

// Put implements chunk.Store.
func (s *leasedStore) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	if err := chunk.CheckSize(kind, len(data)); err != nil {
		return chunk.ID{}, err
	}
	id := kind.Sum(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sent[id]; ok {
		return id, nil
	}
	s.sent[id] = struct{}{}
	s.batch = append(s.batch, pending{kind, id, append([]byte(nil), data...)})
	if s.size += len(data); s.size < batchSize && len(s.batch) < batchCount {
		return id, nil
	}
	return id, s.send(ctx)
}

// Flush implements chunk.Store: what was put is with the daemon, which makes it
// durable before it relies on it.
func (s *leasedStore) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(ctx)
}

// send writes the batch. The caller holds the lock: chunks must arrive before
// those that name them.
func (s *leasedStore) send(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.w.api.WriteLeased(s.w.auth(ctx))
	if err != nil {
		return fromStatus(err)
	}
	for _, p := range s.batch {
		err = sendLeased(stream, s.token, p)
		if err != nil {
			break // the answer has the reason
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	resp, rerr := stream.CloseAndRecv()
	if err = errors.Join(fromStatus(rerr), err); err != nil {
		return fmt.Errorf("write chunks of lease %d: %w", s.token, err)
	}
	if len(resp.GetIds()) != len(s.batch) {
		return fmt.Errorf("%d chunks sent, %d kept: %w", len(s.batch), len(resp.GetIds()), chunk.ErrCorrupt)
	}
	for i, id := range resp.GetIds() {
		if string(id) != string(s.batch[i].id[:]) {
			return fmt.Errorf("%v %s arrived damaged: %w", s.batch[i].kind, s.batch[i].id.Short(), chunk.ErrCorrupt)
		}
	}
	s.batch, s.size = s.batch[:0], 0
	return nil
}

func sendLeased(stream grpc.ClientStreamingClient[dvxv1.WriteLeasedRequest, dvxv1.WriteLeasedResponse], token uint64, p pending) error {
	for b, last := p.data, false; !last; {
		n := min(len(b), pieceSize)
		last = n == len(b)
		if err := stream.Send(&dvxv1.WriteLeasedRequest{Token: token, Kind: uint32(p.kind), Data: b[:n], Last: last}); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
