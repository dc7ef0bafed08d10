package pipeline

import (
	"context"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// Entry is a result that was accepted and is not in the root yet.
type Entry struct {
	Record   *memo.Record    // of a success; nil otherwise
	Attempt  history.Attempt // what history is to say of it
	Segments []string        // index segments that no root nor an earlier entry names, with chunks of this entry and those after it
}

// Journal keeps accepted results until a root swap publishes them, so that a
// daemon that dies repeats nothing. Losing it costs what was not published,
// never more. It may be used concurrently.
type Journal interface {
	// Append keeps entries. They survive a crash once it has returned. A failure
	// is final: the process ends and replays what the journal has.
	Append(ctx context.Context, entries []Entry) error

	// Mark returns a position after everything that was appended so far.
	Mark() uint64

	// Drop forgets what was appended before a position: it is published.
	Drop(ctx context.Context, mark uint64) error

	// Replay visits what was kept and not dropped, in order, until visit fails.
	Replay(ctx context.Context, visit func(Entry) error) error
}

// MemoryJournal is a Journal that ends with the process: for an engine that
// runs as part of a command. The zero value is ready to use.
type MemoryJournal struct {
	mu      sync.Mutex
	first   uint64 // position of entries[0]
	entries []Entry
}

// Append implements [Journal].
func (m *MemoryJournal) Append(ctx context.Context, entries []Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, entries...)
	return ctx.Err()
}

// Mark implements [Journal].
func (m *MemoryJournal) Mark() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first + uint64(len(m.entries))
}

// Drop implements [Journal].
func (m *MemoryJournal) Drop(_ context.Context, mark uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark > m.first {
		n := min(mark-m.first, uint64(len(m.entries)))
		m.entries = slices.Clone(m.entries[n:])
		m.first += n
	}
	return nil
}

// Replay implements [Journal].
func (m *MemoryJournal) Replay(ctx context.Context, visit func(Entry) error) error {
	m.mu.Lock()
	entries := slices.Clone(m.entries)
	m.mu.Unlock()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return nil
}
