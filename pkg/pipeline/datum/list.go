package datum

import (
	"context"
	"fmt"
	"io/fs"
	"iter"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Version is what the leaves of an input read at one time: their trees in
// order of spec.Input.Leaves, and where to read them. In a zero root there is
// nothing.
type Version struct {
	Reader chunk.Reader
	Trees  []tree.Root
}

// List yields the datums of an input. Those of a single repo come in order of
// path, as they are found: no more of the tree is read than the glob can
// select from. The sequence ends after an error.
func List(ctx context.Context, v Version, in spec.Input) iter.Seq2[Datum, error] {
	return func(yield func(Datum, error) bool) {
		fail := func(err error) { yield(Datum{}, fmt.Errorf("list datums: %w", err)) }
		p, err := compile(in, v)
		if err != nil {
			fail(err)
			return
		}
		for t, err := range p.list(ctx, v) {
			if err != nil {
				fail(err)
				return
			}
			if p.isNew(t.id) && !yield(t.datum(), nil) {
				return
			}
		}
	}
}

// Changes yields how the datums of an input differ between two versions. Those
// of a single repo come in order of path, at a cost that follows the
// differences between the trees, not their size; where a combination has
// changed, other parts of it are listed. That the content of a reference input
// changed is no change. The sequence ends after an error.
func Changes(ctx context.Context, old, now Version, in spec.Input) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		fail := func(err error) { yield(Change{}, fmt.Errorf("compare datums: %w", err)) }
		p, err := compile(in, old, now)
		if err != nil {
			fail(err)
			return
		}
		for c, err := range p.diff(ctx, old, now) {
			if err != nil {
				fail(err)
				return
			}
			if p.isNew(c.id) && !yield(Change{Kind: c.kind, Datum: c.datum()}, nil) {
				return
			}
		}
	}
}

// node is an input, ready to be listed.
type node interface {
	// list yields the tuples of a version, always in the same order.
	list(ctx context.Context, v Version) iter.Seq2[tuple, error]

	// diff yields the tuples that differ between two versions.
	diff(ctx context.Context, old, now Version) iter.Seq2[change, error]
}

// change is a tuple that was added, removed, or has other content.
type change struct {
	kind  tree.ChangeKind
	tuple // with the new content; the old of a removed one
}

// plan is a whole input, ready to be listed once.
type plan struct {
	node
	seen map[string]bool // identities so far; nil if none can come twice
}

// isNew reports whether an identity comes for the first time: what two parts
// of a union select alike is one datum.
func (p *plan) isNew(id string) bool {
	if p.seen == nil {
		return true
	}
	if p.seen[id] {
		return false
	}
	p.seen[id] = true
	return true
}

// compile makes the plan of an input for versions of it.
func compile(in spec.Input, versions ...Version) (*plan, error) {
	c := &compiler{shared: sharedNames(in), single: in.IsLeaf(), keyed: map[string]int{}, labels: map[string]bool{}}
	n, err := c.node(in)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if len(v.Trees) != c.leaves {
			return nil, fmt.Errorf("%d trees for %d inputs: %w", len(v.Trees), c.leaves, fs.ErrInvalid)
		}
	}
	p := &plan{node: n}
	if c.repeats {
		p.seen = map[string]bool{}
	}
	return p, nil
}

// compiler makes nodes and gives them their names.
type compiler struct {
	leaves  int
	single  bool            // the input is one leaf
	shared  map[string]bool // names of leaves that read different things
	labels  map[string]bool // of leaves so far
	keyed   map[string]int  // labels of joins and groups so far
	repeats bool            // two leaves have one label
}

// sharedNames returns the names that leaves of different repos or branches
// have in common, as the parts of a union may.
func sharedNames(in spec.Input) map[string]bool {
	type source struct{ repo, branch string }
	first, shared := map[string]source{}, map[string]bool{}
	for l := range in.Leaves() {
		from := source{l.Repo, l.Branch}
		if other, ok := first[l.Name]; ok && other != from {
			shared[l.Name] = true
		}
		first[l.Name] = from
	}
	return shared
}

func (c *compiler) node(in spec.Input) (node, error) {
	kind, parts := in.Parts()
	if kind == "" {
		return c.leaf(in)
	}
	label := ""
	if kind == "join" || kind == "group" {
		label = c.matchLabel(in) // before those of its parts: it is what people see
	}
	var nodes []node
	for _, p := range parts {
		n, err := c.node(p)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	switch kind {
	case "cross":
		return cross(nodes), nil
	case "union":
		return union(nodes), nil
	}
	return newMatch(kind, label, parts, nodes), nil
}

func (c *compiler) leaf(in spec.Input) (*leaf, error) {
	l := &leaf{in: in, index: c.leaves, label: in.Name, bare: c.single}
	c.leaves++
	if c.shared[in.Name] {
		l.label += "(" + in.Repo
		if in.Branch != "" {
			l.label += "@" + in.Branch
		}
		l.label += ")"
	}
	c.repeats = c.repeats || c.labels[l.label]
	c.labels[l.label] = true
	var err error
	if l.glob, err = spec.CompileGlob(in.Glob); err == nil {
		l.joinOn, err = spec.CompileTemplate(in.JoinOn, l.glob.Groups())
	}
	if err == nil {
		l.groupBy, err = spec.CompileTemplate(in.GroupBy, l.glob.Groups())
	}
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", in.Name, err)
	}
	return l, nil
}
