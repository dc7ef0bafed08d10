package rpc

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Steering is what [Jobs] can do besides if an engine runs behind them.
type Steering interface {
	// Cancel ends a job that is under way, else it fails with fs.ErrNotExist. The
	// principal of ctx is recorded with the reason. With cascade the jobs under way
	// of pipelines that depend on it end too.
	Cancel(ctx context.Context, id history.JobID, reason string, cascade bool) error

	// CancelDatums ends datums of a job that is under way, which count as failed
	// then; else it fails with fs.ErrNotExist, and with fs.ErrInvalid if one is
	// over. The principal of ctx is recorded with the reason.
	CancelDatums(ctx context.Context, id history.JobID, datums []string, reason string) error

	// Rerun evaluates the heads of a job once more: datums without a result are
	// tried again. It fails with fs.ErrInvalid if the job is under way, or newer
	// heads have overtaken it. only are the datums that are tried again, none: all;
	// each must be one of the job's (else fs.ErrNotExist) without a result.
	Rerun(ctx context.Context, id history.JobID, only []string) error
}

// errNoEngine is the answer where nothing can be steered.
var errNoEngine = fmt.Errorf("no engine runs here: ask a daemon that runs pipelines: %w", fs.ErrInvalid)

// steered is LocalJobs with the engine that runs them.
type steered struct {
	*LocalJobs
	engine *pipeline.Controller
}

var _ Steering = steered{}

// Steer returns the jobs with the engine that runs them.
func (l *LocalJobs) Steer(c *pipeline.Controller) Jobs { return steered{l, c} }

// Cancel implements [Steering].
func (s steered) Cancel(ctx context.Context, id history.JobID, reason string, cascade bool) error {
	who, err := auth.From(ctx)
	if err != nil {
		return err
	}
	return s.engine.Cancel(ctx, engine.Cancel{Job: id, By: who.Name, Reason: reason, Cascade: cascade})
}

// CancelDatums implements [Steering].
func (s steered) CancelDatums(ctx context.Context, id history.JobID, datums []string, reason string) error {
	who, err := auth.From(ctx)
	if err != nil {
		return err
	}
	if len(datums) == 0 {
		return fmt.Errorf("cancel datums of job %s: none is named: %w", id.Short(), fs.ErrInvalid)
	}
	return s.engine.Cancel(ctx, engine.Cancel{Job: id, Datums: datums, By: who.Name, Reason: reason})
}

// Rerun implements [Steering].
func (s steered) Rerun(ctx context.Context, id history.JobID, only []string) error {
	return s.engine.Rerun(ctx, id, only)
}

// steering finds a job that the caller may see and steer.
func (j *jobService) steering(ctx context.Context, id string) (Steering, history.JobID, error) {
	job, err := j.s.job(ctx, id)
	if err != nil {
		return nil, job.ID, err
	}
	if err := j.s.allow(ctx, auth.WritePipeline, auth.Resource{Repo: job.Pipeline, Branch: job.Branch}); err != nil {
		return nil, job.ID, err
	}
	s, ok := j.s.opts.Jobs.(Steering)
	if !ok {
		return nil, job.ID, errNoEngine
	}
	return s, job.ID, nil
}

// CancelJob implements dvxv1.JobServiceServer.
func (j *jobService) CancelJob(ctx context.Context, req *dvxv1.CancelJobRequest) (*dvxv1.CancelJobResponse, error) {
	s, id, err := j.steering(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if len(req.GetDatums()) > 0 {
		if req.GetCascade() {
			return nil, fmt.Errorf("cancel datums of job %s: only the end of a whole job cascades: %w", id.Short(), fs.ErrInvalid)
		}
		return &dvxv1.CancelJobResponse{}, s.CancelDatums(ctx, id, req.GetDatums(), req.GetReason())
	}
	if req.GetCascade() { // whose pipelines follow is the engine's to know
		if err := j.s.allow(ctx, auth.WritePipeline, auth.Resource{}); err != nil {
			return nil, fmt.Errorf("cancel what follows too: %w", err)
		}
	}
	return &dvxv1.CancelJobResponse{}, s.Cancel(ctx, id, req.GetReason(), req.GetCascade())
}

// RerunJob implements dvxv1.JobServiceServer.
func (j *jobService) RerunJob(ctx context.Context, req *dvxv1.RerunJobRequest) (*dvxv1.RerunJobResponse, error) {
	s, id, err := j.steering(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &dvxv1.RerunJobResponse{}, s.Rerun(ctx, id, req.GetDatums())
}

var _ Steering = (*ClientJobs)(nil)

// Cancel implements [Steering].
func (c *ClientJobs) Cancel(ctx context.Context, id history.JobID, reason string, cascade bool) error {
	_, err := c.jobs.CancelJob(ctx, &dvxv1.CancelJobRequest{Id: id.String(), Reason: reason, Cascade: cascade})
	return err
}

// CancelDatums implements [Steering].
func (c *ClientJobs) CancelDatums(ctx context.Context, id history.JobID, datums []string, reason string) error {
	if len(datums) == 0 { // which would be the whole job
		return fmt.Errorf("cancel datums of job %s: none is named: %w", id.Short(), fs.ErrInvalid)
	}
	_, err := c.jobs.CancelJob(ctx, &dvxv1.CancelJobRequest{Id: id.String(), Reason: reason, Datums: datums})
	return err
}

// Rerun implements [Steering].
func (c *ClientJobs) Rerun(ctx context.Context, id history.JobID, only []string) error {
	_, err := c.jobs.RerunJob(ctx, &dvxv1.RerunJobRequest{Id: id.String(), Datums: only})
	return err
}
