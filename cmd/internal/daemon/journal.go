package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/journal"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// durable is the engine's journal on disk.
type durable struct {
	j    *journal.Journal
	last atomic.Uint64 // newest sequence number
}

var _ pipeline.Journal = (*durable)(nil)

// entry is a pipeline.Entry as the journal keeps it.
type entry struct {
	Record   []byte          `json:"record,omitempty"` // as memo segments hold it
	Attempt  history.Attempt `json:"attempt"`
	Segments []string        `json:"segments,omitempty"`
}

// Append implements pipeline.Journal.
func (d *durable) Append(ctx context.Context, entries []pipeline.Entry) error {
	records := make([][]byte, 0, len(entries))
	for _, e := range entries {
		out := entry{Attempt: e.Attempt, Segments: e.Segments}
		var err error
		if e.Record != nil {
			if out.Record, err = memo.EncodeRecord(*e.Record); err != nil {
				return err
			}
		}
		b, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		records = append(records, b)
	}
	last, err := d.j.Append(ctx, records)
	if err != nil {
		return err
	}
	for {
		old := d.last.Load()
		if uint64(last) <= old || d.last.CompareAndSwap(old, uint64(last)) {
			return nil
		}
	}
}

// Mark implements pipeline.Journal.
func (d *durable) Mark() uint64 { return d.last.Load() }

// Drop implements pipeline.Journal.
func (d *durable) Drop(ctx context.Context, mark uint64) error {
	return d.j.Trim(ctx, journal.Seq(mark))
}

// Replay implements pipeline.Journal.
func (d *durable) Replay(ctx context.Context, visit func(pipeline.Entry) error) error {
	for r, err := range d.j.Replay(ctx) {
		if err != nil {
			return err
		}
		d.last.Store(max(d.last.Load(), uint64(r.Seq)))
		var in entry
		if err := json.Unmarshal(r.Data, &in); err != nil {
			return fmt.Errorf("journal record %d: %w: %w", r.Seq, chunk.ErrCorrupt, err)
		}
		e := pipeline.Entry{Attempt: in.Attempt, Segments: in.Segments}
		if in.Record != nil {
			rec, err := memo.DecodeRecord(in.Record)
			if err != nil {
				return fmt.Errorf("journal record %d: %w", r.Seq, err)
			}
			e.Record = &rec
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return nil
}
