package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/auth"
)

// errOvertaken says that a root is older than the one that the session builds on
// since: it can't be swapped any more, and tells nothing of the session's work.
var errOvertaken = errors.New("the session builds on a newer root")

// ground makes sure that the session's work can stand on base. It looks again
// only at what may have changed since the last time. It fails with errOvertaken
// if a read has moved the session on, past base.
func (p *publication) ground(ctx context.Context, base *loaded) error {
	if p.s.start < base.root.Floor {
		return fmt.Errorf("session started at root generation %d, the floor is %d: %w", p.s.start, base.root.Floor, ErrDoomed)
	}
	if err := p.s.follows(ctx, base); err != nil {
		return err
	}
	snap, err := p.s.d.snapshot(ctx, base)
	if err != nil {
		return err
	}
	if err := p.s.rebase(ctx, base, snap); err != nil {
		return err
	}
	keys := base.root.segmentKeys()
	if p.checked != nil && containsAll(keys, p.checked) && p.seen == base.root.Floor {
		return nil
	}
	if err := p.whole(ctx, base.root); err != nil {
		return err
	}
	who, err := auth.From(ctx)
	if err != nil {
		return err
	}
	c := closure{root: base.root, base: snap, r: p.s, has: p.s.Has, own: p.s.Added, owner: who == auth.Owner, written: p.s.wrote, sound: &p.s.d.sound}
	if err := c.check(ctx, p.t); err != nil {
		return err
	}
	p.checked, p.seen = keys, base.root.Floor
	return nil
}

// follows fails with ErrDoomed if base does not come after the root that the
// session builds on: somebody has set the store back, and what the session has
// found may not be there any more.
func (s *session) follows(ctx context.Context, base *loaded) error {
	s.mu.Lock()
	was := s.base.root
	s.mu.Unlock()
	if base.root.Gen < was.Gen { // or another call has seen a newer root: then base can't be swapped any more
		now, err := s.d.load(ctx)
		if err != nil {
			return err
		}
		base = now
	}
	forked := base.root.Gen < was.Gen || slices.ContainsFunc(base.root.Ops, func(r OpRecord) bool { return r.Gen == was.Gen && r.Op != was.Op })
	if forked {
		return fmt.Errorf("the session builds on root generation %d, which the store has lost: %w", was.Gen, ErrDoomed)
	}
	return nil
}

// whole fails with ErrDoomed if something was collected that the session's new
// metadata points to, whether a ref is to reach it or not: writers take for
// whole what is indexed. What Put found is in packs that the session relies on;
// this is about what it only named, having found it in directories of its base.
func (p *publication) whole(ctx context.Context, base *Root) error {
	if !p.s.collected(base) {
		return nil
	}
	named, err := p.s.d.packs.Snapshot(ctx, p.named)
	if err != nil {
		return err
	}
	lacks, err := missing(ctx, named, p.s.Has)
	if err == nil && lacks != "" {
		err = fmt.Errorf("%s was collected: %w", lacks, ErrDoomed)
	}
	return err
}

// collected reports whether a collection may have taken something out of the
// index since the session began: each one buries what it takes.
func (s *session) collected(now *Root) bool {
	return now.Floor != s.floor || slices.ContainsFunc(now.Graveyard, func(g Grave) bool { return g.Gen > s.start })
}

func containsAll(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}
