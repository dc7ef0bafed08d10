package worktree

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestUpdate turns random directories into others, with files of nobody's
// interest in between.
func TestUpdate(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	s := &chunk.Mem{}
	dir, index := workingCopy(t)
	from, was := disk{}.store(t, s), disk{}
	for round := range 40 {
		want := randomDisk(rng, rng.IntN(30))
		to := want.store(t, s)
		o := CheckoutOptions{AnyLinks: true, System: "linux"}
		if round%2 == 0 {
			o.Index = index
		}
		_, err := Update(context.Background(), s, from, to, dir, o)
		if err != nil {
			t.Fatalf("round %d, from %q to %q: %v", round, was, want, err)
		}
		if diff := cmp.Diff(want, readDisk(t, dir)); diff != "" {
			t.Fatalf("round %d, from %q: disk (-want +got):\n%s", round, was, diff)
		}
		if changes, _ := status(t, s, to, Options{Dir: dir, Index: index, AllowNonportable: true}); len(changes) > 0 {
			t.Fatalf("round %d: after the update: %q", round, changes)
		}
		from, was = to, want
	}
}

func TestUpdateKeepsLocalChanges(t *testing.T) {
	for name, c := range map[string]struct {
		from, to, local disk     // local: on disk, in place of from; "" as text of nothing
		refused         []string // nil: the update works
		want            disk     // on disk after it, or after a forced one
	}{
		"other file changed":      {disk{"a": "1", "b": "1"}, disk{"a": "2", "b": "1"}, disk{"a": "1", "b": "9"}, nil, disk{"a": "2", "b": "9"}},
		"untracked file":          {disk{"a": "1"}, disk{"a": "2"}, disk{"a": "1", "u/v": "9"}, nil, disk{"a": "2", "u/v": "9"}},
		"changed file":            {disk{"a": "1"}, disk{"a": "2"}, disk{"a": "9"}, []string{"a"}, disk{"a": "2"}},
		"changed to the same":     {disk{"a": "1"}, disk{"a": "2"}, disk{"a": "2"}, nil, disk{"a": "2"}},
		"executable":              {disk{"a": "1"}, disk{"a": "2"}, disk{"a": "*1"}, []string{"a"}, disk{"a": "2"}},
		"removed, changed":        {disk{"a": "1"}, disk{}, disk{"a": "9"}, []string{"a"}, disk{}},
		"removed, gone":           {disk{"a": "1"}, disk{}, disk{}, nil, disk{}},
		"changed, gone":           {disk{"a": "1"}, disk{"a": "2"}, disk{}, nil, disk{"a": "2"}},
		"added over untracked":    {disk{}, disk{"a": "1"}, disk{"a": "9"}, []string{"a"}, disk{"a": "1"}},
		"added over same":         {disk{}, disk{"a": "1"}, disk{"a": "1"}, nil, disk{"a": "1"}},
		"below untracked file":    {disk{}, disk{"a/b": "1"}, disk{"a": "9"}, []string{"a"}, disk{"a/b": "1"}},
		"below untracked link":    {disk{}, disk{"a/b": "1"}, disk{"a": "->x", "x/": ""}, []string{"a"}, disk{"a/b": "1", "x/": ""}},
		"below a link that goes":  {disk{"a": "->x", "x/y": "1"}, disk{"a/b": "1", "x/y": "1"}, disk{"a": "->x", "x/y": "1"}, nil, disk{"a/b": "1", "x/y": "1"}},
		"dir with untracked":      {disk{"d/a": "1"}, disk{}, disk{"d/a": "1", "d/u": "9"}, nil, disk{"d/u": "9"}},
		"file over dir":           {disk{"d/a": "1"}, disk{"d": "1"}, disk{"d/a": "1"}, nil, disk{"d": "1"}},
		"file over empty dirs":    {disk{}, disk{"d": "1"}, disk{"d/e/": ""}, nil, disk{"d": "1"}},
		"file over untracked dir": {disk{"d/a": "1"}, disk{"d": "1"}, disk{"d/a": "1", "d/u/v": "9"}, []string{"d/u/v"}, disk{"d": "1"}},
		"link over untracked":     {disk{}, disk{"l": "->a"}, disk{"l": "9"}, []string{"l"}, disk{"l": "->a"}},
		"emptied dir stays":       {disk{"d/a": "1"}, disk{"d/": ""}, disk{"d/a": "1"}, nil, disk{"d/": ""}},
		"dir over file":           {disk{}, disk{"d/": ""}, disk{"d": "9"}, []string{"d/"}, disk{"d/": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &chunk.Mem{}
			from, to := c.from.store(t, s), c.to.store(t, s)
			dir, _ := workingCopy(t)
			c.local.write(t, dir)
			_, err := Update(context.Background(), s, from, to, dir, CheckoutOptions{})
			if c.refused != nil {
				wantProblems(t, err, ErrModified, c.refused...)
				if diff := cmp.Diff(c.local, readDisk(t, dir)); diff != "" {
					t.Fatalf("a refused update changed the disk (-before +after):\n%s", diff)
				}
				_, err = Update(context.Background(), s, from, to, dir, CheckoutOptions{Force: true})
			}
			must(t, err)
			if diff := cmp.Diff(c.want, readDisk(t, dir)); diff != "" {
				t.Errorf("disk (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUpdateAgainAfterFailure fails an update at each of its contents in turn.
func TestUpdateAgainAfterFailure(t *testing.T) {
	s := &chunk.Mem{}
	was := disk{"a": "1", "b/c": "2", "d": "3", "e/f": "4", "l": "->a"}
	now := disk{"a": "5", "b": "6", "d/e": "7", "e/f": "8", "l": "->d/e"}
	from, to := was.store(t, s), now.store(t, s)
	for _, text := range []string{"5", "6", "7", "8", "d/e"} {
		dir, _ := workingCopy(t)
		was.write(t, dir)
		_, err := Update(context.Background(), failingReader{s, chunk.Data.Sum([]byte(text))}, from, to, dir, CheckoutOptions{Workers: 1})
		if !errors.Is(err, errTest) {
			t.Fatalf("update without %q: %v", text, err)
		}
		for path := range readDisk(t, dir) {
			if isOurs(filepath.Base(path), false) {
				t.Errorf("update without %q left %s", text, path)
			}
		}
		_, err = Update(context.Background(), s, from, to, dir, CheckoutOptions{})
		must(t, err)
		if diff := cmp.Diff(now, readDisk(t, dir)); diff != "" {
			t.Errorf("after an update without %q: disk (-want +got):\n%s", text, diff)
		}
	}
}

// TestUpdateOverLeftovers meets the temporary files of one that was killed.
func TestUpdateOverLeftovers(t *testing.T) {
	s := &chunk.Mem{}
	dir, _ := workingCopy(t)
	left := disk{tempPrefix + "1": "x", tempPrefix + "2": "y"}
	left.write(t, dir)
	want := disk{"a": "1", "b": "2", "l": "->a"}
	_, err := Update(context.Background(), s, tree.Root{}, want.store(t, s), dir, CheckoutOptions{})
	must(t, err)
	maps.Copy(want, left)
	if diff := cmp.Diff(want, readDisk(t, dir)); diff != "" {
		t.Errorf("disk (-want +got):\n%s", diff)
	}
}

// TestUpdateLeavesLinks updates around links that were committed from here and
// could not be made anew, and refuses those that it would have to make.
func TestUpdateLeavesLinks(t *testing.T) {
	s := &chunk.Mem{}
	dir, _ := workingCopy(t)
	was := disk{"a": "1", "d/b": "2", "out": "->/elsewhere", "d/up": "->../.."}
	was.write(t, dir)
	from := was.store(t, s)
	want := disk{"a": "3", "d/b": "4", "out": "->/elsewhere", "d/up": "->../.."}
	to := want.store(t, s)
	_, err := Update(context.Background(), s, from, to, dir, CheckoutOptions{})
	must(t, err)
	if diff := cmp.Diff(want, readDisk(t, dir)); diff != "" {
		t.Errorf("disk (-want +got):\n%s", diff)
	}
	other := disk{"a": "3", "d/b": "4", "out": "->/somewhere", "d/up": "->../.."}
	_, err = Update(context.Background(), s, to, other.store(t, s), dir, CheckoutOptions{})
	wantProblems(t, err, ErrLink, "out")
}

// TestUpdateSeesChangeAfterLook changes a file between look and write.
func TestUpdateSeesChangeAfterLook(t *testing.T) {
	s := &chunk.Mem{}
	from, to := disk{"a": "1", "b": "1"}.store(t, s), disk{"a": "22", "b": "22"}.store(t, s)
	dir, _ := workingCopy(t)
	disk{"a": "1", "b": "1"}.write(t, dir)
	r := hookReader{s, chunk.Data.Sum([]byte("22")), func() {
		must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("mine"), 0o644))
	}}
	_, err := Update(context.Background(), r, from, to, dir, CheckoutOptions{Workers: 1})
	if !errors.Is(err, ErrChanging) {
		t.Errorf("update: %v, want ErrChanging", err)
	}
	if got := readDisk(t, dir)["b"]; got != "mine" {
		t.Errorf("b holds %q, which was written meanwhile", got)
	}
}

// hookReader calls a function when a chunk is read.
type hookReader struct {
	chunk.Reader
	id   chunk.ID
	hook func()
}

func (h hookReader) Get(ctx context.Context, k chunk.Kind, id chunk.ID) ([]byte, error) {
	if id == h.id {
		h.hook()
	}
	return h.Reader.Get(ctx, k, id)
}
