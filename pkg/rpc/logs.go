package rpc

import (
	"context"
	"iter"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// LogQuery says which logs of a job are wanted.
type LogQuery struct {
	Job     history.JobID
	Datum   string // identity; empty: all
	Attempt int    // 0: all; the log of a skipped datum is that of the run whose result it shares
	Grep    string // only lines that match this regular expression; empty: all
	Follow  bool   // go on until the job is over
}

// LogPiece is whole lines of what one attempt printed. A line of more than 1 MiB
// comes in pieces.
type LogPiece struct {
	Job     history.JobID
	Datum   string
	Attempt int // 0: of a run before the job
	Data    []byte
}

// logService serves what user code printed.
type logService struct {
	dvxv1.UnimplementedLogServiceServer
	s *Server
}

// ReadLogs implements dvxv1.LogServiceServer.
func (l *logService) ReadLogs(req *dvxv1.ReadLogsRequest, stream grpc.ServerStreamingServer[dvxv1.ReadLogsResponse]) error {
	ctx := stream.Context()
	id := req.GetJob()
	if id == "" {
		newest, err := l.newest(ctx, req.GetPipeline())
		if err != nil {
			return err
		}
		id = newest
	}
	job, err := l.s.job(ctx, id)
	if err != nil {
		return err
	}
	q := LogQuery{Job: job.ID, Datum: req.GetDatum(), Attempt: int(req.GetAttempt()), Grep: req.GetGrep(), Follow: req.GetFollow()}
	for p, err := range l.s.opts.Jobs.Logs(ctx, q) {
		if err != nil {
			return err
		}
		for len(p.Data) > 0 {
			n := min(len(p.Data), pieceSize)
			m := &dvxv1.ReadLogsResponse{Job: job.ID.String(), Datum: p.Datum, Attempt: int32(min(p.Attempt, 1<<30)), Data: p.Data[:n]}
			if err := stream.Send(m); err != nil {
				return err
			}
			p.Data = p.Data[n:]
		}
	}
	return nil
}

// newest returns the ID of the newest job of a pipeline that the caller may see.
func (l *logService) newest(ctx context.Context, name string) (string, error) {
	if err := l.s.allow(ctx, auth.ReadStore, auth.Resource{}); err != nil {
		return "", err
	}
	for job, err := range l.s.opts.Jobs.Jobs(ctx, name) {
		if err != nil {
			return "", err
		}
		if l.s.allow(ctx, auth.ReadPipeline, auth.Resource{Repo: job.Pipeline, Branch: job.Branch}) == nil {
			return job.ID.String(), nil
		}
	}
	return "", noJob(name)
}

// Logs implements [Jobs].
func (c *ClientJobs) Logs(ctx context.Context, q LogQuery) iter.Seq2[LogPiece, error] {
	open := func(ctx context.Context) (grpc.ServerStreamingClient[dvxv1.ReadLogsResponse], error) {
		return c.logs.ReadLogs(ctx, &dvxv1.ReadLogsRequest{
			Job: q.Job.String(), Datum: q.Datum, Attempt: int32(min(q.Attempt, 1<<30)), Grep: q.Grep, Follow: q.Follow,
		})
	}
	return messages(ctx, open, func(m *dvxv1.ReadLogsResponse) (LogPiece, error) {
		return LogPiece{Job: q.Job, Datum: m.GetDatum(), Attempt: int(m.GetAttempt()), Data: m.GetData()}, nil
	})
}
