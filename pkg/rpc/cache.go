package rpc

import (
	"context"
	"fmt"
	"io/fs"
	"iter"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Cache looks after the results that are remembered: a [pipeline.Verifier], or
// a daemon reached by a [Client]. It may be used concurrently.
type Cache interface {
	// Stats counts them.
	Stats(ctx context.Context) (memo.Stats, error)

	// Verify does the work of a sample once more, and yields how each result
	// compares. A daemon decides by itself what may be run.
	Verify(ctx context.Context, q pipeline.VerifyQuery) iter.Seq2[pipeline.Verified, error]
}

var (
	_ Cache = (*pipeline.Verifier)(nil)
	_ Cache = (*ClientCache)(nil)
)

// cacheService serves what is remembered.
type cacheService struct {
	dvxv1.UnimplementedCacheServiceServer
	s *Server
}

// GetCacheStats implements dvxv1.CacheServiceServer.
func (c *cacheService) GetCacheStats(ctx context.Context, _ *dvxv1.GetCacheStatsRequest) (*dvxv1.GetCacheStatsResponse, error) {
	if err := c.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	st, err := c.s.opts.Cache.Stats(ctx)
	if err != nil {
		return nil, err
	}
	b, err := commit.CanonicalJSON(st)
	return &dvxv1.GetCacheStatsResponse{Json: b}, err
}

// VerifyCache implements dvxv1.CacheServiceServer.
func (c *cacheService) VerifyCache(req *dvxv1.VerifyCacheRequest, stream grpc.ServerStreamingServer[dvxv1.VerifyCacheResponse]) error {
	ctx := stream.Context()
	if err := c.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return err
	}
	if req.GetPipeline() != "" && req.GetBranch() != "" {
		if err := c.s.allow(ctx, auth.WritePipeline, auth.Resource{Repo: req.GetPipeline(), Branch: req.GetBranch()}); err != nil {
			return err
		}
	}
	if p := req.GetPercent(); p < 0 || p > 100 {
		return fmt.Errorf("sample of %v%%: %w", p, fs.ErrInvalid)
	}
	q := pipeline.VerifyQuery{
		Pipeline: req.GetPipeline(), Branch: req.GetBranch(), Datums: int(req.GetDatums()), Percent: req.GetPercent(), Seed: req.GetSeed(),
		May: func(name, branch string) bool {
			return c.s.allow(ctx, auth.WritePipeline, auth.Resource{Repo: name, Branch: branch}) == nil
		},
	}
	for v, err := range c.s.opts.Cache.Verify(ctx, q) {
		if err != nil {
			return err
		}
		b, err := commit.CanonicalJSON(v)
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.VerifyCacheResponse{Json: b}); err != nil {
			return err
		}
	}
	return nil
}

// ClientCache is what a daemon remembers. It implements [Cache].
type ClientCache struct{ c dvxv1.CacheServiceClient }

// Cache returns what the daemon remembers.
func (c *Client) Cache() *ClientCache { return &ClientCache{dvxv1.NewCacheServiceClient(c.conn)} }

// Stats implements [Cache].
func (c *ClientCache) Stats(ctx context.Context) (memo.Stats, error) {
	resp, err := c.c.GetCacheStats(ctx, &dvxv1.GetCacheStatsRequest{})
	if err != nil {
		return memo.Stats{}, err
	}
	return answered[memo.Stats](resp.GetJson())
}

// Verify implements [Cache].
func (c *ClientCache) Verify(ctx context.Context, q pipeline.VerifyQuery) iter.Seq2[pipeline.Verified, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.VerifyCacheResponse], error) {
		return c.c.VerifyCache(ctx, &dvxv1.VerifyCacheRequest{
			Pipeline: q.Pipeline, Branch: q.Branch, Datums: uint32(max(0, min(q.Datums, 1<<30))), Percent: q.Percent, Seed: q.Seed,
		})
	}
	return messages(ctx, open, func(m *dvxv1.VerifyCacheResponse) (pipeline.Verified, error) {
		return answered[pipeline.Verified](m.GetJson())
	})
}
