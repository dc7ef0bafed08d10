package journal

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"
)

// Mem is a journal in memory, which ends with it. Its methods do what those of
// Journal do.
type Mem struct {
	mu      sync.Mutex
	records []Record // above trimmed, without gaps
	trimmed Seq
	closed  bool
}

// NewMem returns an empty journal.
func NewMem() *Mem { return &Mem{} }

// Append adds records and returns the number of the last one.
func (m *Mem) Append(ctx context.Context, records [][]byte) (last Seq, err error) {
	if err := checkRecords(ctx, records); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, fmt.Errorf("append to journal: %w", fs.ErrClosed)
	}
	for _, data := range records {
		m.records = append(m.records, Record{m.high() + 1, slices.Clone(data)})
	}
	return m.high(), nil
}

// high returns the last number given.
func (m *Mem) high() Seq { return m.trimmed + Seq(len(m.records)) }

// Replay yields the records in order, as they are when it is called.
func (m *Mem) Replay(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		m.mu.Lock()
		records, closed := slices.Clone(m.records), m.closed
		m.mu.Unlock()
		if closed {
			yield(Record{}, fmt.Errorf("replay journal: %w", fs.ErrClosed))
			return
		}
		for _, r := range records {
			if err := ctx.Err(); err != nil {
				yield(Record{}, fmt.Errorf("replay journal: %w", err))
				return
			}
			if !yield(Record{r.Seq, slices.Clone(r.Data)}, nil) {
				return
			}
		}
	}
}

// Trim drops the records up to and including upTo.
func (m *Mem) Trim(ctx context.Context, upTo Seq) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return fmt.Errorf("trim journal: %w", fs.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("trim journal: %w", ctx.Err())
	case upTo > m.high():
		return fmt.Errorf("trim journal: up to %d, the last is %d: %w", upTo, m.high(), fs.ErrInvalid)
	case upTo > m.trimmed:
		m.records = slices.Clone(m.records[upTo-m.trimmed:])
		m.trimmed = upTo
	}
	return nil
}

// Close ends the journal; later calls fail with fs.ErrClosed.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
