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

	// segmentsForce is the number above which a publication merges whatever that
	// costs: the root holds SegmentsMax.
	segmentsForce = SegmentsMax - 8
	// mergeFetchMax is how many bytes of segments that are not on this machine a
	// publication otherwise fetches to merge them: a moment's work.
	mergeFetchMax = 2 << 20
	// mergeLeast is the number of segments below which merging waits for others.
	mergeLeast = 8
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
		far, err := p.s.d.far(ctx, keys)
		if err != nil {
			return Env{}, err
		}
		from := affordMerge(all, chooseMerge(all), far)
		if len(from) == 0 {
			return env, nil
		}
		if p.merged, err = p.s.merge(ctx, from); err != nil {
			return Env{}, err
		}
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

// affordMerge returns of the segments to be merged those that this machine can
// read without fetching more than mergeFetchMax, the smallest first, given the
// sizes of those that it must fetch: none if they are too few. When the root
// gets full it returns them all. Who has the segments merges them some day, or
// whoever is last.
func affordMerge(all []Segment, from []string, far map[string]int64) []string {
	if len(all) > segmentsForce {
		return from
	}
	var fetch int64
	for i, key := range from {
		if fetch += far[key]; fetch > mergeFetchMax {
			from = from[:i]
			break
		}
	}
	if len(from) < mergeLeast {
		return nil
	}
	return from
}

// far returns the sizes of the segments whose bytes are not on this machine.
func (d *Direct) far(ctx context.Context, keys []string) (map[string]int64, error) {
	snap, err := d.packs.Snapshot(ctx, keys)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, info := range snap.Describe() {
		if !info.Near {
			sizes[info.Key] = info.Size
		}
	}
	return sizes, nil
}
