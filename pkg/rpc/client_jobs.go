package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

func noPipeline(name, branch string) error {
	return fmt.Errorf("no pipeline %s on branch %s: %w", name, branch, fs.ErrNotExist)
}

func noJob(pipeline string) error {
	if pipeline == "" {
		return fmt.Errorf("no job has run yet: %w", fs.ErrNotExist)
	}
	return fmt.Errorf("pipeline %s has run no job yet: %w", pipeline, fs.ErrNotExist)
}

func noDatum(identity string, job history.JobID) error {
	return fmt.Errorf("job %s has no datum %q: %w; dvx datum list shows them", job.Short(), identity, fs.ErrNotExist)
}

// ClientJobs is the jobs of a daemon. It implements [Jobs].
type ClientJobs struct {
	pipelines dvxv1.PipelineServiceClient
	jobs      dvxv1.JobServiceClient
	logs      dvxv1.LogServiceClient
}

var _ Jobs = (*ClientJobs)(nil)

// Jobs returns the daemon's jobs.
func (c *Client) Jobs() *ClientJobs {
	return &ClientJobs{
		pipelines: dvxv1.NewPipelineServiceClient(c.conn), jobs: dvxv1.NewJobServiceClient(c.conn), logs: dvxv1.NewLogServiceClient(c.conn),
	}
}

// Pipelines implements [Jobs].
func (c *ClientJobs) Pipelines(ctx context.Context) ([]PipelineState, error) {
	resp, err := c.pipelines.ListPipelines(ctx, &dvxv1.ListPipelinesRequest{})
	if err != nil {
		return nil, err
	}
	var out []PipelineState
	for _, m := range resp.GetPipelines() {
		st := PipelineState{
			Pipeline: m.GetPipeline(), Branch: m.GetBranch(), Source: m.GetSpec(), State: m.GetState(), Problem: m.GetProblem(),
		}
		if st.Spec, err = idFrom(m.GetSpecCommit()); err != nil {
			return nil, err
		}
		if st.Output, err = idFrom(m.GetOutput()); err != nil {
			return nil, err
		}
		if m.GetJob() != "" {
			if st.Job, err = history.ParseJobID(m.GetJob()); err != nil {
				return nil, err
			}
		}
		for _, in := range m.GetInputs() {
			i := commit.Input{Name: in.GetName(), Ref: commit.Ref{Repo: in.GetRepo(), Branch: in.GetBranch()}}
			if i.Commit, err = idFrom(in.GetCommit()); err != nil {
				return nil, err
			}
			st.Inputs = append(st.Inputs, i)
		}
		out = append(out, st)
	}
	return out, nil
}

// Jobs implements [Jobs].
func (c *ClientJobs) Jobs(ctx context.Context, pipeline string) iter.Seq2[history.Job, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.ListJobsResponse], error) {
		return c.jobs.ListJobs(ctx, &dvxv1.ListJobsRequest{Pipeline: pipeline})
	}
	return messages(ctx, open, func(m *dvxv1.ListJobsResponse) (history.Job, error) { return jobFrom(m.GetJob()) })
}

// Job implements [Jobs].
func (c *ClientJobs) Job(ctx context.Context, id string) (history.Job, error) {
	resp, err := c.jobs.GetJob(ctx, &dvxv1.GetJobRequest{Id: id})
	if err != nil {
		return history.Job{}, err
	}
	return jobFrom(resp.GetJob())
}

func jobFrom(m *dvxv1.JobInfo) (history.Job, error) {
	var j history.Job
	if err := json.Unmarshal(m.GetJson(), &j); err != nil {
		return j, fmt.Errorf("job from the daemon: %w", err)
	}
	return j, nil
}

// Datums implements [Jobs].
func (c *ClientJobs) Datums(ctx context.Context, id history.JobID) iter.Seq2[DatumState, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.ListDatumsResponse], error) {
		return c.jobs.ListDatums(ctx, &dvxv1.ListDatumsRequest{Job: id.String()})
	}
	return messages(ctx, open, func(m *dvxv1.ListDatumsResponse) (DatumState, error) {
		var d DatumState
		if err := json.Unmarshal(m.GetDatum().GetJson(), &d); err != nil {
			return d, fmt.Errorf("datum from the daemon: %w", err)
		}
		return d, nil
	})
}

// messages yields what a stream of the server says.
func messages[M, T any](ctx context.Context, open func(context.Context) (grpc.ServerStreamingClient[M], error), read func(*M) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := open(ctx)
		if err != nil {
			yield(none, err)
			return
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(none, err)
				return
			}
			v, err := read(m)
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}
