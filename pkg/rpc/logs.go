package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"strings"
	"time"

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

// logPiece is how many bytes of lines are handed on at a time.
const logPiece = 64 << 10

// followPause is the least time between two looks at what has ended.
const followPause = 200 * time.Millisecond

// Logs implements [Jobs].
func (l *LocalJobs) Logs(ctx context.Context, q LogQuery) iter.Seq2[LogPiece, error] {
	return func(yield func(LogPiece, error) bool) {
		t := &logTeller{l: l, q: q, yield: yield, told: map[toldLog]bool{}}
		if err := t.run(ctx); err != nil && !errors.Is(err, errEnough) {
			yield(LogPiece{}, err)
		}
	}
}

// errEnough ends a telling whose listener has gone.
var errEnough = errors.New("nobody listens")

// logTeller tells the logs of a job.
type logTeller struct {
	l     *LocalJobs
	q     LogQuery
	match *regexp.Regexp
	yield func(LogPiece, error) bool
	told  map[toldLog]bool
	found bool
}

// toldLog names an attempt whose log was told.
type toldLog struct {
	datum   string
	attempt int
	started time.Time
}

func (t *logTeller) run(ctx context.Context) error {
	var err error
	if t.q.Grep != "" {
		if t.match, err = regexp.Compile(t.q.Grep); err != nil {
			return fmt.Errorf("search logs: %w: %w", err, fs.ErrInvalid)
		}
	}
	for seen := uint64(0); ; {
		if t.q.Follow {
			if seen, err = t.l.jobs.Watch(ctx, seen); err != nil {
				return err
			}
		}
		job, err := t.l.jobs.Get(ctx, t.q.Job.String())
		if err != nil {
			return err
		}
		if err := t.all(ctx); err != nil {
			return err
		}
		if !t.q.Follow || job.State.Final() {
			break
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !t.found && t.q.Datum != "" {
		return noDatum(t.q.Datum, t.q.Job)
	}
	return nil
}

// all tells every log that was not told yet.
func (t *logTeller) all(ctx context.Context) error {
	attempts, err := t.l.jobs.Attempts(ctx, t.q.Job)
	if err != nil {
		return err
	}
	of := map[string][]history.Attempt{}
	for _, a := range attempts {
		of[a.Identity] = append(of[a.Identity], a)
	}
	for d, err := range t.l.jobs.Datums(ctx, t.q.Job) {
		if err != nil {
			return err
		}
		if t.q.Datum != "" && t.q.Datum != d.Identity {
			continue
		}
		t.found = true
		tries := of[d.Identity]
		if tries == nil {
			tries = []history.Attempt{d.Last}
		}
		for _, a := range tries {
			a.Identity = d.Identity
			if err := t.one(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// one tells the log of an attempt.
func (t *logTeller) one(ctx context.Context, a history.Attempt) error {
	key := toldLog{a.Identity, a.Attempt, a.Started}
	if t.told[key] || a.Started.IsZero() || t.q.Attempt != 0 && a.Attempt != t.q.Attempt {
		return nil
	}
	t.told[key] = true
	r, err := t.l.jobs.ReadLog(ctx, a)
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(r, pieceSize)
	p := LogPiece{Job: t.q.Job, Datum: a.Identity, Attempt: a.Attempt}
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("log of datum %s: %w", a.Identity, err)
		}
		if t.match == nil || len(line) > 0 && t.match.Match([]byte(strings.TrimSuffix(string(line), "\n"))) {
			p.Data = append(p.Data, line...)
		}
		end := errors.Is(err, io.EOF)
		if len(p.Data) > 0 && (end || len(p.Data) >= logPiece) {
			if !t.yield(p, nil) {
				return errEnough
			}
			p.Data = nil
		}
		if end {
			return nil
		}
	}
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
