package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Settle implements dvxv1.RefServiceServer.
func (r *refService) Settle(ctx context.Context, req *dvxv1.SettleRequest) (*dvxv1.SettleResponse, error) {
	if err := r.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	op, err := opIDFrom(req.GetOpId())
	if err != nil {
		return nil, err
	}
	out, err := repo.Settle(ctx, r.s.opts.Store, op)
	if err != nil {
		return nil, err
	}
	resp := &dvxv1.SettleResponse{Applied: out.Applied, Generation: out.Gen}
	for _, m := range out.Moved {
		if r.s.allow(ctx, auth.Read, auth.Resource{Repo: m.Repo, Branch: m.Branch}) == nil {
			resp.Moved = append(resp.Moved, &dvxv1.Moved{Repo: m.Repo, Branch: m.Branch, Commit: idBytes(m.Commit)})
		}
	}
	return resp, nil
}

// ListMoves implements dvxv1.RefServiceServer.
func (r *refService) ListMoves(req *dvxv1.ListMovesRequest, stream grpc.ServerStreamingServer[dvxv1.ListMovesResponse]) error {
	ctx := stream.Context()
	if err := r.s.allow(ctx, auth.Read, auth.Resource{Repo: req.GetRepo(), Branch: req.GetBranch()}); err != nil {
		return err
	}
	for m, err := range repo.Reflog(ctx, r.s.opts.Store, req.GetRepo(), req.GetBranch()) {
		if err != nil {
			return err
		}
		out := &dvxv1.RefMove{
			Generation: m.Gen, OpId: m.Op[:], From: idBytes(m.From), To: idBytes(m.To), Made: m.Made, Removed: m.Removed,
		}
		if !m.Time.IsZero() {
			out.Time = timestamppb.New(m.Time)
		}
		if err := stream.Send(&dvxv1.ListMovesResponse{Move: out}); err != nil {
			return err
		}
	}
	return nil
}

func opIDFrom(b []byte) (repo.OpID, error) {
	var op repo.OpID
	if len(b) != len(op) {
		return op, fmt.Errorf("operation id of %d bytes, want %d: %w", len(b), len(op), fs.ErrInvalid)
	}
	copy(op[:], b)
	return op, nil
}

var (
	_ repo.Settler   = (*Client)(nil)
	_ repo.Historian = (*Client)(nil)
)

// Settle implements repo.Settler.
func (c *Client) Settle(ctx context.Context, op repo.OpID) (repo.Outcome, error) {
	resp, err := c.refs.Settle(ctx, &dvxv1.SettleRequest{OpId: op[:]})
	if err != nil {
		return repo.Outcome{}, err
	}
	out := repo.Outcome{Applied: resp.GetApplied(), Gen: resp.GetGeneration()}
	for _, m := range resp.GetMoved() {
		id, err := idFrom(m.GetCommit())
		if err != nil {
			return repo.Outcome{}, err
		}
		out.Moved = append(out.Moved, repo.Moved{Repo: m.GetRepo(), Branch: m.GetBranch(), Commit: id})
	}
	return out, nil
}

// Reflog implements repo.Historian.
func (c *Client) Reflog(ctx context.Context, name, branch string) iter.Seq2[repo.RefMove, error] {
	return func(yield func(repo.RefMove, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.refs.ListMoves(ctx, &dvxv1.ListMovesRequest{Repo: name, Branch: branch})
		for err == nil {
			var resp *dvxv1.ListMovesResponse
			var m repo.RefMove
			if resp, err = stream.Recv(); err == nil {
				m, err = moveFrom(name, branch, resp.GetMove())
			}
			if err == nil && !yield(m, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(repo.RefMove{}, err)
		}
	}
}

func moveFrom(name, branch string, m *dvxv1.RefMove) (repo.RefMove, error) {
	op, err := opIDFrom(m.GetOpId())
	if err != nil {
		return repo.RefMove{}, err
	}
	from, err := idFrom(m.GetFrom())
	if err != nil {
		return repo.RefMove{}, err
	}
	to, err := idFrom(m.GetTo())
	if err != nil {
		return repo.RefMove{}, err
	}
	at := time.Time{}
	if m.GetTime() != nil {
		at = m.GetTime().AsTime()
	}
	return repo.RefMove{
		Repo: name, Branch: branch, Gen: m.GetGeneration(), Op: op, Time: at, From: from, To: to, Made: m.GetMade(), Removed: m.GetRemoved(),
	}, nil
}
