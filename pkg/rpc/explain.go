package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/explain"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Explain answers questions about pipelines: an [explain.Explainer], or a daemon
// reached by a [Client]. It may be used concurrently.
type Explain interface {
	// Plan says what would run. A daemon decides by itself what may be looked into.
	Plan(ctx context.Context, q explain.PlanQuery) ([]explain.Forecast, error)

	// Why yields why the datums of a job, or the one of an identity, ran.
	Why(ctx context.Context, job history.Job, identity string) iter.Seq2[explain.Answer, error]

	// Lineage returns what a version or path was made of, and what of it.
	Lineage(ctx context.Context, expr string) (*explain.Node, error)

	// Preview yields the datums that an input would have on a branch.
	Preview(ctx context.Context, in spec.Input, branch string) iter.Seq2[explain.Datum, error]

	// Detail returns all that is known of a datum of a job.
	Detail(ctx context.Context, job history.Job, identity string) (explain.Detail, error)
}

var (
	_ Explain = (*explain.Explainer)(nil)
	_ Explain = (*ClientExplain)(nil)
)

// explainService serves answers.
type explainService struct {
	dvxv1.UnimplementedExplainServiceServer
	s *Server
}

// Plan implements dvxv1.ExplainServiceServer.
func (e *explainService) Plan(ctx context.Context, req *dvxv1.PlanRequest) (*dvxv1.PlanResponse, error) {
	if err := e.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	list, err := e.s.opts.Explain.Plan(ctx, explain.PlanQuery{
		Pipeline: req.GetPipeline(), Branch: req.GetBranch(),
		May: func(pipeline, branch string) bool {
			return e.s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: pipeline, Branch: branch}) == nil
		},
	})
	if err != nil {
		return nil, err
	}
	resp := &dvxv1.PlanResponse{}
	for _, f := range list {
		b, err := commit.CanonicalJSON(f)
		if err != nil {
			return nil, err
		}
		resp.Forecasts = append(resp.Forecasts, b)
	}
	return resp, nil
}

// Why implements dvxv1.ExplainServiceServer.
func (e *explainService) Why(req *dvxv1.WhyRequest, stream grpc.ServerStreamingServer[dvxv1.WhyResponse]) error {
	ctx := stream.Context()
	job, err := e.s.job(ctx, req.GetJob())
	if err != nil {
		return err
	}
	for a, err := range e.s.opts.Explain.Why(ctx, job, req.GetDatum()) {
		if err != nil {
			return err
		}
		b, err := commit.CanonicalJSON(a)
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.WhyResponse{Json: b}); err != nil {
			return err
		}
	}
	return nil
}

// Lineage implements dvxv1.ExplainServiceServer. What the caller may not read
// is left out, with all that is behind it.
func (e *explainService) Lineage(ctx context.Context, req *dvxv1.LineageRequest) (*dvxv1.LineageResponse, error) {
	if err := e.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	if err := e.sees(ctx, req.GetExpression()); err != nil { // before anything is looked for
		return nil, err
	}
	n, err := e.s.opts.Explain.Lineage(ctx, req.GetExpression())
	if err != nil {
		return nil, err
	}
	if err := e.s.allow(ctx, auth.Read, auth.Resource{Repo: n.Repo, Branch: n.Branch}); err != nil {
		return nil, err
	}
	e.prune(ctx, n)
	b, err := commit.CanonicalJSON(n)
	return &dvxv1.LineageResponse{Json: b}, err
}

// sees fails unless the caller may read anything in the repo of an expression.
func (e *explainService) sees(ctx context.Context, expr string) error {
	ref, err := repo.ParseRef(expr)
	if err != nil {
		return err
	}
	who, err := auth.From(ctx)
	if err != nil {
		return err
	}
	ok, err := auth.Sees(ctx, e.s.opts.Authorizer, who, ref.Repo)
	if err == nil && !ok {
		err = fmt.Errorf("%s: %w", ref.Repo, repo.ErrRepoNotFound)
	}
	return err
}

// prune takes away what the caller may not read.
func (e *explainService) prune(ctx context.Context, n *explain.Node) {
	hidden := func(c *explain.Node) bool {
		return e.s.allow(ctx, auth.Read, auth.Resource{Repo: c.Repo, Branch: c.Branch}) != nil
	}
	n.From, n.To = slices.DeleteFunc(n.From, hidden), slices.DeleteFunc(n.To, hidden)
	for _, c := range slices.Concat(n.From, n.To) {
		e.prune(ctx, c)
	}
}

// PreviewDatums implements dvxv1.ExplainServiceServer.
func (e *explainService) PreviewDatums(req *dvxv1.PreviewDatumsRequest, stream grpc.ServerStreamingServer[dvxv1.PreviewDatumsResponse]) error {
	ctx := stream.Context()
	in, err := spec.ParseInput("input.json", req.GetInput())
	if err != nil {
		return err
	}
	branch := req.GetBranch()
	if branch == "" {
		branch = "main"
	}
	for leaf := range in.Leaves() { // all of the repo: which branch it falls back to is not known yet
		if err := e.s.allow(ctx, auth.Read, auth.Resource{Repo: leaf.Repo}); err != nil {
			return err
		}
	}
	for d, err := range e.s.opts.Explain.Preview(ctx, in, branch) {
		if err != nil {
			return err
		}
		b, err := commit.CanonicalJSON(d)
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.PreviewDatumsResponse{Json: b}); err != nil {
			return err
		}
	}
	return nil
}

// GetDatum implements dvxv1.ExplainServiceServer.
func (e *explainService) GetDatum(ctx context.Context, req *dvxv1.GetDatumRequest) (*dvxv1.GetDatumResponse, error) {
	job, err := e.s.job(ctx, req.GetJob())
	if err != nil {
		return nil, err
	}
	d, err := e.s.opts.Explain.Detail(ctx, job, req.GetDatum())
	if err != nil {
		return nil, err
	}
	b, err := commit.CanonicalJSON(d)
	return &dvxv1.GetDatumResponse{Json: b}, err
}

// ClientExplain is the answers of a daemon. It implements [Explain].
type ClientExplain struct{ c dvxv1.ExplainServiceClient }

// Explain returns the daemon's answers.
func (c *Client) Explain() *ClientExplain {
	return &ClientExplain{dvxv1.NewExplainServiceClient(c.conn)}
}

// Plan implements [Explain].
func (c *ClientExplain) Plan(ctx context.Context, q explain.PlanQuery) ([]explain.Forecast, error) {
	resp, err := c.c.Plan(ctx, &dvxv1.PlanRequest{Pipeline: q.Pipeline, Branch: q.Branch})
	if err != nil {
		return nil, err
	}
	var out []explain.Forecast
	for _, b := range resp.GetForecasts() {
		f, err := answered[explain.Forecast](b)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// Why implements [Explain].
func (c *ClientExplain) Why(ctx context.Context, job history.Job, identity string) iter.Seq2[explain.Answer, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.WhyResponse], error) {
		return c.c.Why(ctx, &dvxv1.WhyRequest{Job: job.ID.String(), Datum: identity})
	}
	return messages(ctx, open, func(m *dvxv1.WhyResponse) (explain.Answer, error) { return answered[explain.Answer](m.GetJson()) })
}

// Lineage implements [Explain].
func (c *ClientExplain) Lineage(ctx context.Context, expr string) (*explain.Node, error) {
	resp, err := c.c.Lineage(ctx, &dvxv1.LineageRequest{Expression: expr})
	if err != nil {
		return nil, err
	}
	n, err := answered[explain.Node](resp.GetJson())
	return &n, err
}

// Preview implements [Explain].
func (c *ClientExplain) Preview(ctx context.Context, in spec.Input, branch string) iter.Seq2[explain.Datum, error] {
	b, err := commit.CanonicalJSON(in)
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.PreviewDatumsResponse], error) {
		if err != nil {
			return nil, fmt.Errorf("input: %w: %w", err, fs.ErrInvalid)
		}
		return c.c.PreviewDatums(ctx, &dvxv1.PreviewDatumsRequest{Input: b, Branch: branch})
	}
	return messages(ctx, open, func(m *dvxv1.PreviewDatumsResponse) (explain.Datum, error) {
		return answered[explain.Datum](m.GetJson())
	})
}

// Detail implements [Explain].
func (c *ClientExplain) Detail(ctx context.Context, job history.Job, identity string) (explain.Detail, error) {
	resp, err := c.c.GetDatum(ctx, &dvxv1.GetDatumRequest{Job: job.ID.String(), Datum: identity})
	if err != nil {
		return explain.Detail{}, err
	}
	return answered[explain.Detail](resp.GetJson())
}

// answered reads what a daemon answered.
func answered[T any](b []byte) (T, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("answer from the daemon: %w", err)
	}
	return v, nil
}
