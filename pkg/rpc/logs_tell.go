package rpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// logPiece is how many bytes of lines are handed on at a time.
const logPiece = 64 << 10

// followPause is the least time between two looks at what has ended, and
// between two at what running programs have printed.
const followPause = 200 * time.Millisecond

// Logs implements [Jobs].
func (l *LocalJobs) Logs(ctx context.Context, q LogQuery) iter.Seq2[LogPiece, error] {
	return func(yield func(LogPiece, error) bool) {
		t := &logTeller{l: l, q: q, yield: yield, told: map[toldLog]bool{}, partly: map[toldLog]int64{}}
		if err := t.run(ctx); err != nil && !errors.Is(err, errEnough) {
			yield(LogPiece{}, err)
		}
	}
}

// errEnough ends a telling whose listener has gone.
var errEnough = errors.New("nobody listens")

// logTeller tells the logs of a job.
type logTeller struct {
	l      *LocalJobs
	q      LogQuery
	match  *regexp.Regexp
	yield  func(LogPiece, error) bool
	told   map[toldLog]bool
	partly map[toldLog]int64 // bytes that were told of attempts under way, in whole lines; without started
	found  bool
	buf    []byte
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
	over := false
	for seen := uint64(0); !over; {
		if t.q.Follow {
			if seen, err = t.await(ctx, seen); err != nil {
				return err
			}
		}
		job, err := t.l.jobs.Get(ctx, t.q.Job.String())
		if err != nil {
			return err
		}
		over = !t.q.Follow || job.State.Final()
		if err := t.all(ctx); err != nil {
			return err
		}
		if err := t.running(); err != nil {
			return err
		}
		if over {
			break
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if !t.found && t.q.Datum != "" {
		return noDatum(t.q.Datum, t.q.Job)
	}
	return nil
}

// await returns once something may have ended, and tells meanwhile what
// programs print.
func (t *logTeller) await(ctx context.Context, seen uint64) (uint64, error) {
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(t.l.jobs.Running(t.q.Job)) > 0 {
			wait, cancel = context.WithTimeout(ctx, followPause)
		}
		now, err := t.l.jobs.Watch(wait, seen)
		late := wait.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return now, ctx.Err()
		case err == nil || !late:
			return now, err
		}
		if err := t.running(); err != nil {
			return now, err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(followPause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// all tells every log that was not told yet, of attempts that are over.
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

// one tells the log of an attempt that is over, less what was told of it while
// it was under way.
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
	part := toldLog{datum: a.Identity, attempt: a.Attempt}
	if from := min(t.partly[part], a.Log.Size); from > 0 {
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			return fmt.Errorf("log of datum %s: %w", a.Identity, err)
		}
	}
	delete(t.partly, part)
	return t.lines(r, LogPiece{Job: t.q.Job, Datum: a.Identity, Attempt: a.Attempt})
}

// lines tells what is in r, as far as it matches.
func (t *logTeller) lines(r io.Reader, p LogPiece) error {
	lines := bufio.NewReaderSize(r, pieceSize)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("log of datum %s: %w", p.Datum, err)
		}
		if t.match == nil || len(line) > 0 && t.match.Match(bytes.TrimSuffix(line, []byte("\n"))) {
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

// running tells the whole lines that attempts under way have printed since it
// was called last.
func (t *logTeller) running() error {
	for _, d := range t.l.jobs.Running(t.q.Job) {
		if t.q.Datum != "" && t.q.Datum != d.Identity || t.q.Attempt != 0 && t.q.Attempt != d.Attempts {
			continue
		}
		t.found = true
		if err := t.soFar(d); err != nil {
			return err
		}
	}
	return nil
}

// soFar tells the whole lines that an attempt under way has printed. A line
// that is longer than what is read at a time comes in pieces.
func (t *logTeller) soFar(d engine.DatumStatus) error {
	key := toldLog{datum: d.Identity, attempt: d.Attempts}
	if t.buf == nil {
		t.buf = make([]byte, logPiece)
	}
	for {
		n, err := t.l.jobs.Printed(d, t.partly[key], t.buf)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just ended, or runs elsewhere
		}
		if err != nil {
			return fmt.Errorf("log of datum %s: %w", d.Identity, err)
		}
		whole := t.buf[:n]
		if n < len(t.buf) {
			whole = t.buf[:bytes.LastIndexByte(t.buf[:n], '\n')+1]
		} else if i := bytes.LastIndexByte(whole, '\n'); i >= 0 {
			whole = t.buf[:i+1]
		}
		if len(whole) == 0 {
			return nil
		}
		t.partly[key] += int64(len(whole))
		if err := t.lines(bytes.NewReader(whole), LogPiece{Job: t.q.Job, Datum: d.Identity, Attempt: d.Attempts}); err != nil {
			return err
		}
	}
}
