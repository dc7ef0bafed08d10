package gc

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

// files are what a repairWorld holds under main.
func files() map[string]string {
	return map[string]string{"big": text(1, 60_000), "dir/small": text(2, 700), "dir/other": text(3, 9000), "z": "z"}
}

func repairWorld(t *testing.T) *world {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	for path, text := range files() {
		w.write(d, "a", "main", map[string]string{path: text})
	}
	return w
}

func (w *world) flip(key string, at int) {
	w.t.Helper()
	b, _, err := objstore.ReadAll(w.t.Context(), w.objects, key, objstore.Range{}, 1<<30)
	if err == nil {
		b[(at%len(b)+len(b))%len(b)] ^= 4
		_, err = w.objects.Put(w.t.Context(), key, objstore.Bytes(b), objstore.Condition{})
	}
	if err != nil {
		w.fatal("%v", err)
	}
}

// spoil damages the store in some way.
type spoil struct {
	name string
	do   func(w *world)
}

func eachOf(prefix string, do func(w *world, key string)) func(*world) {
	return func(w *world) {
		for _, key := range w.keys(prefix) {
			do(w, key)
		}
	}
}

func remove(w *world, key string) {
	if err := w.objects.Delete(w.t.Context(), key); err != nil {
		w.fatal("%v", err)
	}
}

// TestRebuildIndex loses or damages index segments: the index is made again,
// and names nothing that is not whole.
func TestRebuildIndex(t *testing.T) {
	for _, s := range []spoil{
		{"all gone", eachOf(pack.SegmentPrefix, remove)},
		{"one gone", func(w *world) { remove(w, w.keys(pack.SegmentPrefix)[0]) }},
		{"head damaged", func(w *world) { w.flip(w.keys(pack.SegmentPrefix)[0], 20) }},
		{"entries damaged", eachOf(pack.SegmentPrefix, func(w *world, key string) { w.flip(key, -60) })},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := repairWorld(t)
			dead := w.session(w.open(nil), "never published")
			dead.Close()
			s.do(w)
			if len(w.damage()) == 0 {
				t.Fatal("the damage was not found")
			}
			o := RebuildOptions{Now: w.clock.Now, DryRun: true}
			plan, err := RebuildIndex(w.ctx(), w.open(nil), o)
			if err != nil || plan.Packs == 0 || len(plan.Replaced) == 0 {
				t.Fatalf("%+v, %v", plan, err)
			}
			if len(w.damage()) == 0 {
				t.Fatal("a dry run repaired")
			}
			o.DryRun = false
			r, err := RebuildIndex(w.ctx(), w.open(nil), o)
			if err != nil || r.Missing != 0 || r.Packs != plan.Packs {
				t.Fatalf("%+v, %v", r, err)
			}
			w.whole()
		})
	}
	w := repairWorld(t)
	if r, err := RebuildIndex(w.ctx(), w.open(nil), RebuildOptions{Now: w.clock.Now}); err != nil || r.Gen != 0 || len(r.Replaced) != 0 {
		t.Errorf("a sound index: %+v, %v", r, err)
	}
	if r, err := RebuildIndex(w.ctx(), w.open(nil), RebuildOptions{Now: w.clock.Now, All: true}); err != nil || r.Gen == 0 {
		t.Errorf("all of a sound index: %+v, %v", r, err)
	}
	w.whole()
}

// whole checks the store and all files, also after a collection.
func (w *world) whole() {
	w.t.Helper()
	for range 2 {
		if found := w.damage(); len(found) > 0 {
			w.t.Fatalf("damage %+v", found[0])
		}
		d := w.open(nil)
		for path, want := range files() {
			if got := w.read(d, "a:/"+path); got != want {
				w.t.Fatalf("%s is %.40q", path, got)
			}
		}
		w.collect(d, Options{Force: true, Immediate: true, KeepRoots: -1})
	}
}

// TestHeal damages packs in many ways and takes what was lost from files or
// from another store.
func TestHeal(t *testing.T) {
	for _, s := range []spoil{
		{"all packs gone", eachOf(pack.PackPrefix, remove)},
		{"one pack gone", func(w *world) { remove(w, w.keys(pack.PackPrefix)[0]) }},
		{"bits of bodies", eachOf(pack.PackPrefix, func(w *world, key string) { w.flip(key, 30) })},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := repairWorld(t)
			mirror := w.fork()
			s.do(w)
			from, err := mirror.open(nil).ReadAny(w.ctx())
			if err != nil {
				t.Fatal(err)
			}
			o := HealOptions{Now: w.clock.Now, Store: from, ReadData: true, DryRun: true}
			before := w.keys("")
			plan, err := Heal(w.ctx(), w.objects, w.options(), o)
			if err != nil || plan.Found == 0 || plan.Left != 0 || plan.Gen != 0 {
				t.Fatalf("%+v, %v", plan, err)
			}
			if after := w.keys(""); !slices.Equal(before, after) {
				t.Errorf("a dry run wrote: %d objects before, %d after", len(before), len(after))
			}
			o.DryRun = false
			if r, err := Heal(w.ctx(), w.objects, w.options(), o); err != nil || r.Left != 0 || r.Found < r.Lost {
				t.Fatalf("%+v, %v", r, err)
			}
			w.collect(w.open(nil), Options{Force: true, Immediate: true, KeepRoots: -1})
			w.whole()
		})
	}
	t.Run("from files", func(t *testing.T) {
		w := repairWorld(t)
		for _, key := range w.keys(pack.PackPrefix) {
			if strings.HasSuffix(key, "0") { // data comes before metadata
				w.flip(key, 30)
			}
		}
		dir := fstest.MapFS{"unrelated": {Data: []byte("x")}}
		for path, text := range files() {
			dir["renamed/"+path] = &fstest.MapFile{Data: []byte(text)}
		}
		o := HealOptions{Now: w.clock.Now, Files: dir, ReadData: true}
		r, err := Heal(w.ctx(), w.objects, w.options(), o)
		if err != nil || r.Lost == 0 || r.Left != 0 || r.Files != 5 {
			t.Fatalf("%+v, %v", r, err)
		}
		w.collect(w.open(nil), Options{Force: true, Immediate: true, KeepRoots: -1})
		w.whole()
		if r, err = Heal(w.ctx(), w.objects, w.options(), o); err != nil || r.Lost != 0 {
			t.Errorf("nothing is lost: %+v, %v", r, err)
		}
	})
	if _, err := Heal(t.Context(), mem.New(mem.Options{}), repo.Options{}, HealOptions{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("from nothing: %v", err)
	}
}

// TestRepair loses data without a copy: another branch says so in its place.
func TestRepair(t *testing.T) {
	w := repairWorld(t)
	d := w.open(nil)
	before := w.keys("")
	v, err := repo.Resolve(w.ctx(), d, "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range before {
		if strings.HasPrefix(key, pack.PackPrefix) && w.packHolds(key, text(1, 60_000)[:300]) {
			w.flip(key, 30)
		}
	}
	o := CheckOptions{Now: w.clock.Now, Level: CheckData}
	plan, err := Repair(w.ctx(), w.open(nil), o, true)
	if err != nil || len(plan) != 1 || !slices.Equal(plan[0].Lost, []string{"big"}) || !plan[0].Commit.IsZero() {
		t.Fatalf("%+v, %v", plan, err)
	}
	done, err := Repair(w.ctx(), w.open(nil), o, false)
	if err != nil || len(done) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	d = w.open(nil)
	expr := "a@" + done[0].Branch + ":/"
	if got := w.read(d, expr+"big"+TombstoneSuffix); !strings.Contains(got, "was lost") {
		t.Errorf("tombstone %q", got)
	}
	if w.read(d, expr+"dir/other") != text(3, 9000) || w.read(d, "a:/z") != "z" {
		t.Error("what was sound changed")
	}
	if now, err := repo.Resolve(w.ctx(), d, "a"); err != nil || now.ID != v.ID {
		t.Errorf("the damaged branch moved: %v", err)
	}
	after := w.keys("")
	for _, key := range before {
		if !slices.Contains(after, key) {
			t.Errorf("%s was deleted", key)
		}
	}
}

// packHolds reports whether one sound pack holds the bytes.
func (w *world) packHolds(key, needle string) bool {
	w.t.Helper()
	st, err := pack.New(w.objects, pack.Options{})
	if err != nil {
		w.fatal("%v", err)
	}
	defer st.Close()
	found := false
	err = st.ReadChunks(w.t.Context(), key, func(*pack.Entry) (bool, error) { return true, nil }, func(_ *pack.Entry, plain []byte) error {
		found = found || strings.Contains(string(plain), needle)
		return nil
	})
	if err != nil {
		w.fatal("%v", err)
	}
	return found
}

// TestRecover loses or damages the root.
func TestRecover(t *testing.T) {
	for _, s := range []spoil{
		{"gone", func(w *world) { remove(w, "root") }},
		{"damaged", func(w *world) { w.flip("root", 40) }},
	} {
		w := repairWorld(t)
		old := w.session(w.open(nil), "of a session that began before")
		was, err := w.open(nil).Root(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := repo.Recover(w.ctx(), w.objects, repo.RootCopyKey(was), w.options()); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over a sound root: %v", err)
		}
		s.do(w)
		if found := w.damage(); len(found) != 1 || found[0].Kind != BadRoot {
			t.Errorf("%s: found %+v", s.name, found)
		}
		copies, err := RootCopies(w.ctx(), w.objects)
		if err != nil || len(copies) < 2 || copies[0].Problem != "" || copies[0].Gen != was.Gen {
			t.Fatalf("%s: copies %+v, %v", s.name, copies, err)
		}
		r, err := repo.Recover(w.ctx(), w.objects, copies[0].Key, w.options())
		if err != nil || r.Gen != was.Gen+1 || r.Floor != was.Gen {
			t.Fatalf("%s: %+v, %v", s.name, r, err)
		}
		w.whole()
		_ = old
	}
}

// TestRebuildBesideCollection has a collection bury a pack that the new index is
// about to name, since a chunk that is live is in it too: it must not be named.
func TestRebuildBesideCollection(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	same := text(1, 500) // one chunk, however it is cut
	stray := w.session(w.open(nil), same)
	stray.Close()
	w.write(d, "a", "main", map[string]string{"f": same})
	w.write(d, "a", "main", map[string]string{"g": text(2, 500)})
	collected := false
	f := fault.New(w.objects, fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		if c.Kind == fault.Put && strings.HasPrefix(c.Key, pack.SegmentPrefix) && !collected {
			collected = true
			w.collect(w.open(nil), Options{Force: true})
		}
		return nil
	}})
	if _, err := RebuildIndex(w.ctx(), w.open(f), RebuildOptions{Now: w.clock.Now}); err != nil || !collected {
		t.Fatalf("collected %v: %v", collected, err)
	}
	w.clock.advance(48 * time.Hour)
	if r := w.collect(w.open(nil), Options{Force: true}); r.Deleted == 0 {
		t.Errorf("nothing was deleted: %+v", r)
	}
	if found := w.damage(); len(found) > 0 || w.read(d, "a:/f") != same {
		t.Errorf("damage %+v", found)
	}
}
