package rpc

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Jobs answers what ran and what runs: an engine, or a store's history, or a
// daemon reached by a [Client]. It may be used concurrently.
type Jobs interface {
	// Pipelines returns every pipeline of every branch with its newest job.
	Pipelines(ctx context.Context) ([]PipelineState, error)

	// Jobs yields the jobs of a pipeline, of all if the name is empty, newest first.
	Jobs(ctx context.Context, name string) iter.Seq2[history.Job, error]

	// Job returns a job by its ID or a unique prefix of at least 6 digits.
	Job(ctx context.Context, id string) (history.Job, error)

	// Datums yields the datums of a job in order of identity.
	Datums(ctx context.Context, id history.JobID) iter.Seq2[DatumState, error]

	// Logs yields what user code printed in a job, see [LogQuery]. It fails with
	// fs.ErrNotExist if the job has no such datum.
	Logs(ctx context.Context, q LogQuery) iter.Seq2[LogPiece, error]
}

// PipelineState is a pipeline on a branch and how it stands.
type PipelineState struct {
	Pipeline string         `json:"pipeline"`
	Branch   string         `json:"branch"`
	Spec     commit.ID      `json:"spec"`              // commit that holds the spec
	Source   []byte         `json:"-"`                 // the spec's canonical JSON
	Output   commit.ID      `json:"output,omitzero"`   // head of the output branch
	Job      history.JobID  `json:"job,omitzero"`      // the newest
	State    string         `json:"state"`             // of that job, or why there is none
	Problem  string         `json:"problem,omitempty"` // why it can't run
	Inputs   []commit.Input `json:"inputs,omitempty"`  // what it reads, and where that is; in order of the spec
}

// DatumState is a datum of a job.
type DatumState struct {
	Job history.JobID `json:"job"`
	pipeline.DatumInfo
}

// pipelineService serves the pipelines.
type pipelineService struct {
	dvxv1.UnimplementedPipelineServiceServer
	s *Server
}

// ListPipelines implements dvxv1.PipelineServiceServer.
func (p *pipelineService) ListPipelines(ctx context.Context, _ *dvxv1.ListPipelinesRequest) (*dvxv1.ListPipelinesResponse, error) {
	list, err := p.visible(ctx)
	if err != nil {
		return nil, err
	}
	resp := &dvxv1.ListPipelinesResponse{}
	for _, st := range list {
		resp.Pipelines = append(resp.Pipelines, pipelineTo(st))
	}
	return resp, nil
}

// visible returns the pipelines that the caller may see.
func (p *pipelineService) visible(ctx context.Context) ([]PipelineState, error) {
	if err := p.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return nil, err
	}
	all, err := p.s.opts.Jobs.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	var list []PipelineState
	for _, st := range all {
		if p.s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: st.Pipeline, Branch: st.Branch}) == nil {
			list = append(list, st)
		}
	}
	return list, nil
}

// GetPipeline implements dvxv1.PipelineServiceServer.
func (p *pipelineService) GetPipeline(ctx context.Context, req *dvxv1.GetPipelineRequest) (*dvxv1.GetPipelineResponse, error) {
	list, err := p.visible(ctx)
	if err != nil {
		return nil, err
	}
	branch := req.GetBranch()
	if branch == "" {
		branch = "main"
	}
	for _, st := range list {
		if st.Pipeline == req.GetPipeline() && st.Branch == branch {
			return &dvxv1.GetPipelineResponse{Pipeline: pipelineTo(st)}, nil
		}
	}
	return nil, noPipeline(req.GetPipeline(), branch)
}

func pipelineTo(st PipelineState) *dvxv1.PipelineInfo {
	m := &dvxv1.PipelineInfo{
		Pipeline: st.Pipeline, Branch: st.Branch, SpecCommit: idBytes(st.Spec), Spec: st.Source,
		Output: idBytes(st.Output), State: st.State, Problem: st.Problem,
	}
	if !st.Job.IsZero() {
		m.Job = st.Job.String()
	}
	for _, in := range st.Inputs {
		m.Inputs = append(m.Inputs, &dvxv1.PipelineInput{Name: in.Name, Repo: in.Repo, Branch: in.Branch, Commit: idBytes(in.Commit)})
	}
	return m
}

// jobService serves the jobs.
type jobService struct {
	dvxv1.UnimplementedJobServiceServer
	s *Server
}

// ListJobs implements dvxv1.JobServiceServer.
func (j *jobService) ListJobs(req *dvxv1.ListJobsRequest, stream grpc.ServerStreamingServer[dvxv1.ListJobsResponse]) error {
	ctx := stream.Context()
	if err := j.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return err
	}
	sent := uint32(0)
	jobs := j.s.opts.Jobs.Jobs(ctx, req.GetPipeline())
	if at := req.GetAsOf(); at != nil {
		if j.s.opts.Past == nil {
			return errNoPast
		}
		jobs = j.s.opts.Past.JobsAt(ctx, req.GetPipeline(), at.AsTime())
	}
	for job, err := range jobs {
		if err != nil {
			return err
		}
		if j.s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: job.Pipeline, Branch: job.Branch}) != nil {
			continue
		}
		m, err := jobTo(job)
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.ListJobsResponse{Job: m}); err != nil {
			return err
		}
		if sent++; sent == req.GetLimit() {
			return nil
		}
	}
	return nil
}

// job finds a job that the caller may see.
func (s *Server) job(ctx context.Context, id string) (history.Job, error) {
	if err := s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return history.Job{}, err
	}
	job, err := s.opts.Jobs.Job(ctx, id)
	if err != nil {
		return job, err
	}
	return job, s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: job.Pipeline, Branch: job.Branch})
}

// GetJob implements dvxv1.JobServiceServer.
func (j *jobService) GetJob(ctx context.Context, req *dvxv1.GetJobRequest) (*dvxv1.GetJobResponse, error) {
	job, err := j.s.job(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	m, err := jobTo(job)
	return &dvxv1.GetJobResponse{Job: m}, err
}

func jobTo(job history.Job) (*dvxv1.JobInfo, error) {
	b, err := commit.CanonicalJSON(job)
	if err != nil {
		return nil, err
	}
	m := &dvxv1.JobInfo{
		Json: b, Id: job.ID.String(), Pipeline: job.Pipeline, Branch: job.Branch, State: string(job.State),
		Created: timestamppb.New(job.Created), Datums: job.Counts.Total, Ran: job.Counts.Ran,
		Skipped: job.Counts.Hit, Failed: job.Counts.Failed, Output: idBytes(job.Output), Reason: job.Reason,
	}
	if !job.Ended.IsZero() {
		m.Ended = timestamppb.New(job.Ended)
	}
	return m, nil
}

// ListDatums implements dvxv1.JobServiceServer.
func (j *jobService) ListDatums(req *dvxv1.ListDatumsRequest, stream grpc.ServerStreamingServer[dvxv1.ListDatumsResponse]) error {
	ctx := stream.Context()
	job, err := j.s.job(ctx, req.GetJob())
	if err != nil {
		return err
	}
	for d, err := range j.s.opts.Jobs.Datums(ctx, job.ID) {
		if err != nil {
			return err
		}
		b, err := commit.CanonicalJSON(d)
		if err != nil {
			return err
		}
		m := &dvxv1.DatumInfo{
			Json: b, Identity: d.Identity, Key: d.Key.String(), State: d.State, Attempts: int32(min(d.Attempts, 1<<30)), Reason: d.Reason,
		}
		if err := stream.Send(&dvxv1.ListDatumsResponse{Datum: m}); err != nil {
			return err
		}
	}
	return nil
}
