package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/repo"
)

// keeper knows which versions of a story retention may have given up. A nil one
// is for stories without retention.
type keeper struct {
	versions map[commit.ID]version
	policies map[string]*repo.Retention // by branch
	tags     map[string]commit.ID
	may      map[commit.ID]bool // expired if a collection thought so
	n        int
}

// version is what a commit of a story is.
type version struct {
	parent commit.ID
	files  map[string]string
	time   time.Time
}

func (k *keeper) made(id, parent commit.ID, files map[string]string, c *clock) {
	if k != nil && id != parent { // nothing to commit
		k.versions[id] = version{parent, maps.Clone(files), c.Now()}
	}
}

func (k *keeper) tag(name string, id commit.ID) {
	if k == nil {
		return
	}
	if delete(k.tags, name); !id.IsZero() {
		k.tags[name] = id
	}
}

// step sets or clears a retention, or gives an old version a name.
func (k *keeper) step(h *story) {
	ctx, b := h.ctx(), h.branch()
	if h.rng.IntN(2) == 0 {
		var keep *repo.Retention
		if h.rng.IntN(4) > 0 {
			keep = &repo.Retention{Last: int64(1 + h.rng.IntN(2))}
			if h.rng.IntN(3) == 0 {
				keep.Age = int64(1+h.rng.IntN(50)) * time.Hour.Milliseconds()
			}
		}
		h.note("keep %+v of %s", keep, b)
		h.move(h.d, repo.SetRetention{Repo: "a", Branch: b, Keep: keep})
		k.policies[b] = keep
		return
	}
	line := k.line(h.heads[b])
	id := line[h.rng.IntN(len(line))]
	k.n++
	name := fmt.Sprint("old", k.n)
	op, err := h.d.NewOp()
	if err != nil {
		h.fail("%v", err)
	}
	_, err = h.d.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.CreateBranch{Repo: "a", Branch: name, From: id}}})
	h.note("branch %s from %v of %s: %v", name, id.Short(), b, err)
	switch {
	case err == nil:
		h.files[name], h.heads[name] = maps.Clone(k.versions[id].files), id
	case !errors.Is(err, repo.ErrExpired) || !k.may[id]:
		h.fail("branch from %v: %v", id.Short(), err)
	}
}

// line returns a version with all before it.
func (k *keeper) line(head commit.ID) []commit.ID {
	var ids []commit.ID
	for id := head; !id.IsZero(); id = k.versions[id].parent {
		ids = append(ids, id)
	}
	return ids
}

// slack is how much later than the model a collection may look at its clock.
const slack = time.Minute

// mayExpire notes what a collection that looks at the names now may give up.
func (k *keeper) mayExpire(h *story) {
	if k == nil || h.depth == 0 {
		return
	}
	now := h.clock.Now().Add(slack)
	gone, kept := map[commit.ID]bool{}, map[commit.ID]bool{}
	for b, head := range h.heads {
		if h.files[b] == nil {
			continue
		}
		replaced, keep := now, k.policies[b]
		for i, id := range k.line(head) {
			switch {
			case keep == nil || i == 0 || int64(i) < keep.Last || now.Sub(replaced) < keep.AgeTime():
				kept[id] = true
			default:
				gone[id] = true
			}
			replaced = k.versions[id].time
		}
	}
	for _, id := range k.tags {
		kept[id] = true
	}
	for id := range gone {
		if !kept[id] {
			k.may[id] = true
		}
	}
}

// verify reads every version that a branch reaches: it is whole, or it has
// expired and may have.
func (k *keeper) verify(h *story, d *repo.Direct) {
	if k == nil {
		return
	}
	seen := map[commit.ID]bool{}
	for b, head := range h.heads {
		if h.files[b] == nil {
			continue
		}
		for _, id := range k.line(head) {
			if seen[id] {
				continue
			}
			seen[id] = true
			err := h.whole(d, id, k.versions[id].files)
			if err != nil && (!errors.Is(err, repo.ErrExpired) || !k.may[id]) {
				h.fail("version %v of %s, may expire %v: %v", id.Short(), b, k.may[id], err)
			}
		}
	}
}

// whole reads a version and compares it.
func (h *story) whole(d *repo.Direct, id commit.ID, files map[string]string) error {
	t, _, err := repo.Open(h.ctx(), d, "a@"+id.String())
	if err != nil {
		return err
	}
	got := map[string]string{}
	for path := range files {
		if _, err := t.Lookup(h.ctx(), path); err != nil {
			return err
		}
		got[path] = h.read(d, "a@"+id.String()+":/"+path)
	}
	if len(files) == 0 {
		for _, err := range t.Entries(h.ctx(), "", "") {
			return err
		}
	}
	if int(t.Root().Files) != len(files) || !maps.Equal(got, files) {
		return fmt.Errorf("it has %d files, want %d, or their texts differ", t.Root().Files, len(files))
	}
	return nil
}

// versionsOf commits n versions to a branch, in each of which a file of its own
// takes the place of the last one's.
func (w *world) versionsOf(d *repo.Direct, branch string, n int) []commit.ID {
	w.t.Helper()
	var ids []commit.ID
	for i := range n {
		ids = append(ids, w.write(d, "a", branch, map[string]string{
			"keep": text(1, 9000), "dir/f": text(uint64(100+i), 9000),
		}))
		w.clock.advance(time.Hour)
	}
	return ids
}

// lives reports, for each version, whether its files can be read; that they
// can't must be because they have expired.
func (w *world) lives(d *repo.Direct, ids []commit.ID) string {
	w.t.Helper()
	var b strings.Builder
	for i, id := range ids {
		_, _, err := repo.GetFile(w.ctx(), d, "a@"+id.String()+":/dir/f")
		switch {
		case err == nil:
			b.WriteByte('x')
			if got := w.read(d, "a@"+id.String()+":/dir/f"); got != text(uint64(100+i), 9000) {
				w.fatal("version %d: %.30q", i, got)
			}
		case errors.Is(err, repo.ErrExpired) && errors.Is(err, fs.ErrNotExist):
			b.WriteByte('-')
		default:
			w.fatal("version %d: %v", i, err)
		}
	}
	return b.String()
}

// TestRetention gives versions up by number, by age and with tags, other
// branches and copies of roots in the way. Their messages stay.
func TestRetention(t *testing.T) {
	hours := func(n int64) int64 { return n * time.Hour.Milliseconds() }
	for name, x := range map[string]struct {
		keep repo.Retention
		prep func(w *world, d *repo.Direct, ids []commit.ID)
		o    Options
		want string // of ten versions, an hour apart
	}{
		"last":          {keep: repo.Retention{Last: 3}, want: "-------xxx"},
		"more than all": {keep: repo.Retention{Last: 30}, want: "xxxxxxxxxx"},
		"age":           {keep: repo.Retention{Age: hours(4)}, want: "------xxxx"}, // the one that was current then too
		"either":        {keep: repo.Retention{Last: 6, Age: hours(3)}, want: "----xxxxxx"},
		"tag": {
			keep: repo.Retention{Last: 1}, want: "--x------x",
			prep: func(w *world, d *repo.Direct, ids []commit.ID) {
				w.move(d, repo.CreateTag{Repo: "a", Tag: "t", Commit: ids[2]})
			},
		},
		"branch with its own": {
			keep: repo.Retention{Last: 1}, want: "---xx----x",
			prep: func(w *world, d *repo.Direct, ids []commit.ID) {
				w.move(d, repo.CreateBranch{Repo: "a", Branch: "b", From: ids[4]})
				w.move(d, repo.SetRetention{Repo: "a", Branch: "b", Keep: &repo.Retention{Last: 2}})
			},
		},
		"branch that keeps all": {
			keep: repo.Retention{Last: 1}, want: "xxxxx----x",
			prep: func(w *world, d *repo.Direct, ids []commit.ID) {
				w.move(d, repo.CreateBranch{Repo: "a", Branch: "b", From: ids[4]})
			},
		},
		"grace": {keep: repo.Retention{Last: 1}, o: Options{Grace: 4 * time.Hour}, want: "------xxxx"},
		"undo":  {keep: repo.Retention{Last: 1}, o: Options{KeepRoots: 6 * time.Hour}, want: "----xxxxxx"},
	} {
		w := newWorld(t)
		d := w.open(nil)
		w.move(d, repo.CreateRepo{Repo: "a"})
		ids := w.versionsOf(d, "main", 10)
		w.move(d, repo.SetRetention{Repo: "a", Branch: "main", Keep: &x.keep})
		if x.prep != nil {
			x.prep(w, d, ids)
		}
		if x.o.KeepRoots == 0 {
			x.o.KeepRoots = -1
		}
		x.o.Force, x.o.Immediate = true, x.o.Grace == 0
		x.o.DryRun = true
		before := w.lives(d, ids)
		r := w.collect(d, x.o)
		if n := strings.Count(x.want, "-"); int(r.Expired) != n || (r.FreedBytes > int64(n)*4000) != (n > 0) || w.lives(d, ids) != before {
			t.Errorf("%s: %d would expire, %d bytes", name, r.Expired, r.FreedBytes)
		}
		x.o.DryRun = false
		for range 2 {
			w.collect(d, x.o)
			d = w.open(nil)
			if got := w.lives(d, ids); got != x.want {
				t.Errorf("%s: %s, want %s", name, got, x.want)
			}
		}
		w.check(t, name)
		n := 0
		for _, err := range commit.Log(w.ctx(), w.readAny(d), ids[9], commit.LogOptions{}) {
			if n++; err != nil {
				t.Errorf("%s: log: %v", name, err)
			}
		}
		if n != 10 {
			t.Errorf("%s: %d versions are in the log", name, n)
		}
		for i, id := range ids {
			if x.o.Immediate && w.holds(text(uint64(100+i), 9000)[:500]) != (x.want[i] == 'x') {
				t.Errorf("%s: the bytes of version %d (%v): %v", name, i, id.Short(), x.want[i] == '-')
			}
		}
	}
}

func (w *world) readAny(d *repo.Direct) chunk.Reader {
	w.t.Helper()
	r, err := d.ReadAny(w.ctx())
	if err != nil {
		w.fatal("%v", err)
	}
	return r
}

// TestRetentionCleared clears a retention, and takes the branch away that had
// it: what has expired stays so, wherever else it is reached from, and nothing
// more does.
func TestRetentionCleared(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	now := Options{KeepRoots: -1, Force: true, Immediate: true}
	ids := w.versionsOf(d, "b", 4)
	w.move(d, repo.SetRetention{Repo: "a", Branch: "b", Keep: &repo.Retention{Last: 2}})
	w.collect(d, now)
	w.move(d, repo.SetRetention{Repo: "a", Branch: "b"}, repo.CreateBranch{Repo: "a", Branch: "c", From: ids[3]},
		repo.DeleteBranch{Repo: "a", Branch: "b", Expect: ids[3]})
	for _, to := range ids[:2] { // they can't be named any more
		op, _ := d.NewOp()
		_, err := d.Move(w.ctx(), repo.Txn{Op: op, Ops: []repo.Op{repo.CreateTag{Repo: "a", Tag: "t", Commit: to}}})
		if !errors.Is(err, repo.ErrExpired) {
			t.Errorf("tag of %v: %v", to.Short(), err)
		}
	}
	more := w.write(d, "a", "c", map[string]string{"more": "x"})
	for range 2 {
		w.collect(d, now)
		if got := w.lives(w.open(nil), ids); got != "--xx" {
			t.Errorf("versions %s", got)
		}
		w.check(t, "cleared")
	}
	if _, err := Purge(w.ctx(), d, PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"keep"}}); err != nil {
		t.Errorf("purge over expired versions: %v", err)
	}
	w.collect(d, now)
	w.check(t, "purged")
	w.move(d, repo.DeleteRepo{Repo: "a"})
	w.collect(d, now)
	if n := len(w.keys("packs/")); n != 0 {
		t.Errorf("%d packs are left of nothing; %v", n, more)
	}
}

// namedMeanwhile gives a version a name between the mark and the swap of the
// collection that gives it up.
func namedMeanwhile(t *testing.T, w *world, r rules) {
	d := w.open(nil)
	ids := w.versionsOf(d, "main", 3)
	w.move(d, repo.SetRetention{Repo: "a", Branch: "main", Keep: &repo.Retention{Last: 1}})
	done := false
	f := fault.New(w.objects, fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		if c.Kind == fault.Put && strings.HasPrefix(c.Key, repo.RootPrefix) && !done {
			done = true
			w.move(d, repo.CreateTag{Repo: "a", Tag: "t", Commit: ids[0]})
		}
		return nil
	}})
	if _, err := Collect(w.ctx(), w.open(f), Options{Now: w.clock.Now, KeepRoots: -1, Force: true, Immediate: true, rules: r}); err != nil {
		t.Fatal(err)
	}
	root, err := w.open(nil).Root(w.ctx())
	if err != nil || root.Repos["a"].Tags["t"].Commit != ids[0] {
		t.Fatalf("the tag was not made: %v", err)
	}
	if r == (rules{}) {
		if got := w.lives(w.open(nil), ids); got != "x-x" {
			t.Errorf("versions %s", got)
		}
	}
}

// TestRetentionCrashes kills a collection that gives versions up at each of its
// calls: what it does not give up is whole, and another one finishes.
func TestRetentionCrashes(t *testing.T) {
	base := newWorld(t)
	d := base.open(nil)
	base.move(d, repo.CreateRepo{Repo: "a"})
	ids := base.versionsOf(d, "main", 4)
	base.move(d, repo.SetRetention{Repo: "a", Branch: "main", Keep: &repo.Retention{Last: 2}})
	o := Options{Now: base.clock.Now, KeepRoots: -1, Force: true, Immediate: true, Workers: 1}
	points := 0
	for k := 1; ; k++ {
		ended := false
		for _, applied := range []bool{false, true} {
			w := base.fork()
			f := fault.New(w.objects, fault.Options{})
			d := w.openFor(f, 1)
			f.Revive(offset(fault.CrashAt(k, applied), f.Count()))
			_, err := Collect(w.ctx(), d, o)
			if ended = err == nil && !f.Crashed(); ended {
				break
			}
			what := fmt.Sprintf("killed at call %d, applied %v", k, applied)
			w.check(t, what)
			if got := w.lives(w.open(nil), ids); got != "xxxx" && got != "--xx" {
				t.Fatalf("%s: versions %s", what, got)
			}
			w.collect(w.open(nil), o)
			w.check(t, what+", collected")
			if got := w.lives(w.open(nil), ids); got != "--xx" {
				t.Fatalf("%s, collected: versions %s", what, got)
			}
			points++
		}
		if ended {
			break
		}
	}
	t.Logf("%d crash points", points)
}
