package datum

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// leaf is an input that reads a repo.
type leaf struct {
	in              spec.Input
	index           int // among the leaves
	label           string
	bare            bool // it is the whole input: identities need no escapes
	glob            *spec.Glob
	joinOn, groupBy spec.Template
}

func (l *leaf) tuple(s spec.Selected) tuple {
	id := s.Path
	if !l.bare {
		id = escape(id)
	}
	id = l.label + ":/" + id
	if s.Entry.Kind == tree.Dir && s.Path != "" {
		id += "/"
	}
	return tuple{id: id, picks: []pick{{l, s}}}
}

// escape makes a path or key safe as a part of an identity of several.
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "%", "%25"), ";", "%3B")
}

// list implements node.
func (l *leaf) list(ctx context.Context, v Version) iter.Seq2[tuple, error] {
	return func(yield func(tuple, error) bool) {
		for s, err := range l.glob.Select(ctx, v.Reader, v.Trees[l.index]) {
			if err != nil {
				yield(tuple{}, fmt.Errorf("input %s: %w", l.in.Name, err))
				return
			}
			if !yield(l.tuple(s), nil) {
				return
			}
		}
	}
}

// diff implements node.
func (l *leaf) diff(ctx context.Context, old, now Version) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		for c, err := range l.glob.Changes(ctx, old.Reader, old.Trees[l.index], now.Reader, now.Trees[l.index]) {
			if err != nil {
				yield(change{}, fmt.Errorf("input %s: %w", l.in.Name, err))
				return
			}
			if l.in.Reference && c.Kind == tree.Modified {
				continue
			}
			if !yield(change{c.Kind, l.tuple(c.Selected)}, nil) {
				return
			}
		}
	}
}

// key returns what a pick is matched by in a join or group, if its leaf says so.
func (p pick) key(kind string) (key string, ok bool) {
	t, text := p.leaf.joinOn, p.leaf.in.JoinOn
	if kind == "group" {
		t, text = p.leaf.groupBy, p.leaf.in.GroupBy
	}
	if text == "" {
		return "", false
	}
	return t.Expand(p.leaf.glob.Captures(p.Path)), true
}
