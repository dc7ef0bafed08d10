package datum

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// match is a join or a group: it puts together what has one key.
//
// The members of a tuple of an input may have keys of their own: each goes to
// its key, those without a key to all keys of their tuple.
type match struct {
	kind  string // join or group
	label string
	nodes []node
	outer []bool // of a join: the input counts without partners
}

// matchLabel returns what identities of a join or group begin with.
func (c *compiler) matchLabel(in spec.Input) string {
	var names []string
	for l := range in.Leaves() {
		names = append(names, l.Name)
	}
	label := strings.Join(names, "+")
	if c.keyed[label]++; c.keyed[label] > 1 {
		return label + "#" + strconv.Itoa(c.keyed[label])
	}
	return label
}

func newMatch(kind, label string, parts []spec.Input, nodes []node) *match {
	m := &match{kind: kind, label: label, nodes: nodes}
	for _, p := range parts {
		outer := false
		for l := range p.Leaves() {
			outer = outer || l.OuterJoin
		}
		m.outer = append(m.outer, outer)
	}
	return m
}

// split returns a tuple's part for each of its keys.
func (m *match) split(t tuple) map[string]tuple {
	out := map[string]tuple{}
	var free []pick
	for _, p := range t.picks {
		key, ok := p.key(m.kind)
		if !ok {
			free = append(free, p)
			continue
		}
		part := out[key]
		part.id, part.picks = t.id, append(part.picks, p)
		out[key] = part
	}
	for key, part := range out {
		part.picks = append(part.picks, free...)
		out[key] = part
	}
	return out
}

// byKey returns the tuples of a version, by key and input; only of some keys if
// they are given.
func (m *match) byKey(ctx context.Context, v Version, only map[string]bool) (map[string][][]tuple, error) {
	all, held := map[string][][]tuple{}, 0
	for i, n := range m.nodes {
		for t, err := range n.list(ctx, v) {
			if err != nil {
				return nil, err
			}
			for key, part := range m.split(t) {
				if only != nil && !only[key] {
					continue
				}
				if all[key] == nil {
					all[key] = make([][]tuple, len(m.nodes))
				}
				if held++; held > TuplesMax {
					return nil, errTooMany()
				}
				all[key][i] = append(all[key][i], part)
			}
		}
	}
	return all, nil
}

// combine returns what the inputs' tuples of one key give.
func (m *match) combine(key string, parts [][]tuple) []tuple {
	id := m.label + "=" + escape(key)
	if m.kind == "group" && parts != nil {
		var picks []pick
		for _, part := range parts {
			for _, t := range part {
				picks = append(picks, t.picks...)
			}
		}
		return []tuple{{id, inOrder(picks)}}
	}
	var present [][]tuple
	for _, part := range parts {
		if len(part) > 0 {
			present = append(present, part)
		}
	}
	if len(present) < len(parts) { // without a partner
		present = nil
		for i, part := range parts {
			if len(part) > 0 && m.outer[i] {
				present = append(present, part)
			}
		}
	}
	if len(present) == 0 {
		return nil
	}
	var out []tuple
	product(tuple{}, present, func(t tuple) bool {
		out = append(out, t)
		return true
	})
	for i := range out {
		if len(out) > 1 {
			out[i].id = id + ";" + out[i].id
		} else {
			out[i].id = id
		}
	}
	return out
}

// list implements node.
func (m *match) list(ctx context.Context, v Version) iter.Seq2[tuple, error] {
	return func(yield func(tuple, error) bool) {
		all, err := m.byKey(ctx, v, nil)
		if err != nil {
			yield(tuple{}, err)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			for _, t := range m.combine(key, all[key]) {
				if !yield(t, nil) {
					return
				}
			}
		}
	}
}

// diff implements node: it compares what the keys of changed tuples give.
func (m *match) diff(ctx context.Context, old, now Version) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		keys := map[string]bool{}
		for c, err := range union(m.nodes).diff(ctx, old, now) {
			if err != nil {
				yield(c, err)
				return
			}
			for key := range m.split(c.tuple) {
				keys[key] = true
			}
		}
		if len(keys) == 0 {
			return
		}
		was, err := m.byKey(ctx, old, keys)
		if err == nil {
			var is map[string][][]tuple
			if is, err = m.byKey(ctx, now, keys); err == nil {
				for _, key := range slices.Sorted(maps.Keys(keys)) {
					if !compare(m.combine(key, was[key]), m.combine(key, is[key]), yield) {
						return
					}
				}
				return
			}
		}
		yield(change{}, err)
	}
}

// compare yields how two lists of tuples differ. It reports whether the
// consumer wants more.
func compare(old, now []tuple, yield func(change, error) bool) bool {
	was := map[string]tuple{}
	for _, t := range old {
		was[t.id] = t
	}
	for _, t := range now {
		o, ok := was[t.id]
		delete(was, t.id)
		kind := tree.Added
		if ok {
			kind = tree.Modified
		}
		if (!ok || !o.same(t)) && !yield(change{kind, t}, nil) {
			return false
		}
	}
	for _, t := range old {
		if _, gone := was[t.id]; gone && !yield(change{tree.Removed, t}, nil) {
			return false
		}
	}
	return true
}
