package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// reader reads chunks of a repo through the daemon, within one scope.
type reader struct {
	c      *Client
	handle string
}

// Get implements chunk.Reader.
func (r *reader) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	return r.c.readChunk(ctx, r.handle, kind, id)
}

// A session gathers new chunks until it has so many of them, or so many bytes,
// and sends them in one call: small files travel many to a call.
const (
	batchSize  = 4 << 20
	batchCount = 16 << 10
)

// session writes chunks through the daemon. Chunks wait in a batch until it is
// full, or until somebody needs them to be there.
type session struct {
	c      *Client
	handle string

	mu     sync.Mutex
	batch  []pending
	size   int
	sent   map[chunk.ID]struct{} // written or waiting
	err    error                 // the first failure dooms the session
	closed bool
}

type pending struct {
	kind chunk.Kind
	id   chunk.ID
	data []byte
}

// Session implements repo.Store.
func (c *Client) Session(ctx context.Context, s repo.Scope) (repo.Session, error) {
	resp, err := c.data.OpenSession(ctx, &dvxv1.OpenSessionRequest{Scope: scopeTo(s)})
	if err != nil {
		return nil, err
	}
	return &session{c: c, handle: resp.GetHandle(), sent: map[chunk.ID]struct{}{}}, nil
}

// Get implements chunk.Reader: chunks of this session, and of its branch.
func (s *session) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	s.mu.Lock()
	for _, p := range s.batch {
		if p.id == id && p.kind == kind {
			b := append([]byte(nil), p.data...)
			s.mu.Unlock()
			return b, nil
		}
	}
	s.mu.Unlock()
	return s.c.readChunk(ctx, s.handle, kind, id)
}

// Put implements chunk.Store.
func (s *session) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	if err := chunk.CheckSize(kind, len(data)); err != nil {
		return chunk.ID{}, err
	}
	id := kind.Sum(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return id, s.err
	}
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

// send writes the batch. The caller holds the lock: chunks must arrive before
// those that name them.
func (s *session) send(ctx context.Context) error {
	if s.err != nil || len(s.batch) == 0 {
		return s.err
	}
	if err := s.stream(ctx); err != nil {
		s.err = fmt.Errorf("write chunks through the daemon: %w", err)
		return s.err
	}
	s.batch, s.size = s.batch[:0], 0
	return nil
}

func (s *session) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.c.data.WriteChunks(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.batch {
		for b := p.data; ; {
			n := min(len(b), pieceSize)
			m := &dvxv1.WriteChunksRequest{Handle: s.handle, Kind: uint32(p.kind), Data: b[:n], Last: n == len(b)}
			if err := stream.Send(m); err != nil {
				// The reason is in the answer.
				_, rerr := stream.CloseAndRecv()
				return errors.Join(rerr, err)
			}
			if b = b[n:]; len(b) == 0 {
				break
			}
		}
	}
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	if len(resp.GetIds()) != len(s.batch) {
		return fmt.Errorf("%d chunks sent, %d kept: %w", len(s.batch), len(resp.GetIds()), chunk.ErrCorrupt)
	}
	for i, id := range resp.GetIds() {
		if string(id) != string(s.batch[i].id[:]) {
			return fmt.Errorf("%v %s arrived damaged: %w", s.batch[i].kind, s.batch[i].id.Short(), chunk.ErrCorrupt)
		}
	}
	return nil
}

// Flush implements chunk.Store.
func (s *session) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.send(ctx); err != nil {
		return err
	}
	_, err := s.c.data.Flush(ctx, &dvxv1.FlushRequest{Handle: s.handle})
	return err
}

// Publish implements repo.Session.
func (s *session) Publish(ctx context.Context, t repo.Txn) (repo.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.send(ctx); err != nil {
		return repo.Result{}, err
	}
	m, err := txnTo(t)
	if err != nil {
		return repo.Result{}, err
	}
	resp, err := s.c.data.Publish(ctx, &dvxv1.PublishRequest{Handle: s.handle, Txn: m})
	if err != nil {
		return repo.Result{}, unknownIfLost(t, err)
	}
	return repo.Result{Gen: resp.GetResult().GetGeneration(), Replay: resp.GetResult().GetReplay()}, nil
}

// Close implements repo.Session.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.c.closeScope(s.handle)
		s.closed = true
	}
	return nil
}
