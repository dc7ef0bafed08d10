package main

import (
	"context"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// jobs returns the jobs of the store: through the daemon with --server, else as
// far as they are published.
func (a *app) jobs(ctx context.Context) (rpc.Jobs, context.Context, error) {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return nil, ctx, err
	}
	if a.client != nil {
		return a.client.Jobs(), ctx, nil
	}
	return rpc.NewLocalJobs(s, pipeline.OpenJobs(a.direct, local.Scope())), ctx, nil
}
