package repo

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
)

// Collection is what garbage collection changes of a root. It changes no name.
type Collection struct {
	Start  uint64    // generation at which the collector's session began
	Drop   []string  // index segments that go; they must be there
	Add    []Segment // those that come in their place
	Floor  uint64    // the new floor: at most the base's generation, never lowered
	Bury   []Grave   // lists of objects that will be deleted
	Unbury []string  // lists whose objects were; they must be there
}

// Collector is the session of a garbage collection.
type Collector struct {
	Name  string // names its packs, segments and reports
	Start uint64 // generation of the root when it began
}

// Collector starts the session of a garbage collection. It is under the floor
// guard like every other: of two collectors that overlap the second to publish
// may find itself doomed.
func (d *Direct) Collector(ctx context.Context) (Collector, error) {
	base, err := d.load(ctx)
	if err != nil {
		return Collector{}, err
	}
	if err := checkFeatures(base.root.Features, true); err != nil {
		return Collector{}, err
	}
	var random [16]byte
	if err := d.random(random[:]); err != nil {
		return Collector{}, err
	}
	name, err := pack.SessionName(base.root.Gen, hex.EncodeToString(random[:]))
	if err != nil {
		return Collector{}, err
	}
	if err := putNew(ctx, d.objects, SessionPrefix+name, nil); err != nil {
		return Collector{}, fmt.Errorf("start collection: %w", err)
	}
	return Collector{Name: name, Start: base.root.Gen}, nil
}

// Collect moves the root by what prepare says, which is called for each root
// that is tried as the base: again whenever another transaction was faster. An
// error of prepare ends it. For outcomes see [Txn].
func (d *Direct) Collect(ctx context.Context, op OpID, prepare func(context.Context, *Root) (Collection, error)) (*Root, error) {
	_, at, err := d.swap(ctx, Txn{Op: op}, func(ctx context.Context, base *loaded) (Env, error) {
		env, err := d.env(ctx)
		if err != nil {
			return Env{}, err
		}
		c, err := prepare(ctx, base.root)
		env.Collection, env.Start = &c, c.Start
		return env, err
	})
	if err != nil {
		return nil, err
	}
	return at.root, nil
}

// check fails unless c can be applied to base.
func (c *Collection) check(base *Root) error {
	if c.Floor > base.Gen {
		return invalid("floor %d is above the generation %d", c.Floor, base.Gen)
	}
	for _, key := range c.Drop {
		if !slices.ContainsFunc(base.Segments, func(s Segment) bool { return s.Key == key }) {
			return fmt.Errorf("index segment %s is gone: %w", key, errMoved)
		}
	}
	for _, list := range c.Unbury {
		if !slices.ContainsFunc(base.Graveyard, func(g Grave) bool { return g.List == list }) {
			return fmt.Errorf("list %s was emptied by another: %w", list, ErrConflict)
		}
	}
	return nil
}

// apply makes the changes; next has its generation already.
func (c *Collection) apply(next *Root) {
	next.Segments = slices.DeleteFunc(slices.Clone(next.Segments), func(s Segment) bool { return slices.Contains(c.Drop, s.Key) })
	next.Segments = append(next.Segments, c.Add...)
	next.Floor = max(next.Floor, c.Floor)
	next.Graveyard = slices.DeleteFunc(slices.Clone(next.Graveyard), func(g Grave) bool { return slices.Contains(c.Unbury, g.List) })
	for _, g := range c.Bury {
		next.Graveyard = append(next.Graveyard, Grave{Gen: next.Gen, List: g.List})
	}
	if len(next.Segments) == 0 {
		next.Segments = nil
	}
	if len(next.Graveyard) == 0 {
		next.Graveyard = nil
	}
}

// checkAttached holds new memo and history segments to the floor: collection
// deletes those of earlier generations that no root names, whenever they were
// written. Their keys begin with the generation of the root at that time.
func checkAttached(keys []string, floor uint64) error {
	for _, key := range keys {
		if gen, ok := AttachedGen(key); ok && gen < floor {
			return fmt.Errorf("%s was written at root generation %d, the floor is %d; write it again: %w", key, gen, floor, ErrDoomed)
		}
	}
	return nil
}

// AttachedKey returns a key for a memo or history segment that is written at
// generation gen of the root; op was never used for another.
func AttachedKey(kind string, gen uint64, op OpID) string {
	return fmt.Sprintf("%s/%012d-%v", kind, gen, op)
}

// AttachedGen returns the generation in the key of a memo or history segment,
// KIND/<12 decimal digits>-…: of the root when it was written.
func AttachedGen(key string) (gen uint64, ok bool) {
	_, name, _ := strings.Cut(key, "/")
	digits, _, ok := strings.Cut(name, "-")
	if !ok || len(digits) < 12 || len(digits) > 16 {
		return 0, false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		gen = gen*10 + uint64(c-'0')
	}
	return gen, true
}
