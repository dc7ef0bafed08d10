package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// refService serves the names of the store.
type refService struct {
	dvxv1.UnimplementedRefServiceServer
	s *Server
}

// GetConfig implements dvxv1.RefServiceServer.
func (r *refService) GetConfig(ctx context.Context, _ *dvxv1.GetConfigRequest) (*dvxv1.GetConfigResponse, error) {
	if err := r.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	b, err := repo.EncodeConfig(r.s.opts.Store.Config())
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return &dvxv1.GetConfigResponse{Config: b}, nil
}

// GetView implements dvxv1.RefServiceServer: the repos that the caller may read.
func (r *refService) GetView(ctx context.Context, _ *dvxv1.GetViewRequest) (*dvxv1.GetViewResponse, error) {
	if err := r.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	v, err := r.s.opts.Store.View(ctx)
	if err != nil {
		return nil, err
	}
	seen := &repo.View{Gen: v.Gen, Repos: map[string]repo.Repo{}, Open: v.Open, Expires: v.Expires}
	for name, rp := range v.Repos {
		if r.s.allow(ctx, auth.Read, auth.Resource{Repo: name}) == nil {
			seen.Repos[name] = rp
		}
	}
	return &dvxv1.GetViewResponse{View: viewTo(seen)}, nil
}

// WatchView implements dvxv1.RefServiceServer.
func (r *refService) WatchView(req *dvxv1.WatchViewRequest, stream grpc.ServerStreamingServer[dvxv1.WatchViewResponse]) error {
	ctx := stream.Context()
	if err := r.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return err
	}
	after := req.GetAfter()
	for {
		gen, err := r.s.opts.Store.Watch(ctx, after)
		if err != nil {
			return err
		}
		if gen <= after {
			continue
		}
		after = gen
		if err := stream.Send(&dvxv1.WatchViewResponse{Generation: gen}); err != nil {
			return err
		}
	}
}

// Move implements dvxv1.RefServiceServer.
func (r *refService) Move(ctx context.Context, req *dvxv1.MoveRequest) (*dvxv1.MoveResponse, error) {
	t, err := txnFrom(req.GetTxn())
	if err != nil {
		return nil, err
	}
	if err := r.s.allowTxn(ctx, t); err != nil {
		return nil, err
	}
	if err := r.s.reachable(ctx, t); err != nil {
		return nil, err
	}
	res, err := r.s.opts.Store.Move(ctx, t)
	if err != nil {
		return nil, err
	}
	return &dvxv1.MoveResponse{Result: &dvxv1.Result{Generation: res.Gen, Replay: res.Replay}}, nil
}
