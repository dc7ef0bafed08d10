package repo

import (
	"cmp"
	"context"
	"slices"
)

// segmentsMerge is the number of index segments above which a publication
// merges some, segmentsKeep the number that it leaves.
const (
	segmentsMerge = 32
	segmentsKeep  = 16
)

// merged is a segment that replaces others.
type merged struct {
	from []string
	to   Segment
}

// merge replaces small segments by one if there would be too many. What an
// earlier attempt has merged is used again where it fits.
func (p *publication) merge(ctx context.Context, base *Root, env Env) (Env, error) {
	all := slices.Concat(base.Segments, env.Add)
	if len(all) <= segmentsMerge {
		return env, nil
	}
	var keys []string
	for _, s := range all {
		keys = append(keys, s.Key)
	}
	if p.merged == nil || !containsAll(keys, p.merged.from) {
		m, err := p.s.merge(ctx, chooseMerge(all))
		if err != nil {
			return Env{}, err
		}
		p.merged = m
	}
	for _, key := range p.merged.from {
		own := func(s Segment) bool { return s.Key == key }
		if slices.ContainsFunc(env.Add, own) {
			env.Add = slices.DeleteFunc(env.Add, own)
		} else {
			env.Drop = append(env.Drop, key)
		}
	}
	env.Add = append(env.Add, p.merged.to)
	return env, nil
}

func (s *session) merge(ctx context.Context, from []string) (*merged, error) {
	n := s.merges
	s.merges++
	key, err := s.d.packs.MergeSegments(ctx, s.Name(), n, from)
	if err != nil {
		return nil, err
	}
	snap, err := s.d.packs.Snapshot(ctx, []string{key})
	if err != nil {
		return nil, err
	}
	return &merged{from: from, to: describe(snap)[0]}, nil
}

// chooseMerge returns the segments to be merged: the smallest, as many as
// needed to leave segmentsKeep, and then each that is not larger than all
// before together. So a chunk is merged again only when its segment at least
// doubles, or when segmentsMerge - segmentsKeep publications have come, and
// the work per publication grows with the logarithm of the index.
func chooseMerge(all []Segment) []string {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Segment) int { return cmp.Compare(a.Chunks, b.Chunks) })
	var keys []string
	var sum int64
	for i, s := range sorted {
		if i > len(all)-segmentsKeep && s.Chunks > sum {
			break
		}
		keys = append(keys, s.Key)
		sum += s.Chunks
	}
	return keys
}
