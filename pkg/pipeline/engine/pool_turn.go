package engine

import (
	"maps"
	"slices"
)

// shortage is a job's wait for units of pools: which of them were not free when
// it could have started a datum, and how much others had taken of each until
// then. It ends when the job starts one.
type shortage struct {
	since int            // attempts that had started in all
	taken map[string]int // by pool
}

// lacked notes that too little of a pool was free for a job.
func (s *State) lacked(j *job, pool string) {
	if j.short.taken == nil {
		j.short = shortage{since: s.starts, taken: map[string]int{}}
	}
	if _, waits := j.short.taken[pool]; !waits {
		j.short.taken[pool] = s.pools[pool].taken
	}
}

// promised reports whether what is free of a pool is kept for a job that waits
// for it and precedes j: at once if its priority is higher, and else when others
// have taken as many units meanwhile as the pool has. So those that need few at
// a time overtake those that need many, but not for ever.
func (s *State) promised(pool string, j *job) bool {
	return slices.ContainsFunc(s.order, func(id JobID) bool {
		k := s.jobs[id]
		at, waits := k.short.taken[pool]
		return waits && k != j && len(k.ready) > 0 && k.precedes(j) && (k.priority() > j.priority() || s.pools[pool].taken-at >= s.pools[pool].Limit)
	})
}

// precedes reports whether a job that waits for a pool gets its units before
// another: by priority, and else in the order in which they began to wait. Two
// never precede each other, so one that nobody precedes gets what it needs once
// enough attempts are over.
func (j *job) precedes(other *job) bool {
	if p, q := j.priority(), other.priority(); p != q {
		return p > q
	}
	if other.short.taken == nil || j.short.since < other.short.since {
		return true
	}
	return j.short.since == other.short.since && j.spec.ID.String() < other.spec.ID.String()
}

// fits reports whether every pool that a job's attempts need has room for one
// more, and notes when one could have, if a rate is all that is in the way.
func (s *State) fits(j *job) bool {
	needs := j.spec.Head.Version.Spec.Concurrency
	fits := true
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		at, ok := s.pools[name].free(needs[name], s.now)
		switch {
		case ok:
			fits = fits && !s.promised(name, j)
			continue
		case at.IsZero():
			s.lacked(j, name)
		case s.pooled.IsZero() || at.Before(s.pooled):
			s.pooled = at
		}
		fits = false
	}
	return fits
}
