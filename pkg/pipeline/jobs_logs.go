package pipeline

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// ReadLog returns what an attempt printed that is over.
func (j *Jobs) ReadLog(ctx context.Context, a history.Attempt) (io.ReadSeeker, error) {
	if a.Log.Size == 0 {
		return strings.NewReader(""), nil
	}
	r, err := j.reader(ctx)
	if err != nil {
		return nil, err
	}
	f, err := chunk.OpenContent(ctx, r, a.Log)
	if err != nil {
		return nil, fmt.Errorf("log of datum %s: %w", a.Identity, err)
	}
	return f, nil
}

// reader reads what is published and, where an engine runs in this process,
// what it has not published yet.
func (j *Jobs) reader(ctx context.Context) (chunk.Reader, error) {
	published, err := j.store.ReadAny(ctx)
	if err != nil || j.mine == nil {
		return published, err
	}
	return eitherReader{j.mine, published}, nil
}

// eitherReader looks in a session first, as long as there is one: that may end
// at any time, and what it had is published then.
type eitherReader struct {
	session   func() chunk.Reader
	published chunk.Reader
}

// Get implements chunk.Reader.
func (r eitherReader) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if s := r.session(); s != nil {
		if b, err := s.Get(ctx, kind, id); err == nil {
			return b, nil
		}
	}
	return r.published.Get(ctx, kind, id)
}

// Running returns the attempts of a job that are under way, by identity, where
// an engine runs in this process.
func (j *Jobs) Running(id engine.JobID) []engine.DatumStatus {
	var out []engine.DatumStatus
	j.live(func(s *engine.State) { out = s.Running(id) })
	return out
}

// Printed fills b with what an attempt under way has printed from byte from on,
// and returns how much that was: 0 if there is no more yet. It fails with
// fs.ErrNotExist if the attempt is over, or runs where that can't be seen.
func (j *Jobs) Printed(d engine.DatumStatus, from int64, b []byte) (int, error) {
	if j.tells == nil {
		return 0, fmt.Errorf("datum %s: the runner does not tell what programs print: %w", d.Identity, fs.ErrNotExist)
	}
	return j.tells.Printed(d.Key, d.Attempts, from, b)
}
