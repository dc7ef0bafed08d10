package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// Cancel implements Steering: it fails with what it was asked for.
func (noJobs) Cancel(ctx context.Context, id history.JobID, reason string, cascade bool) error {
	who, err := auth.From(ctx)
	return errors.Join(err, fmt.Errorf("cancel %s by %s because %s, cascade %v: %w", id.Short(), who.Name, reason, cascade, fs.ErrNotExist))
}

// CancelDatums implements Steering.
func (noJobs) CancelDatums(_ context.Context, id history.JobID, datums []string, reason string) error {
	return fmt.Errorf("cancel %s of job %s because %s: %w", strings.Join(datums, " and "), id.Short(), reason, fs.ErrInvalid)
}

// Rerun implements Steering.
func (noJobs) Rerun(_ context.Context, id history.JobID, only []string) error {
	return fmt.Errorf("rerun %s of job %s: %w", strings.Join(only, " and "), id.Short(), fs.ErrInvalid)
}

// readers lets everybody read, and only the owner do anything else.
type readers struct{}

func (readers) Authorize(ctx context.Context, p auth.Principal, a auth.Action, r auth.Resource) error {
	if a == auth.ReadStore || a == auth.ReadPipeline {
		return nil
	}
	return auth.OwnerOnly{}.Authorize(ctx, p, a, r)
}

// TestSteering: who may see a job may not end it for that; who may is named,
// with the reason.
func TestSteering(t *testing.T) {
	f := newFixture(t, readers{})
	id := oneJob().ID
	jobs := f.client(t, f.owner).Jobs()
	err := jobs.Cancel(t.Context(), id, "it is wrong", true)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "by owner because it is wrong, cascade true") {
		t.Errorf("cancel: %v", err)
	}
	if err := jobs.Rerun(t.Context(), id, []string{"a", "b"}); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "a and b of job "+id.Short()) {
		t.Errorf("rerun: %v", err)
	}
	err = jobs.CancelDatums(t.Context(), id, []string{"a", "b"}, "they are wrong")
	if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "a and b of job "+id.Short()+" because they are wrong") {
		t.Errorf("cancel datums: %v", err)
	}
	if err := jobs.CancelDatums(t.Context(), id, nil, ""); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "none is named") {
		t.Errorf("cancel no datums: %v", err)
	}
	f.auditing.Lock()
	if len(f.audited) != 3 || f.audited[0].Operation != "CancelJob" || f.audited[0].Principal != "owner" || f.audited[1].Operation != "RerunJob" ||
		f.audited[2].Operation != "CancelJob" || f.audited[2].Resource != f.audited[1].Resource || f.audited[1].Resource != "job "+id.String()+", datum a, datum b" {
		t.Errorf("audited: %+v", f.audited)
	}
	f.auditing.Unlock()
	eve := f.client(t, f.eve).Jobs()
	if _, err := eve.Job(t.Context(), id.String()); err != nil {
		t.Fatal(err)
	}
	if err := eve.Cancel(t.Context(), id, "", false); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("cancel without the right: %v", err)
	}
	if err := eve.Rerun(t.Context(), id, nil); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("rerun without the right: %v", err)
	}
}
