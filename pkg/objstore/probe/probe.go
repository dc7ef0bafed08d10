package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// ErrDefect is wrapped by every finding: the store works, but breaks a promise.
var ErrDefect = errors.New("the store cannot be trusted")

// Options of Run. ID is required.
type Options struct {
	// ID names this run: a component of a key, random so that no two runs on one
	// store meet.
	ID string
	// Racers is the number of concurrent writers; 0 means 8, which finds a store
	// that checks and writes in two steps, and is quick.
	Racers int
	// Rounds is the number of races of each kind; 0 means 8.
	Rounds int
}

// Damager is implemented by stores that send bodies over a network.
type Damager interface {
	// PutDamaged sends a body that is not the one its checksums were made of. It
	// succeeds only if the other end took it all the same.
	PutDamaged(ctx context.Context, key string) error
}

// prober is one run.
type prober struct {
	s      objstore.Store
	prefix string
	racers int
	rounds int

	mu   sync.Mutex
	keys map[string]bool // written, to be removed
}

// Run probes s. It returns nil if nothing is wrong, an error that wraps
// ErrDefect and names the broken promise, or whatever kept it from finding out.
func Run(ctx context.Context, s objstore.Store, o Options) error {
	prefix := "probe/" + o.ID
	if err := objstore.CheckKey(prefix + "/x"); err != nil || o.ID == "" {
		return fmt.Errorf("probe: bad ID %q: %w", o.ID, err)
	}
	p := &prober{s: s, prefix: prefix, racers: o.Racers, rounds: o.Rounds, keys: map[string]bool{}}
	if p.racers <= 0 {
		p.racers = 8
	}
	if p.rounds <= 0 {
		p.rounds = 8
	}
	err := p.run(ctx)
	if cerr := p.cleanUp(context.WithoutCancel(ctx)); cerr != nil {
		cerr = fmt.Errorf("remove the probe's objects under %s: %w", prefix, cerr)
		err = errors.Join(err, cerr)
	}
	if err != nil {
		return fmt.Errorf("probe the store: %w", err)
	}
	return nil
}

func (p *prober) run(ctx context.Context) error {
	checks := []struct {
		name  string
		check func(context.Context) error
	}{
		{"read after write", p.readAfterWrite},
		{"damage on the way", p.damage},
		{"create only if absent", p.ifAbsent},
		{"replace only a known version", p.ifVersion},
		{"ranges", p.ranges},
		{"list", p.list},
		{"race to create", p.raceIfAbsent},
		{"race to replace", p.raceIfVersion},
		{"read while replaced", p.readWhileReplaced},
		{"delete", p.deleteAll},
	}
	for _, c := range checks {
		if err := c.check(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func defect(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDefect, fmt.Sprintf(format, args...))
}

func (p *prober) key(name string) string {
	key := p.prefix + "/" + name
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[key] = true
	return key
}

func (p *prober) put(ctx context.Context, key, body string, c objstore.Condition) (objstore.Info, error) {
	return p.s.Put(ctx, key, objstore.Bytes([]byte(body)), c)
}

// want reads a key and compares it.
func (p *prober) want(ctx context.Context, key, body string) error {
	b, _, err := objstore.ReadAll(ctx, p.s, key, objstore.Range{}, 1<<20)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return defect("an object that was just written is not found")
	case err != nil:
		return err
	case string(b) != body:
		return defect("a read gave other bytes than the last write (%.40q, want %.40q)", b, body)
	}
	return nil
}

// wantAbsent checks that there is no such key; finding is what it means if there is.
func (p *prober) wantAbsent(ctx context.Context, key, finding string) error {
	_, err := p.s.Stat(ctx, key)
	switch {
	case err == nil:
		return defect("%s", finding)
	case errors.Is(err, objstore.ErrNotFound):
		return nil
	}
	return err
}

// refused checks that a Put failed with the precondition.
func refused(err error, what string) error {
	switch objstore.OutcomeOf(err) {
	case objstore.OutcomeOK:
		return defect("%s was accepted", what)
	case objstore.OutcomePrecondition:
		return nil
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

func (p *prober) cleanUp(ctx context.Context) error {
	var errs []error
	for key := range p.keys {
		errs = append(errs, p.s.Delete(ctx, key))
	}
	return errors.Join(errs...)
}
