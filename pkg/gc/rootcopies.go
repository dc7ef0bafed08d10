package gc

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// rootCopy is a copy of a root among the objects.
type rootCopy struct {
	key  string
	gen  uint64
	size int64
	time time.Time // zero if the store does not know
}

// rootCopies lists the copies of roots, oldest generation first.
func rootCopies(ctx context.Context, objects objstore.Store) ([]rootCopy, error) {
	var all []rootCopy
	for info, err := range objects.List(ctx, repo.RootPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list the copies of roots: %w", err)
		}
		name := strings.TrimPrefix(info.Key, repo.RootPrefix)
		gen, op, _ := strings.Cut(name, "-")
		n, err := strconv.ParseUint(gen, 16, 64)
		if _, operr := repo.ParseOpID(op); err != nil || operr != nil || len(gen) != 16 {
			continue // not ours
		}
		all = append(all, rootCopy{info.Key, n, info.Size, info.ModTime})
	}
	return all, nil
}

// retained are the copies of roots beside the root's own.
type retained struct {
	undo []rootCopy // stay, and what they reach: moves since can be undone
	held []rootCopy // stay for readers and backups that began with them
	old  []rootCopy // go
}

// rootCopies says which copies of roots stay.
func (c *collector) rootCopies(ctx context.Context, root *repo.Root) (retained, error) {
	all, err := rootCopies(ctx, c.d.Objects())
	if err != nil {
		return retained{}, err
	}
	least, _, err := forgotten(ctx, c.d.Objects())
	if err != nil {
		return retained{}, err
	}
	c.o.scrub = max(c.o.scrub, least)
	if c.o.KeepRoots < 0 { // of later roots the copies may be ahead of the swap
		least = root.Gen + 1
	}
	var r retained
	now := c.now()
	ends := replaced(all)
	for i, x := range all {
		if x.key == repo.RootCopyKey(root) {
			continue
		}
		age, known := now.Sub(ends[i]), !ends[i].IsZero() && x.gen < root.Gen
		keep, hold := c.o.KeepRoots, c.o.Grace
		if c.openRoots[x.key] {
			keep, hold = min(keep, openRootsFor), min(hold, openRootsFor)
		}
		switch {
		case x.gen >= least && (!known || age < keep):
			r.undo = append(r.undo, x)
		case x.gen >= root.Gen || known && age < hold:
			r.held = append(r.held, x)
		default:
			r.old = append(r.old, x)
		}
	}
	return r, nil
}

// replaced returns when the root of each copy was replaced by a later one, at
// the latest: when the copies of the next generation were written, which is
// just before the swap. Zero if the store does not know, or nothing replaced
// it yet.
func replaced(all []rootCopy) []time.Time {
	ends := make([]time.Time, len(all))
	var next time.Time // of the generation after that of all[i]
	for end := len(all); end > 0; {
		start := end - 1
		for start > 0 && all[start-1].gen == all[end-1].gen {
			start--
		}
		latest, known := time.Time{}, true
		for i := start; i < end; i++ {
			if ends[i] = next; !next.IsZero() && all[i].time.After(next) {
				ends[i] = all[i].time
			}
			known = known && !all[i].time.IsZero()
			if all[i].time.After(latest) {
				latest = all[i].time
			}
		}
		if next = latest; !known {
			next = time.Time{}
		}
		end = start
	}
	return ends
}

// openRootsFor is how long the copy of a root is kept, at most, that only wrote
// to open commits: there are many, and nothing can be undone with them.
const openRootsFor = time.Hour

// onlyOpen reports whether the operation that made the copy did nothing but
// write to open commits.
func (r rootCopy) onlyOpen(b []byte) bool {
	_, op, _ := strings.Cut(strings.TrimPrefix(r.key, repo.RootPrefix), "-")
	return bytes.Contains(b, fmt.Appendf(nil, `"op":"%s","gen":%d,"open":true`, op, r.gen))
}

// commitField is how a root names a commit.
var commitField = []byte(`"commit":"`)

// commitsIn calls fn for whatever a copy of a root calls a commit: more than
// its names reach, for it includes moves of late, and faster than to decode
// tens of thousands of roots that differ in one name each.
func commitsIn(b []byte, fn func(commit.ID)) {
	const digits = 64
	for {
		i := bytes.Index(b, commitField)
		if i < 0 || len(b) < i+len(commitField)+digits {
			return
		}
		b = b[i+len(commitField):]
		if id, err := commit.ParseID(string(b[:digits])); err == nil && !id.IsZero() {
			fn(id)
		}
	}
}
