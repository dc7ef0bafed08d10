package datum

import (
	"context"
	"fmt"
	"io/fs"
	"iter"

	"github.com/dvx-io/dvx/pkg/tree"
)

// TuplesMax bounds what a combination of inputs holds of one of its parts.
const TuplesMax = 4 << 20

// union is one input or the other.
type union []node

// list implements node.
func (u union) list(ctx context.Context, v Version) iter.Seq2[tuple, error] {
	return chain(u, func(n node) iter.Seq2[tuple, error] { return n.list(ctx, v) })
}

// diff implements node.
func (u union) diff(ctx context.Context, old, now Version) iter.Seq2[change, error] {
	return chain(u, func(n node) iter.Seq2[change, error] { return n.diff(ctx, old, now) })
}

// chain yields what nodes give, one after the other.
func chain[T any](nodes []node, of func(node) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, n := range nodes {
			for t, err := range of(n) {
				if !yield(t, err) || err != nil {
					return
				}
			}
		}
	}
}

func errTooMany() error {
	return fmt.Errorf("a part of a combination of inputs has more than %d datums: select fewer with its glob: %w", TuplesMax, fs.ErrInvalid)
}

// collect returns all that a sequence yields.
func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for t, err := range seq {
		if err != nil {
			return nil, err
		}
		if len(all) == TuplesMax {
			return nil, errTooMany()
		}
		all = append(all, t)
	}
	return all, nil
}

// cross is each of an input with each of the others.
type cross []node

// list implements node. It holds all parts but the first.
func (c cross) list(ctx context.Context, v Version) iter.Seq2[tuple, error] {
	return func(yield func(tuple, error) bool) {
		rest := make([][]tuple, len(c)-1)
		for i, n := range c[1:] {
			var err error
			if rest[i], err = collect(n.list(ctx, v)); err != nil {
				yield(tuple{}, err)
				return
			}
			if len(rest[i]) == 0 {
				return
			}
		}
		for t, err := range c[0].list(ctx, v) {
			if err != nil {
				yield(t, err)
				return
			}
			if !product(t, rest, func(t tuple) bool { return yield(t, nil) }) {
				return
			}
		}
	}
}

// product yields t with each of each list. It reports whether the consumer
// wants more.
func product(t tuple, lists [][]tuple, yield func(tuple) bool) bool {
	if len(lists) == 0 {
		return yield(t)
	}
	for _, next := range lists[0] {
		if !product(t.and(next), lists[1:], yield) {
			return false
		}
	}
	return true
}

// diff implements node. A tuple has changed if one of its members has: it is
// found at the first of them.
func (c cross) diff(ctx context.Context, old, now Version) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		d := &crossDiff{ctx: ctx, parts: make([]crossPart, len(c)), yield: yield}
		changed := false
		for i, n := range c {
			part := crossPart{node: n, old: old, now: now, kinds: map[string]tree.ChangeKind{}}
			changes, err := collect(n.diff(ctx, old, now))
			if err != nil {
				yield(change{}, err)
				return
			}
			for _, x := range changes {
				part.add(x)
			}
			changed = changed || len(changes) > 0
			d.parts[i] = part
		}
		if !changed {
			return
		}
		if err := d.run(); err != nil {
			yield(change{}, err)
		}
	}
}

// crossPart is one input of a cross, and how it changed.
type crossPart struct {
	node
	old, now Version
	kinds    map[string]tree.ChangeKind // of what changed
	fresh    []tuple                    // added or modified
	gone     []tuple
	lists    [2][]tuple // what there was and is, once it is needed
	listed   [2]bool
}

func (p *crossPart) add(c change) {
	p.kinds[c.id] = c.kind
	if c.kind == tree.Removed {
		p.gone = append(p.gone, c.tuple)
		return
	}
	p.fresh = append(p.fresh, c.tuple)
}

// all returns what there was (0) or is (1), less what changed if rest says so.
func (p *crossPart) all(ctx context.Context, side int, rest bool) ([]tuple, error) {
	if !p.listed[side] {
		v := p.old
		if side == 1 {
			v = p.now
		}
		list, err := collect(p.list(ctx, v))
		if err != nil {
			return nil, err
		}
		p.lists[side], p.listed[side] = list, true
	}
	if !rest || len(p.kinds) == 0 {
		return p.lists[side], nil
	}
	var kept []tuple
	for _, t := range p.lists[side] {
		kind, changed := p.kinds[t.id]
		if !changed || side == 0 && kind != tree.Removed {
			kept = append(kept, t)
		}
	}
	return kept, nil
}

// crossDiff finds the changed tuples of a cross.
type crossDiff struct {
	ctx   context.Context //nolint:containedctx // of one call: it lives no longer
	parts []crossPart
	yield func(change, error) bool
}

func (d *crossDiff) run() error {
	for i := range d.parts {
		p := &d.parts[i]
		for side, first := range [][]tuple{p.gone, p.fresh} {
			more, err := d.from(i, side, first)
			if err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// from yields the tuples whose first changed member is one of those of part i.
func (d *crossDiff) from(i, side int, first []tuple) (more bool, err error) {
	if len(first) == 0 {
		return true, nil
	}
	lists := make([][]tuple, len(d.parts))
	lists[i] = first
	for j := range d.parts {
		if j == i {
			continue
		}
		if lists[j], err = d.parts[j].all(d.ctx, side, j < i); err != nil {
			return false, err
		}
	}
	for _, t := range lists[0] {
		members := []string{t.id}
		if !d.product(t, members, lists[1:], side) {
			return false, nil
		}
	}
	return true, nil
}

// product is the function of that name, and says how each tuple changed.
func (d *crossDiff) product(t tuple, members []string, lists [][]tuple, side int) bool {
	if len(lists) > 0 {
		for _, next := range lists[0] {
			if !d.product(t.and(next), append(members, next.id), lists[1:], side) {
				return false
			}
		}
		return true
	}
	kind := tree.Modified
	for j, id := range members {
		switch {
		case side == 0:
			kind = tree.Removed
		case d.parts[j].kinds[id] == tree.Added:
			kind = tree.Added
		}
	}
	return d.yield(change{kind, t}, nil)
}
