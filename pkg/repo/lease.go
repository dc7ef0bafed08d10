package repo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
)

const (
	// LeaseRenew is how often a session at work writes its object again: a small
	// part of the time after which collection takes it for dead.
	LeaseRenew = time.Hour

	// SessionAgeMax is the age at which a session is doomed though it renews its
	// lease: while it lives nothing younger than its beginning is collected.
	SessionAgeMax = 7 * 24 * time.Hour
)

// lease is a session's sign of life. It decides how soon garbage goes, never
// whether what is published is safe: that is the floor's.
type lease struct {
	key   string
	begun time.Time

	mu      sync.Mutex
	renewed time.Time
}

// keep renews the lease if it is time, and fails with ErrDoomed for a session
// that is too old.
func (l *lease) keep(ctx context.Context, d *Direct) error {
	now := d.o.Now()
	if age := now.Sub(l.begun); age > SessionAgeMax {
		return fmt.Errorf("the session began %v ago, and collection waits for it: %w", age.Round(time.Hour), ErrDoomed)
	}
	l.mu.Lock()
	due := now.Sub(l.renewed) >= LeaseRenew
	if due {
		l.renewed = now // one caller sees to it
	}
	l.mu.Unlock()
	if !due {
		return nil
	}
	if _, err := d.objects.Put(ctx, l.key, objstore.Bytes(nil), objstore.Condition{}); err != nil {
		return fmt.Errorf("renew the lease of a session: %w", err)
	}
	return nil
}
