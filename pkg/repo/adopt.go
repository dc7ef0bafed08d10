package repo

import (
	"context"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// adoption is what a publication takes over of sessions that have ended
// without publishing it: their index segments, under the same guards that they
// would have been under.
type adoption struct {
	add   []Segment
	start uint64 // the lowest generation at which one of the sessions started
}

// adopt checks segments of ended sessions that the base does not name yet, and
// returns what a root needs to name them. Their packs may be garbage below the
// floor, so that they are held to it; and since whatever the index names is
// taken to be there with all below it, they must be complete.
func (d *Direct) adopt(ctx context.Context, base *loaded, keys []string) (*adoption, error) {
	there := base.root.segmentKeys()
	var fresh []string
	for _, key := range keys {
		if !slices.Contains(there, key) && !slices.Contains(fresh, key) {
			fresh = append(fresh, key)
		}
	}
	a := &adoption{start: base.root.Gen}
	if len(fresh) == 0 {
		return a, nil
	}
	taken, err := d.packs.Snapshot(ctx, fresh)
	if err != nil {
		return nil, fmt.Errorf("adopt index segments: %w", err)
	}
	for info, err := range taken.Packs(ctx) {
		if err != nil {
			return nil, fmt.Errorf("adopt index segments: %w", err)
		}
		_, start, err := pack.ParseKey(info.Key)
		if err != nil {
			return nil, err
		}
		a.start = min(a.start, start)
	}
	if a.start < base.root.Floor {
		return nil, fmt.Errorf("adopt index segments: a session of theirs started at root generation %d, the floor is %d: %w", a.start, base.root.Floor, ErrDoomed)
	}
	all, err := d.packs.Snapshot(ctx, slices.Concat(there, fresh))
	if err != nil {
		return nil, fmt.Errorf("adopt index segments: %w", err)
	}
	lacks, err := missing(ctx, taken, all.Has)
	if err == nil && lacks != "" {
		err = fmt.Errorf("%s was never stored: %w", lacks, chunk.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("adopt index segments: %w", err)
	}
	a.add = describe(taken)
	return a, nil
}

// missing names something that a metadata chunk of some segments points to and
// that is not there, "" if all is.
func missing(ctx context.Context, some *pack.Snapshot, has hasChunk) (string, error) {
	for l, err := range some.Chunks(ctx) {
		if err != nil {
			return "", err
		}
		if !l.Kind.Meta() {
			continue
		}
		b, err := some.Get(ctx, l.Kind, l.ID)
		if err != nil {
			return "", err
		}
		refs, err := refsOf(l.Kind, b)
		if err != nil {
			return "", err
		}
		for _, r := range refs {
			ok, err := has(ctx, r.Kind, r.ID)
			if err == nil && !ok && l.Kind == chunk.Commit && r.Kind == chunk.Node {
				note := GoneRef(tree.ID(r.ID)) // a version stays in the log without its files
				ok, err = has(ctx, note.Kind, note.ID)
			}
			if err != nil {
				return "", err
			}
			if !ok {
				return fmt.Sprintf("%v %v, which %v %v points to,", r.Kind, r.ID.Short(), l.Kind, l.ID.Short()), nil
			}
		}
	}
	return "", nil
}

// refsOf returns what a metadata chunk points to.
func refsOf(kind chunk.Kind, b []byte) ([]chunk.Ref, error) {
	switch kind {
	case chunk.Node:
		return tree.NodeRefs(b)
	case chunk.Commit:
		c, err := commit.Decode(b)
		if err != nil {
			return nil, err
		}
		var refs []chunk.Ref
		for _, t := range c.Trees() {
			refs = append(refs, chunk.Ref{Kind: chunk.Node, ID: chunk.ID(t.ID)})
		}
		for _, p := range c.Parents {
			refs = append(refs, chunk.Ref{Kind: chunk.Commit, ID: chunk.ID(p)})
		}
		return refs, nil
	case chunk.List:
		return chunk.ListRefs(b)
	default:
		return nil, nil
	}
}
