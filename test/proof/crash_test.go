package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// scenario is what a process does to a store until it is killed. Done again, in
// a new process, it has the same end. pkg/repo kills the plain commits, moves of
// names and open commits; these go through several layers.
type scenario struct {
	name  string
	setup func(t testing.TB) *mem.Store
	run   func(ctx context.Context, objects objstore.Store) error
	files map[string]string // that are there in the end, by expression
}

func scenarios() []scenario {
	return []scenario{
		{
			name: "many files alike", setup: plain, run: commitFiles(alike(), 1<<20),
			files: prefixed("r@main:/", alike()),
		},
		{
			name: "large file in parts", setup: plain,
			run: func(ctx context.Context, objects objstore.Store) error {
				return commitFiles(map[string]string{"large": noise(9, 600_000)}, 128<<10)(ctx, parts{objects})
			},
			files: map[string]string{"r@main:/large": noise(9, 600_000), "r@main:/keep": "keep"},
		},
		{
			name: "index of many segments", setup: segments, run: commitFiles(map[string]string{"new": "new"}, 1<<20),
			files: map[string]string{"r@main:/new": "new", "r@main:/f30": "30"},
		},
		{
			name: "collection", setup: func(t testing.TB) *mem.Store { return littered(t) }, run: collectNow,
			files: map[string]string{"r@main:/keep": noise(1, 20_000), "r@main:/more": "more"},
		},
		{
			name: "collection beside a commit", setup: func(t testing.TB) *mem.Store { return littered(t) }, run: collectAndCommit,
			files: map[string]string{"r@main:/keep": noise(1, 20_000), "r@main:/revived": noise(2, 30_000), "r@main:/new": "new"},
		},
		{
			name: "repack", setup: halfDead, run: collectNow,
			files: map[string]string{"r@main:/f0": noise(100, 9000), "r@main:/f3": noise(103, 9000)},
		},
		{
			name: "job", setup: pipelined, run: runJob,
			files: map[string]string{"up@main:/a": "A", "up@main:/b": "B", "up@main:/c": "C", "up@main:/d": "D", "up@main:/e": "E"},
		},
	}
}

func prefixed(prefix string, files map[string]string) map[string]string {
	m := map[string]string{}
	for path, text := range files {
		m[prefix+path] = text
	}
	return m
}

func plain(t testing.TB) *mem.Store {
	objects := mem.New(mem.Options{})
	mustPut(t, create(t, objects), "main", "keep", "keep")
	return objects
}

// alike are files most of whose bytes are in others.
func alike() map[string]string {
	files := map[string]string{}
	for i := range 12 {
		files[fmt.Sprintf("d%d/f%d", i%3, i)] = noise(uint64(i%4), 3000)
	}
	return files
}

// commitFiles returns a process that commits files under operation 1.
func commitFiles(files map[string]string, packSize int) func(context.Context, objstore.Store) error {
	return func(ctx context.Context, objects objstore.Store) error {
		return commitTo(ctx, objects, opOf(1), files, packSize, func(context.Context, chunk.Store) error { return nil })
	}
}

// retryFor is how long a process tries again: a killed one notices by it that it
// is dead.
const retryFor = 5 * time.Minute

// commitTo commits files to r@main and calls flushed when they are stored.
func commitTo(ctx context.Context, objects objstore.Store, op repo.OpID, files map[string]string, packSize int,
	flushed func(context.Context, chunk.Store) error,
) error {
	o := options(0)
	o.RetryFor = retryFor
	o.Pack.PackSize = packSize
	d, err := repo.OpenDirect(ctx, objects, o)
	if err != nil {
		return err
	}
	defer d.Close()
	c := repo.CommitOptions{Repo: "r", Branch: "main", Op: op, Time: testTime(), Policy: repo.Rebase}
	_, err = repo.Commit(ctx, d, c, func(ctx context.Context, dr *repo.Draft) (tree.Root, error) {
		var edits []tree.Edit
		for _, path := range slices.Sorted(maps.Keys(files)) {
			content, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader(files[path]))
			if err != nil {
				return tree.Root{}, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: content}})
		}
		if err := flushed(ctx, dr.Store); err != nil {
			return tree.Root{}, err
		}
		return dr.Apply(ctx, edits)
	})
	return err
}

// segments makes a store with so many commits that the next one merges their
// index segments.
func segments(t testing.TB) *mem.Store {
	objects := mem.New(mem.Options{})
	d := create(t, objects)
	for i := range 36 {
		mustPut(t, d, "main", fmt.Sprintf("f%d", i), fmt.Sprint(i))
	}
	return objects
}

// halfDead makes a store with a pack of which most is dead.
func halfDead(t testing.TB) *mem.Store {
	objects := mem.New(mem.Options{})
	create(t, objects)
	for branch, n := range map[string]int{"tmp": 12, "main": 4} {
		files := map[string]string{}
		for i := range n {
			files[fmt.Sprintf("f%d", i)] = noise(uint64(100+i), 9000)
		}
		d := open(t, objects)
		op, err := d.NewOp()
		if err == nil {
			o := repo.CommitOptions{Repo: "r", Branch: branch, Op: op, Time: testTime()}
			_, err = repo.Commit(owner(t), d, o, func(ctx context.Context, dr *repo.Draft) (tree.Root, error) {
				var edits []tree.Edit
				for path, text := range files {
					c, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader(text))
					if err != nil {
						return tree.Root{}, err
					}
					edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: c}})
				}
				return dr.Apply(ctx, edits)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, objects)
	head, err := repo.Resolve(owner(t), d, "r@tmp")
	if err != nil {
		t.Fatal(err)
	}
	move(t, d, repo.DeleteBranch{Repo: "r", Branch: "tmp", Expect: head.ID})
	return objects
}

// collectAndCommit stores a commit, collects, and then publishes the commit,
// which has to begin anew.
func collectAndCommit(ctx context.Context, objects objstore.Store) error {
	files := map[string]string{"revived": noise(2, 30_000), "new": "new"}
	var once sync.Once
	return commitTo(ctx, objects, opOf(1), files, 0, func(ctx context.Context, s chunk.Store) (err error) {
		if f, ok := s.(interface{ Flush(context.Context) error }); ok {
			if err := f.Flush(ctx); err != nil {
				return err
			}
		}
		once.Do(func() { err = collectNow(ctx, objects) })
		return err
	})
}

// collectNow collects without waiting for anybody.
func collectNow(ctx context.Context, objects objstore.Store) error {
	o := options(0)
	o.RetryFor = retryFor
	d, err := repo.OpenDirect(ctx, objects, o)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = gc.Collect(ctx, d, gc.Options{Now: o.Now, KeepRoots: -1, Immediate: true, Force: true})
	return err
}

// parts is a store that takes large bodies in parts, as S3 does: the process can
// be killed between any two of them, and the object appears with the last step.
type parts struct{ objstore.Store }

const partBytes = 32 << 10

// Put implements objstore.Store.
func (p parts) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	for n := int64(0); body.Size() > partBytes && n < body.Size(); n += partBytes {
		part := io.NewSectionReader(body, n, min(partBytes, body.Size()-n))
		if _, err := p.Store.Put(ctx, fmt.Sprintf("parts/%s/%d", key, n), part, objstore.Condition{}); err != nil {
			return objstore.Info{}, err
		}
	}
	return p.Store.Put(ctx, key, body, c)
}

// TestCrashes kills each scenario at each of its calls to the store, before the
// call and after it took effect. Then the store is audited, the scenario killed
// again in its repetition, audited, and repeated to its end.
func TestCrashes(t *testing.T) {
	double := seeds(0, 1) > 0
	total := 0
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			before := sc.setup(t)
			count := fault.New(clone(t, before), fault.Options{})
			if err := sc.run(owner(t), count); err != nil {
				t.Fatalf("without a crash: %v", err)
			}
			n := 2 * count.Count() // before and after each
			stride := 1
			if !double { // some of them in go test
				stride = max(1, n/24)
			}
			again := []int{0}
			if double {
				again = []int{0, 1 + count.Count()/4, 1 + count.Count()/2, 1 + count.Count()*3/4}
			}
			points := n / stride * len(again)
			err := workers(points, func(i int) error {
				k, second := i/len(again)*stride, again[i%len(again)]
				plans := []fault.Plan{fault.CrashAt(1+k/2, k%2 == 1)}
				if second > 0 {
					plans = append(plans, fault.CrashAt(second, k%4 < 2))
				}
				if err := sc.crash(t, clone(t, before), plans); err != nil {
					return fmt.Errorf("killed at call %d (applied %v), then at %d: %w", 1+k/2, k%2 == 1, second, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			total += points
		})
	}
	figure(t, "%d crash points: each store whole, each repetition done", total)
}

// crash runs the scenario once under each plan, and then to its end.
func (sc *scenario) crash(t testing.TB, objects *mem.Store, plans []fault.Plan) error {
	ctx := owner(t)
	for _, plan := range append(plans, nil) {
		f := fault.New(objects, fault.Options{Plan: plan})
		if err := sc.run(ctx, f); err != nil && !f.Crashed() {
			return fmt.Errorf("run: %w", err)
		}
		if _, err := audit(ctx, objects, seen{collected: true}); err != nil {
			return err
		}
	}
	return holdsAll(ctx, objects, sc.files)
}

var errTimeout = errors.New("not done in time")
