package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
)

// noteTextMax is how long the text of an event of a verification is, in bytes.
const noteTextMax = 1000

// note puts into the history how the work of a sample that was done again
// compared: an event for each pipeline, and one for each datum that did not give
// what is remembered.
func (v *Verifier) note(ctx context.Context, all []Verified) error {
	if v.Now == nil || len(all) == 0 {
		return nil
	}
	by := "somebody"
	if who, err := auth.From(ctx); err == nil {
		by = who.Name
	}
	slices.SortFunc(all, func(a, b Verified) int {
		return cmp.Or(strings.Compare(a.Pipeline, b.Pipeline), strings.Compare(a.Branch, b.Branch), strings.Compare(a.Datum, b.Datum))
	})
	now := commit.Stamp(v.Now())
	var records []history.Record
	add := func(e history.Event) {
		e.Time, e.Text = now, strings.ToValidUTF8(e.Text[:min(len(e.Text), noteTextMax)], "")
		records = append(records, history.Record{Event: &e})
	}
	for len(all) > 0 {
		first := all[0]
		n := slices.IndexFunc(all, func(r Verified) bool { return r.Pipeline != first.Pipeline || r.Branch != first.Branch })
		if n < 0 {
			n = len(all)
		}
		bad := 0
		for _, r := range all[:n] {
			switch r.State {
			case OtherResult:
				add(history.Event{Kind: history.NotReproducible, Job: r.job, Key: r.Key, Text: fmt.Sprintf("datum %s: done again, it gave another output: %s", r.Datum, strings.Join(r.Details, ", "))})
			case NoResult:
				add(history.Event{Kind: history.NotReproducible, Job: r.job, Key: r.Key, Text: fmt.Sprintf("datum %s: done again, it failed: %s", r.Datum, strings.Join(r.Details, ", "))})
			default:
				continue
			}
			bad++
		}
		add(history.Event{Kind: history.Verification, Job: first.job, Text: fmt.Sprintf("%d datums were done again by %s: %d gave what is remembered, %d did not", n, by, n-bad, bad)})
		all = all[n:]
	}
	return v.publish(ctx, records)
}

// publish adds records to the history.
func (v *Verifier) publish(ctx context.Context, records []history.Record) error {
	b, err := history.Encode(records)
	if err != nil {
		return err
	}
	key, err := putSegment(ctx, v.Store, "history", b)
	if err != nil {
		return fmt.Errorf("note the verification: %w", err)
	}
	s, err := v.Store.Session(ctx, repo.Scope{Repo: sessionRepo})
	if err != nil {
		return fmt.Errorf("note the verification: %w", err)
	}
	defer func() { _ = s.Close() }()
	op, err := v.Store.NewOp()
	if err != nil {
		return err
	}
	if _, err = v.Store.PublishWith(ctx, s, repo.Txn{Op: op}, repo.Attachments{AddHistory: []string{key}}); err != nil {
		return fmt.Errorf("note the verification: %w", err)
	}
	return nil
}
