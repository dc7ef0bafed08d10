package journal

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// How much damage is done: few by default, all for a release.
var (
	mutations = flag.Int("journal.mutations", 24, "bytes to flip, 0: each one of every file")
	rounds    = flag.Int("journal.rounds", 20, "processes to kill")
	seed      = flag.Uint64("journal.seed", 1, "which bytes are flipped, and when processes are killed")
)

// image is the files of a folder, each without the zeros that it ends with.
type image map[string]file

type file struct {
	data []byte
	size int64
}

func takeImage(t *testing.T, dir string) image {
	t.Helper()
	img := image{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		img[filepath.ToSlash(rel)] = file{bytes.TrimRight(b, "\x00"), int64(len(b))}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func (img image) write(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, f := range img {
		name = filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if err == nil {
			err = os.WriteFile(name, f.data, 0o600)
		}
		if err == nil {
			err = os.Truncate(name, f.size)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names returns the names of the files that hold state.
func (img image) names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(img)), func(n string) bool { return n == lockName })
}

// with returns img with another file in one place.
func (img image) with(name string, f file) image {
	c := maps.Clone(img)
	c[name] = f
	return c
}

// crashed returns a journal as a crash leaves it, with records in tables and in
// a log, and what it must replay.
func crashed(t *testing.T) (image, []Record) {
	t.Helper()
	dir := t.TempDir()
	j := openIntact(t, dir)
	for i := range 20 {
		add(t, j, fmt.Sprintf("first %d", i), strings.Repeat("z", i))
	}
	closeList(t, j)
	j = openIntact(t, dir)
	defer closeList(t, j)
	if err := j.Trim(context.Background(), 7); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		add(t, j, fmt.Sprintf("second %d", i))
	}
	img := takeImage(t, dir)
	kinds := map[string]bool{}
	for name := range img {
		kinds[filepath.Ext(name)] = true
	}
	if !kinds[".mem"] || !kinds[".sst"] {
		t.Fatalf("the crash leaves only %v", img.names())
	}
	return img, replay(t, j)
}

// verdict opens what img describes and checks that the journal has all records,
// or has lost its state and says so.
func verdict(t *testing.T, img image, want []Record) Recovery {
	t.Helper()
	dir := img.write(t)
	j, rec := open(t, dir)
	defer closeList(t, j)
	got := replay(t, j)
	switch {
	case !rec.StateLost:
		if !equal(got, want) {
			t.Fatalf("replayed %q, want %q", texts(got), texts(want))
		}
	case len(got) > 0:
		t.Fatalf("state was lost (%s), but records are there: %q", rec.Reason, texts(got))
	case rec.Reason == "" || filepath.Dir(rec.Moved) != dir:
		t.Fatalf("recovery %+v", rec)
	default:
		if _, err := os.Stat(rec.Moved); err != nil {
			t.Fatalf("state was set aside: %v", err)
		}
	}
	if rec.StateLost || len(want) == 0 { // the others are as good as new
		if last := add(t, j, "more"); last != rec.High+1 {
			t.Fatalf("after %d came %d", rec.High, last)
		}
	}
	return rec
}

func TestACrashLosesNothing(t *testing.T) {
	img, want := crashed(t)
	if len(want) != 43 {
		t.Fatalf("the image has %d records", len(want))
	}
	if rec := verdict(t, img, want); rec.StateLost || rec.High != 50 || rec.Trimmed != 7 {
		t.Errorf("recovery %+v", rec)
	}
}

// TestFlippedBytes damages one byte at a time. A file that holds records must
// not give others.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	img, want := crashed(t)
	rng := rand.New(rand.NewPCG(*seed, 0))
	lost, done := 0, 0
	flip := func(name string, at int, by byte) {
		f := img[name]
		f.data = slices.Clone(f.data)
		if at >= len(f.data) {
			f.data = append(f.data, make([]byte, at+1-len(f.data))...)
		}
		f.data[at] ^= by
		t.Logf("flip %s at %d by %#x", name, at, by) // seen if the process dies of it
		if verdict(t, img.with(name, f), want).StateLost {
			lost++
		}
		done++
	}
	names := img.names()
	if *mutations == 0 {
		for _, name := range names {
			for at := range img[name].data {
				flip(name, at, byte(1+rng.IntN(255)))
			}
		}
	}
	for i := range *mutations {
		name := names[i%len(names)]
		if n := min(len(img[name].data)+30, int(img[name].size)); n > 0 {
			flip(name, rng.IntN(n), byte(1+rng.IntN(255)))
		}
	}
	t.Logf("%d flips, %d lost the state", done, lost)
	if done > 20 && (lost == 0 || lost == done) {
		t.Errorf("of %d flips, %d lost the state: the damage is not where it should be", done, lost)
	}
}

func TestTruncatedAndMissingFiles(t *testing.T) {
	t.Parallel()
	img, want := crashed(t)
	rng := rand.New(rand.NewPCG(*seed, 1))
	for _, name := range img.names() {
		f := img[name]
		cuts := []int{0, len(f.data) - 1}
		if unused := idle(filepath.Base(name)) || filepath.Base(name) == "LOCK"; unused {
			cuts = []int{0}
		} else if *mutations == 0 {
			for n := range f.data {
				cuts = append(cuts, n)
			}
		} else if len(f.data) > 0 {
			cuts = append(cuts, rng.IntN(len(f.data)))
		}
		for _, n := range cuts {
			if n < 0 {
				continue
			}
			t.Logf("cut %s to %d", name, n)
			rec := verdict(t, img.with(name, file{f.data[:n], int64(n)}), want)
			if strings.HasSuffix(name, ".sst") && !rec.StateLost {
				t.Errorf("%s was cut to %d, and nothing was lost", name, n)
			}
		}
		without := maps.Clone(img)
		delete(without, name)
		t.Logf("remove %s", name)
		rec := verdict(t, without, want)
		needed := !idle(filepath.Base(name)) && filepath.Base(name) != "LOCK"
		if rec.StateLost != needed {
			t.Errorf("%s was removed: recovery %+v", name, rec)
		}
	}
}

func TestWiped(t *testing.T) {
	t.Parallel()
	img, want := crashed(t)
	t.Run("all", func(t *testing.T) {
		rec := verdict(t, image{}, nil)
		if rec != (Recovery{}) {
			t.Errorf("recovery %+v", rec)
		}
	})
	t.Run("database", func(t *testing.T) {
		only := image{}
		for name, f := range img {
			if !strings.Contains(name, "/"+dbName+"/") {
				only[name] = f
			}
		}
		rec := verdict(t, only, want)
		if !rec.StateLost || rec.High != 50 || rec.Trimmed != 50 {
			t.Errorf("recovery %+v", rec)
		}
	})
	t.Run("database of a journal that was trimmed", func(t *testing.T) {
		dir := t.TempDir()
		j := openIntact(t, dir)
		if err := j.Trim(context.Background(), add(t, j, "a", "b")); err != nil {
			t.Fatal(err)
		}
		closeList(t, j)
		if err := os.RemoveAll(filepath.Join(dir, liveName, dbName)); err != nil {
			t.Fatal(err)
		}
		j = openIntact(t, dir) // nothing was lost that anybody wants
		defer closeList(t, j)
		if last := add(t, j, "c"); last != 3 {
			t.Errorf("last is %d, want 3", last)
		}
	})
}

// TestOlderState puts records and marks of one time together with those of
// another, and both with a caller who knows better.
func TestOlderState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := openIntact(t, dir)
	add(t, j, "a", "b")
	closeList(t, j)
	before := takeImage(t, dir)
	j = openIntact(t, dir)
	add(t, j, "c")
	closeList(t, j)
	after := takeImage(t, dir)

	marksFile := liveName + "/" + marksName
	if rec := verdict(t, before.with(marksFile, after[marksFile]), nil); !rec.StateLost || rec.High != 3 {
		t.Errorf("old records under new marks: recovery %+v", rec)
	}
	all := []Record{{1, []byte("a")}, {2, []byte("b")}, {3, []byte("c")}}
	if rec := verdict(t, after.with(marksFile, before[marksFile]), all); rec.StateLost || rec.High != 3 {
		t.Errorf("new records under old marks: recovery %+v", rec)
	}
	old, rec, err := Open(before.write(t), Options{Now: clock, Seen: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer closeList(t, old)
	if !rec.StateLost || rec.High != 3 {
		t.Errorf("the caller has seen more: recovery %+v", rec)
	}
	if last := add(t, old, "d"); last != 4 {
		t.Errorf("last is %d, want 4", last)
	}
}

func TestSeenOfAWipedFolder(t *testing.T) {
	j, rec, err := Open(t.TempDir(), Options{Now: clock, Seen: 41})
	if err != nil {
		t.Fatal(err)
	}
	defer closeList(t, j)
	if last := add(t, j, "a"); rec.StateLost || last != 42 {
		t.Errorf("recovery %+v, last %d", rec, last)
	}
}

// TestSwappedRecords exchanges two values in the database itself, sums and all.
func TestSwappedRecords(t *testing.T) {
	t.Parallel()
	damage := map[string]func(w *writer) error{
		"swapped": func(w *writer) error { return w.set(encodeKey(1), encodeRecord(Record{2, []byte("b")})) },
		"gap":     func(w *writer) error { return w.remove(encodeKey(2)) },
		"end":     func(w *writer) error { return w.remove(encodeKey(3)) },
		"begin":   func(w *writer) error { return w.remove(encodeKey(1)) },
		"far":     func(w *writer) error { return w.set(encodeKey(5), encodeRecord(Record{5, []byte("e")})) },
		"alien":   func(w *writer) error { return w.set([]byte("x"), []byte("y")) },
		"short":   func(w *writer) error { return w.set(encodeKey(3), []byte("c")) },
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := openIntact(t, dir)
			add(t, j, "a", "b", "c")
			w := j.newWriter()
			if err := do(w); err != nil {
				t.Fatal(err)
			}
			if err := w.commit(); err != nil {
				t.Fatal(err)
			}
			closeList(t, j)
			img := takeImage(t, dir)
			if rec := verdict(t, img, nil); !rec.StateLost || rec.High < 3 {
				t.Errorf("recovery %+v", rec)
			}
		})
	}
}

// TestLostTwiceAtOnce keeps two lost states of the same second apart.
func TestLostTwiceAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	moved := map[string]bool{}
	for range 3 {
		j, rec := open(t, dir)
		add(t, j, "a")
		closeList(t, j)
		moved[rec.Moved] = true
		if err := os.RemoveAll(filepath.Join(dir, liveName, dbName)); err != nil {
			t.Fatal(err)
		}
	}
	if len(moved) != 3 {
		t.Errorf("set aside: %v", moved)
	}
}

// TestLeftoverOfACrashWhileMade begins anew over a state that was half made.
func TestLeftoverOfACrashWhileMade(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, nextName, dbName), 0o700); err != nil {
		t.Fatal(err)
	}
	closeList(t, openIntact(t, dir))
}

// TestGrowth appends and trims far more than a journal may take.
func TestGrowth(t *testing.T) {
	t.Parallel()
	const (
		written = 96 << 20
		most    = 80 << 20 // sizes count the unused ends of logs too
		round   = 4 << 20
	)
	dir := t.TempDir()
	j := openIntact(t, dir)
	defer closeList(t, j)
	records := slices.Repeat([][]byte{bytes.Repeat([]byte("x"), 16<<10)}, round/(16<<10))
	for range written / round {
		last, err := j.Append(context.Background(), records)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Trim(context.Background(), last-Seq(len(records)/2)); err != nil {
			t.Fatal(err)
		}
	}
	size, err := folderBytes(dir)
	for end := time.Now().Add(5 * time.Minute); err == nil && size > most && time.Now().Before(end); size, err = folderBytes(dir) {
		time.Sleep(10 * time.Millisecond) // what is left is tidied up beside the writer, as fast as the disk is
	}
	t.Logf("%d MiB are left of %d", size>>20, written>>20)
	if err != nil || size > most {
		t.Errorf("%d MiB written and half of 4 MiB kept take %d MiB, %v", written>>20, size>>20, err)
	}
}

// folderBytes returns the sizes of all files in a folder, as far as they stay
// while they are counted.
func folderBytes(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, _ error) error {
		if info, err := d.Info(); err == nil && !d.IsDir() {
			size += info.Size()
		}
		return nil
	})
	return size, err
}
