package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// noJobs has one job of one pipeline, with two datums.
type noJobs struct{}

func oneJob() history.Job {
	return history.Job{
		ID: history.JobID{1, 2, 3}, Pipeline: "count", Branch: "main", State: history.Done,
		Counts: history.Counts{Total: 2, Hit: 1, Ran: 1}, Created: time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC),
	}
}

func twoDatums() []DatumState {
	id := oneJob().ID
	return []DatumState{
		{Job: id, DatumInfo: pipeline.DatumInfo{Identity: "/a", Key: memo.Key{1}, State: "skipped"}},
		{Job: id, DatumInfo: pipeline.DatumInfo{
			Identity: "/b", Key: memo.Key{2}, State: "succeeded", Attempts: 1,
			Last: history.Attempt{Job: id, Identity: "/b", Attempt: 1, Outcome: "succeeded"},
		}},
	}
}

func (noJobs) Pipelines(context.Context) ([]PipelineState, error) {
	return []PipelineState{{Pipeline: "count", Branch: "main", Job: oneJob().ID, State: "done", Source: []byte("{}")}}, nil
}

func (noJobs) Jobs(_ context.Context, name string) iter.Seq2[history.Job, error] {
	return func(yield func(history.Job, error) bool) {
		if name == "" || name == "count" {
			yield(oneJob(), nil)
		}
	}
}

func (noJobs) Job(_ context.Context, id string) (history.Job, error) {
	if j := oneJob(); len(id) >= 6 && strings.HasPrefix(j.ID.String(), id) {
		return j, nil
	}
	return history.Job{}, fmt.Errorf("job %s: %w", id, fs.ErrNotExist)
}

func (noJobs) Datums(context.Context, history.JobID) iter.Seq2[DatumState, error] {
	return func(yield func(DatumState, error) bool) {
		for _, d := range twoDatums() {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (noJobs) Logs(_ context.Context, q LogQuery) iter.Seq2[LogPiece, error] {
	return func(yield func(LogPiece, error) bool) {
		for _, d := range twoDatums() {
			text := fmt.Sprintf("log of %s, %q, %v", d.Identity, q.Grep, q.Follow) + strings.Repeat(".", 3<<20)
			if (q.Datum == "" || q.Datum == d.Identity) && !yield(LogPiece{Job: q.Job, Datum: d.Identity, Attempt: q.Attempt, Data: []byte(text)}, nil) {
				return
			}
		}
		if q.Datum == "/none" {
			yield(LogPiece{}, noDatum(q.Datum, q.Job))
		}
	}
}

func TestJobsThroughDaemon(t *testing.T) {
	f := newFixture(t, auth.OwnerOnly{})
	ctx := t.Context()
	jobs := f.client(t, f.owner).Jobs()
	want, err := noJobs{}.Pipelines(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jobs.Pipelines(ctx); err != nil || !cmp.Equal(got, want) {
		t.Errorf("pipelines: %v\n%s", err, cmp.Diff(want, got))
	}
	for j, err := range jobs.Jobs(ctx, "count") {
		if err != nil || !cmp.Equal(j, oneJob()) {
			t.Errorf("jobs: %v\n%s", err, cmp.Diff(oneJob(), j))
		}
	}
	j, err := jobs.Job(ctx, "010203")
	if err != nil || j.ID != oneJob().ID {
		t.Fatalf("job by prefix: %v, %v", j, err)
	}
	if _, err := jobs.Job(ctx, "ffffff"); !strings.Contains(fmt.Sprint(err), "ffffff") {
		t.Errorf("missing job: %v", err)
	}
	var got []DatumState
	for d, err := range jobs.Datums(ctx, j.ID) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
		text := ""
		for p, err := range jobs.Logs(ctx, LogQuery{Job: j.ID, Datum: d.Identity, Attempt: 3, Grep: "x", Follow: true}) {
			if err != nil || p.Datum != d.Identity || p.Attempt != 3 || p.Job != j.ID {
				t.Fatalf("log of %s: piece of %s #%d, %v", d.Identity, p.Datum, p.Attempt, err)
			}
			text += string(p.Data)
		}
		if want := "log of " + d.Identity + `, "x", true`; len(text) != len(want)+3<<20 || !strings.HasPrefix(text, want) {
			t.Errorf("log of %s: %d bytes", d.Identity, len(text))
		}
	}
	if !cmp.Equal(got, twoDatums()) {
		t.Errorf("datums:\n%s", cmp.Diff(twoDatums(), got))
	}
	for _, err := range jobs.Logs(ctx, LogQuery{Job: j.ID, Datum: "/none"}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("log of a datum that is not there: %v", err)
		}
	}
}
