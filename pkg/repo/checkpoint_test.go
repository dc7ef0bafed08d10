package repo

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// packBytes counts what is put into packs.
type packBytes struct {
	objstore.Store
	n atomic.Int64
}

func (p *packBytes) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if strings.HasPrefix(key, "packs/") {
		p.n.Add(body.Size())
	}
	return p.Store.Put(ctx, key, body, c)
}

const (
	testFiles      = 96
	testFileSize   = 64 << 10
	testCheckpoint = 1 << 20
	testPack       = 256 << 10
)

// storeFiles is a change that stores files of random bytes, several at once, and
// breaks off before the nth. The last one is stored alone: what was stored beside
// a checkpoint, of which there may be any amount, is due for another one then.
func storeFiles(n int) func(context.Context, *Draft) (tree.Root, error) {
	return func(ctx context.Context, d *Draft) (tree.Root, error) {
		edits, errs := make([]tree.Edit, testFiles), make([]error, testFiles)
		put := func(i int) {
			b := make([]byte, testFileSize)
			_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(b)
			id, err := d.Put(ctx, chunk.Data, b)
			e := tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id, Size: testFileSize}}
			edits[i], errs[i] = tree.Edit{Op: tree.Put, Path: strings.Repeat("x", i+1), Entry: e}, err
		}
		var wg sync.WaitGroup
		for lane := range 4 {
			wg.Go(func() {
				for i := lane; i < n-1; i += 4 {
					put(i)
				}
			})
		}
		wg.Wait()
		put(n - 1)
		if n < testFiles {
			errs = append(errs, errKilled)
		}
		if err := errors.Join(errs...); err != nil {
			return tree.Root{}, err
		}
		return d.Apply(ctx, edits)
	}
}

var errKilled = errors.New("killed")

// TestBrokenOffCommit: whenever a large commit breaks off, the next one uploads
// little of what was uploaded before.
func TestBrokenOffCommit(t *testing.T) {
	for _, at := range []int{1, 30, 60, 95} {
		objects := &packBytes{Store: mem.New(mem.Options{})}
		open := func(seed uint64) *Direct {
			o := testOptions(seed)
			o.CheckpointBytes, o.Pack = testCheckpoint, pack.Options{PackSize: testPack}
			d, err := OpenDirect(t.Context(), objects, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			return d
		}
		move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
		commit := func(d *Direct, n int) (CommitResult, error) {
			op, err := d.NewOp()
			if err != nil {
				t.Fatal(err)
			}
			return Commit(ownerCtx(t), d, CommitOptions{Repo: "a", Op: op, Time: time.Unix(1_800_000_000, 0)}, storeFiles(n))
		}
		if _, err := commit(open(2), at); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		before := objects.n.Load()
		res, err := commit(open(3), testFiles)
		if err != nil {
			t.Fatal(err)
		}
		const all = testFiles * testFileSize
		again := objects.n.Load() - before - (all - int64(at)*testFileSize)
		t.Logf("broken off after %d of %d KiB: %d KiB uploaded again", at*testFileSize>>10, all>>10, again>>10)
		if most := int64(testCheckpoint + testPack); again > most { // and the nodes
			t.Errorf("broken off before file %d: %d bytes uploaded again, expected at most %d", at, again, most)
		}
		if res.Commit.Tree.Files != testFiles {
			t.Errorf("%d files", res.Commit.Tree.Files)
		}
		checkStore(t, objects)
	}
}

// TestCheckpointsDue counts bytes and time, for one at a time.
func TestCheckpointsDue(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := checkpoints{last: at}
	for i, step := range []struct {
		n    int
		wait time.Duration
		due  bool
		end  bool
	}{
		{99, 0, false, false},
		{1, 0, true, false},
		{1000, time.Hour, false, true}, // another goroutine is at it
		{0, 0, true, true},
		{1, checkpointAge - 1, false, false},
		{0, 1, true, true},
	} {
		at = at.Add(step.wait)
		if due := c.due(step.n, 100, at); due != step.due {
			t.Errorf("step %d: due %v", i, due)
		}
		if step.end {
			c.end()
		}
	}
}
