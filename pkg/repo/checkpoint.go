package repo

import (
	"context"
	"sync"
	"time"
)

// checkpointAge is after how long a session has the root name what it has
// stored, however little that is.
const checkpointAge = 15 * time.Minute

// checkpoints count what a session was given since the last one.
type checkpoints struct {
	mu     sync.Mutex
	given  int64
	last   time.Time
	saving bool
}

// due counts n bytes more, and reports whether it is time for the caller to
// make a checkpoint. end must follow.
func (c *checkpoints) due(n int, most int64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given += int64(n)
	if c.saving || c.given < most && now.Sub(c.last) < checkpointAge {
		return false
	}
	c.saving, c.given, c.last = true, 0, now
	return true
}

func (c *checkpoints) end() {
	c.mu.Lock()
	c.saving = false
	c.mu.Unlock()
}

// checkpoint has the root name what the session has stored so far, if that is
// much or long ago. No ref leads there: what is named is only found by who is
// about to store it again, until collection takes it. What was put refers to
// what was put before, so the index stays closed. Whatever goes wrong, the
// commit can still do without, and meets the same error if it is one that
// lasts.
func (s *session) checkpoint(ctx context.Context, n int) {
	if !s.saves.due(n, s.d.o.CheckpointBytes, s.d.o.Now()) {
		return
	}
	defer s.saves.end()
	if err := s.Flush(ctx); err != nil {
		return
	}
	if len(s.Segments()) == 0 { // all of it was there already
		return
	}
	op, err := s.d.NewOp()
	if err != nil {
		return
	}
	_, _ = s.publish(ctx, Txn{Op: op}, Attachments{})
}
