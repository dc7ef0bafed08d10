package engine

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// Pool bounds what the attempts of all pipelines that name it do together.
type Pool struct {
	Limit int           // units that attempts under way hold together; 0: any number
	Rate  int           // attempts that start in any span of Per; 0: any number
	Per   time.Duration // with Rate
}

// Limits of a pool.
const (
	PoolRateMax = 10_000 // starts that are remembered
	PoolPerMax  = 24 * time.Hour
)

// ParsePool reads a pool as people write it: NAME=LIMIT, NAME=RATE/UNIT with
// the unit s, m or h, or both with a comma, as in "api=4,10/s". It fails with
// fs.ErrInvalid.
func ParsePool(text string) (name string, p Pool, err error) {
	name, rest, ok := strings.Cut(text, "=")
	bad := func(why string) error {
		return fmt.Errorf("pool %.80q: %s; want NAME=LIMIT, NAME=RATE/s or NAME=LIMIT,RATE/s (or /m, /h): %w", text, why, fs.ErrInvalid)
	}
	if !ok {
		return "", Pool{}, bad("there is no =")
	}
	if why := spec.CheckPoolName(name); why != "" {
		return "", Pool{}, bad("the name " + why)
	}
	for part := range strings.SplitSeq(rest, ",") {
		number, unit, rated := strings.Cut(part, "/")
		n, err := strconv.Atoi(number)
		switch per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]; {
		case err != nil || n < 1:
			return "", Pool{}, bad(fmt.Sprintf("%.20q is no number from 1", number))
		case !rated && p.Limit > 0 || rated && p.Rate > 0:
			return "", Pool{}, bad("it says the same twice")
		case !rated:
			p.Limit = n
		case per == 0:
			return "", Pool{}, bad(fmt.Sprintf("%.20q is no unit of time", unit))
		case n > PoolRateMax:
			return "", Pool{}, bad(fmt.Sprintf("a rate above %d", PoolRateMax))
		default:
			p.Rate, p.Per = n, per
		}
	}
	return name, p, nil
}

// pool is a Pool with what is in use of it.
type pool struct {
	Pool
	used   int
	taken  int         // units that all attempts so far held
	starts []time.Time // of the newest attempts, at most Rate, oldest first
}

// free returns when the pool could start an attempt that holds n units: zero if
// at once, or never said if that depends on the end of another.
func (p *pool) free(n int, now time.Time) (at time.Time, ok bool) {
	if p.Limit > 0 && p.used+n > p.Limit {
		return time.Time{}, false
	}
	if p.Rate > 0 && len(p.starts) >= p.Rate {
		if at = p.starts[len(p.starts)-p.Rate].Add(p.Per); at.After(now) {
			return at, false
		}
	}
	return time.Time{}, true
}

// take lets an attempt start.
func (p *pool) take(n int, now time.Time) {
	p.used += n
	p.taken += n
	if p.Rate > 0 {
		p.starts = append(p.starts, now)
		p.starts = p.starts[max(0, len(p.starts)-p.Rate):]
	}
}

func newPools(all map[string]Pool) map[string]*pool {
	pools := make(map[string]*pool, len(all))
	for name, p := range all {
		pools[name] = &pool{Pool: p}
	}
	return pools
}

// attempt is what an attempt under way holds: a slot, a place in its pipeline,
// and units of pools.
type attempt struct {
	key      memo.Key
	pipeline ref
	needs    map[string]int
}

// hold takes what an attempt needs. It is the attempt's until [State.free],
// whatever becomes of its datum meanwhile. An engine that starts holds nothing,
// for nothing of its predecessor runs any more.
func (s *State) hold(serial int, a attempt) {
	s.running[serial] = a
	s.busy[a.pipeline]++
	for name, n := range a.needs {
		s.pools[name].take(n, s.now)
	}
}

// free gives back what an attempt held, the first time that it is said to be
// over.
func (s *State) free(serial int) {
	a, ok := s.running[serial]
	if !ok {
		return
	}
	delete(s.running, serial)
	s.busy[a.pipeline]--
	for name, n := range a.needs {
		s.pools[name].used -= n
	}
}

// poolProblem says why attempts could never have what they need of the pools;
// "" if they could.
func (s *State) poolProblem(needs map[string]int) string {
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		switch p := s.pools[name]; {
		case p == nil:
			return fmt.Sprintf("pool %s is not known here: whoever runs pipelines names it, as in --pool %s=2", name, name)
		case p.Limit > 0 && needs[name] > p.Limit:
			return fmt.Sprintf("each datum needs %d of pool %s, which has %d", needs[name], name, p.Limit)
		}
	}
	return ""
}

// PoolUse is how much of a pool is in use.
type PoolUse struct {
	Name string
	Pool
	Used int // units that attempts under way hold
}

// Pools returns the pools by name.
func (s *State) Pools() []PoolUse {
	var all []PoolUse
	for _, name := range slices.Sorted(maps.Keys(s.pools)) {
		all = append(all, PoolUse{Name: name, Pool: s.pools[name].Pool, Used: s.pools[name].used})
	}
	return all
}
