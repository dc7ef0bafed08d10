package gc

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
)

// chosen reports whether a check reads the pack of a key.
func (o *CheckOptions) chosen(key string) bool {
	salt := o.Salt
	if o.Parts > 1 {
		salt = 0
	}
	sum := blake3.Sum256(binary.BigEndian.AppendUint64([]byte(key), salt))
	x := binary.BigEndian.Uint64(sum[:])
	switch {
	case o.Parts > 1:
		return x%uint64(o.Parts) == uint64(o.Part-1) //nolint:gosec // both positive
	case o.Share > 0 && o.Share < 1:
		return float64(x) < o.Share*(1<<64)
	}
	return true
}

// checkData reads the chosen packs in full.
func (c *checker) checkData(ctx context.Context) error {
	numbers := make(chan int)
	failed := map[int]bool{}
	c.failed = failed
	var mu sync.Mutex
	var all sync.WaitGroup
	for range min(c.o.Workers, readersMax) {
		all.Go(func() {
			for n := range numbers {
				ok := c.checkPack(ctx, &c.inv.Packs[n])
				mu.Lock()
				if !ok {
					failed[n] = true
				}
				c.rep.Read++
				c.rep.ReadSize += c.inv.Packs[n].Size
				c.o.Progress(Progress{Phase: "read", Bytes: c.rep.ReadSize})
				mu.Unlock()
			}
		})
	}
	for n := range c.inv.Packs {
		if c.o.chosen(c.inv.Packs[n].Key) && ctx.Err() == nil {
			numbers <- n
		}
	}
	close(numbers)
	all.Wait()
	if err := ctx.Err(); err != nil || len(failed) == 0 {
		return err
	}
	return c.checkEntries(ctx, failed)
}

// readersMax is how many packs are in memory at once, of at most 64 MiB each
// and 16 MiB as a rule.
const readersMax = 4

func (c *checker) checkPack(ctx context.Context, want *pack.PackInfo) bool {
	err := c.f.again(ctx, want.Key, func() error {
		f, err := c.d.Packs().VerifyPack(ctx, want.Key)
		if err == nil && f.Sum != want.Sum {
			err = fmt.Errorf("it is another pack than the index says: %w", chunk.ErrCorrupt)
		}
		return err
	})
	if err == nil || ctx.Err() != nil {
		return true
	}
	if !c.gone(ctx, want.Key) && c.moved(ctx) {
		return true // collected while it was read
	}
	c.f.add(Finding{Severity: severityOf(err), Kind: BadPack, Object: want.Key, Detail: err.Error()})
	return false
}

// moved reports whether the root is another than the one that is checked.
func (c *checker) moved(ctx context.Context) bool {
	now, err := c.d.Root(ctx)
	return err == nil && now.Gen != c.root.Gen
}

// checkEntries finds out which chunks of the failed packs no copy serves.
func (c *checker) checkEntries(ctx context.Context, failed map[int]bool) error {
	return c.inv.Each(0, func(at, n int, e *pack.Entry) error {
		r := chunk.Ref{Kind: e.Kind, ID: e.ID}
		if !failed[n] || c.bad.has(r) {
			return nil
		}
		if _, err := c.snap.Get(ctx, e.Kind, e.ID); err != nil {
			severity := severityOf(err)
			if !c.m.live.has(at) {
				severity = Notice
			}
			c.bad.add(r)
			c.f.add(Finding{Severity: severity, Kind: BadChunk, Object: c.inv.Packs[n].Key, Chunk: refText(r), Detail: err.Error()})
		}
		return ctx.Err()
	})
}

// list returns the chunks that a check found absent or unreadable, in order.
func (b *badChunks) list() []chunk.Ref {
	return slices.SortedFunc(maps.Keys(b.refs), func(x, y chunk.Ref) int {
		if x.Kind != y.Kind {
			return int(x.Kind) - int(y.Kind)
		}
		return slices.Compare(x.ID[:], y.ID[:])
	})
}
