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

// within returns the copies that are kept, and the others: those written
// before the time, or of a generation below the least.
func within(all []rootCopy, from time.Time, least uint64) (kept, old []rootCopy) {
	for _, c := range all {
		if c.gen < least || !c.time.IsZero() && c.time.Before(from) {
			old = append(old, c)
		} else {
			kept = append(kept, c)
		}
	}
	return kept, old
}

// openRootsFor is how long the copy of a root is kept that only wrote to open
// commits: there are many, and nothing can be undone with them.
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
