package rpc

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/explain"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Past tells what happened and what came of it: an [explain.Explainer], or a
// daemon reached by a [Client]. It may be used concurrently.
type Past interface {
	// Runs yields the runs, newest first.
	Runs(ctx context.Context) iter.Seq2[explain.Run, error]

	// Run returns a run by what names it, see [explain.Explainer.Run].
	Run(ctx context.Context, name string) (explain.Run, error)

	// Watch yields a run whenever it has changed, until it is over.
	Watch(ctx context.Context, name string) iter.Seq2[explain.Run, error]

	// Events yields what happened, oldest first.
	Events(ctx context.Context, q explain.EventQuery) iter.Seq2[explain.Event, error]

	// JobsAt yields the jobs of a pipeline, of all if the name is empty, as they
	// were at a time, newest first.
	JobsAt(ctx context.Context, name string, at time.Time) iter.Seq2[history.Job, error]

	// PipelinesAt returns the pipelines as they were at a time.
	PipelinesAt(ctx context.Context, at time.Time) ([]explain.PipelineAt, error)
}

var (
	_ Past = (*explain.Explainer)(nil)
	_ Past = (*ClientPast)(nil)
)

// errNoPast is the answer where nobody tells the past.
var errNoPast = fmt.Errorf("this daemon does not tell what was: %w", fs.ErrInvalid)

// runService serves runs.
type runService struct {
	dvxv1.UnimplementedRunServiceServer
	s *Server
}

// keepVisible leaves of a run what the caller may see; false: nothing.
func (s *Server) keepVisible(ctx context.Context, r *explain.Run) bool {
	r.Stages = slices.DeleteFunc(slices.Clone(r.Stages), func(st explain.Stage) bool {
		return s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: st.Pipeline, Branch: st.Branch}) != nil
	})
	r.Origins = slices.DeleteFunc(slices.Clone(r.Origins), func(o commit.Ref) bool {
		return s.allow(ctx, auth.Read, auth.Resource{Repo: o.Repo, Branch: o.Branch}) != nil
	})
	return len(r.Stages) > 0
}

// shown returns what the caller may see of a run, false if that is nothing. Sums
// are of what is left.
func (s *Server) shown(ctx context.Context, r explain.Run) (b []byte, ok bool, err error) {
	stages := len(r.Stages)
	if !s.keepVisible(ctx, &r) && stages > 0 {
		return nil, false, nil
	}
	if len(r.Stages) < stages {
		r.Datums, r.Counts = nil, history.Counts{}
		for _, st := range r.Stages {
			r.Counts.Total += st.Counts.Total
			r.Counts.Hit += st.Counts.Hit
			r.Counts.Ran += st.Counts.Ran
			r.Counts.Failed += st.Counts.Failed
			r.Counts.Recovered += st.Counts.Recovered
		}
	}
	b, err = commit.CanonicalJSON(r)
	return b, true, err
}

// ListRuns implements dvxv1.RunServiceServer.
func (s *runService) ListRuns(req *dvxv1.ListRunsRequest, stream grpc.ServerStreamingServer[dvxv1.ListRunsResponse]) error {
	ctx := stream.Context()
	if err := s.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return err
	}
	sent := uint32(0)
	for r, err := range s.s.opts.Past.Runs(ctx) {
		if err != nil {
			return err
		}
		b, ok, err := s.s.shown(ctx, r)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := stream.Send(&dvxv1.ListRunsResponse{Json: b}); err != nil {
			return err
		}
		if sent++; sent == req.GetLimit() {
			return nil
		}
	}
	return nil
}

// GetRun implements dvxv1.RunServiceServer.
func (s *runService) GetRun(ctx context.Context, req *dvxv1.GetRunRequest) (*dvxv1.GetRunResponse, error) {
	if err := s.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	r, err := s.s.opts.Past.Run(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	b, ok, err := s.s.shown(ctx, r)
	if err == nil && (!ok || !s.s.mayName(ctx, req.GetName(), r)) {
		err = noRun(req.GetName())
	}
	return &dvxv1.GetRunResponse{Json: b}, err
}

// mayName reports whether the caller may see that by which he names a run: the
// answer would tell him that it is there.
func (s *Server) mayName(ctx context.Context, name string, r explain.Run) bool {
	if ref, err := repo.ParseRef(name); err == nil && strings.ContainsAny(name, "@:") {
		return s.allow(ctx, auth.Read, auth.Resource{Repo: ref.Repo, Branch: ref.Name}) == nil
	}
	return strings.HasPrefix(r.ID, name) || slices.ContainsFunc(r.Stages, func(st explain.Stage) bool {
		return (st.Pipeline == name || strings.HasPrefix(st.Job.String(), name)) &&
			s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: st.Pipeline, Branch: st.Branch}) == nil
	})
}

func noRun(name string) error {
	return fmt.Errorf("no run %.80q: see dvx run list: %w", name, fs.ErrNotExist)
}

// WatchRun implements dvxv1.RunServiceServer.
func (s *runService) WatchRun(req *dvxv1.WatchRunRequest, stream grpc.ServerStreamingServer[dvxv1.WatchRunResponse]) error {
	ctx := stream.Context()
	if err := s.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return err
	}
	for r, err := range s.s.opts.Past.Watch(ctx, req.GetName()) {
		if err != nil {
			return err
		}
		b, ok, err := s.s.shown(ctx, r)
		if err != nil {
			return err
		}
		if !ok || !s.s.mayName(ctx, req.GetName(), r) {
			return noRun(req.GetName())
		}
		if err := stream.Send(&dvxv1.WatchRunResponse{Json: b}); err != nil {
			return err
		}
	}
	return nil
}

// eventService serves events.
type eventService struct {
	dvxv1.UnimplementedEventServiceServer
	s *Server
}

// ListEvents implements dvxv1.EventServiceServer. Events of no pipeline are of
// the daemon, and shown to everybody who may look at the store.
func (s *eventService) ListEvents(req *dvxv1.ListEventsRequest, stream grpc.ServerStreamingServer[dvxv1.ListEventsResponse]) error {
	ctx := stream.Context()
	if err := s.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return err
	}
	q := explain.EventQuery{Pipeline: req.GetPipeline(), Branch: req.GetBranch(), Datums: req.GetDatums(), Follow: req.GetFollow()}
	if t := req.GetSince(); t != nil {
		q.Since = t.AsTime()
	}
	if t := req.GetUntil(); t != nil {
		q.Until = t.AsTime()
	}
	for e, err := range s.s.opts.Past.Events(ctx, q) {
		if err != nil {
			return err
		}
		if e.Pipeline != "" && s.s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: e.Pipeline, Branch: e.Branch}) != nil {
			continue
		}
		b, err := commit.CanonicalJSON(e)
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.ListEventsResponse{Json: b}); err != nil {
			return err
		}
	}
	return nil
}

// ListPipelinesAt implements dvxv1.EventServiceServer.
func (s *eventService) ListPipelinesAt(ctx context.Context, req *dvxv1.ListPipelinesAtRequest) (*dvxv1.ListPipelinesAtResponse, error) {
	if err := s.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	list, err := s.s.opts.Past.PipelinesAt(ctx, req.GetTime().AsTime())
	if err != nil {
		return nil, err
	}
	resp := &dvxv1.ListPipelinesAtResponse{}
	for _, p := range list {
		if s.s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: p.Pipeline, Branch: p.Branch}) != nil {
			continue
		}
		b, err := commit.CanonicalJSON(p)
		if err != nil {
			return nil, err
		}
		resp.Pipelines = append(resp.Pipelines, b)
	}
	return resp, nil
}

// ClientPast is the past as a daemon tells it. It implements [Past].
type ClientPast struct {
	runs   dvxv1.RunServiceClient
	events dvxv1.EventServiceClient
	jobs   dvxv1.JobServiceClient
}

// Past returns the past as the daemon tells it.
func (c *Client) Past() *ClientPast {
	return &ClientPast{dvxv1.NewRunServiceClient(c.conn), dvxv1.NewEventServiceClient(c.conn), dvxv1.NewJobServiceClient(c.conn)}
}

// Runs implements [Past].
func (c *ClientPast) Runs(ctx context.Context) iter.Seq2[explain.Run, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.ListRunsResponse], error) {
		return c.runs.ListRuns(ctx, &dvxv1.ListRunsRequest{})
	}
	return messages(ctx, open, func(m *dvxv1.ListRunsResponse) (explain.Run, error) { return answered[explain.Run](m.GetJson()) })
}

// Run implements [Past].
func (c *ClientPast) Run(ctx context.Context, name string) (explain.Run, error) {
	resp, err := c.runs.GetRun(ctx, &dvxv1.GetRunRequest{Name: name})
	if err != nil {
		return explain.Run{}, err
	}
	return answered[explain.Run](resp.GetJson())
}

// Watch implements [Past].
func (c *ClientPast) Watch(ctx context.Context, name string) iter.Seq2[explain.Run, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.WatchRunResponse], error) {
		return c.runs.WatchRun(ctx, &dvxv1.WatchRunRequest{Name: name})
	}
	return messages(ctx, open, func(m *dvxv1.WatchRunResponse) (explain.Run, error) { return answered[explain.Run](m.GetJson()) })
}

// Events implements [Past].
func (c *ClientPast) Events(ctx context.Context, q explain.EventQuery) iter.Seq2[explain.Event, error] {
	req := &dvxv1.ListEventsRequest{Pipeline: q.Pipeline, Branch: q.Branch, Datums: q.Datums, Follow: q.Follow}
	if !q.Since.IsZero() {
		req.Since = timestamppb.New(q.Since)
	}
	if !q.Until.IsZero() {
		req.Until = timestamppb.New(q.Until)
	}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.ListEventsResponse], error) {
		return c.events.ListEvents(ctx, req)
	}
	return messages(ctx, open, func(m *dvxv1.ListEventsResponse) (explain.Event, error) { return answered[explain.Event](m.GetJson()) })
}

// JobsAt implements [Past].
func (c *ClientPast) JobsAt(ctx context.Context, name string, at time.Time) iter.Seq2[history.Job, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.ListJobsResponse], error) {
		return c.jobs.ListJobs(ctx, &dvxv1.ListJobsRequest{Pipeline: name, AsOf: timestamppb.New(at)})
	}
	return messages(ctx, open, func(m *dvxv1.ListJobsResponse) (history.Job, error) { return jobFrom(m.GetJob()) })
}

// PipelinesAt implements [Past].
func (c *ClientPast) PipelinesAt(ctx context.Context, at time.Time) ([]explain.PipelineAt, error) {
	resp, err := c.events.ListPipelinesAt(ctx, &dvxv1.ListPipelinesAtRequest{Time: timestamppb.New(at)})
	if err != nil {
		return nil, err
	}
	var out []explain.PipelineAt
	for _, b := range resp.GetPipelines() {
		p, err := answered[explain.PipelineAt](b)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
