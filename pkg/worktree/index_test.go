package worktree

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// indexSample is an index entry by entry.
type indexSample struct {
	params  chunk.ID
	stamp   int64
	entries []indexEntry
}

// encode returns the index as it is stored, each entry in a piece of its own.
func (d *indexSample) encode() []byte {
	data := indexData{params: d.params, stamp: d.stamp, count: len(d.entries)}
	for i := range d.entries {
		data.pieces = append(data.pieces, d.entries[i].appendTo(nil))
	}
	return encodeIndex(&data)
}

func encodeIndex(d *indexData) []byte {
	var b bytes.Buffer
	if err := d.writeTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// entriesOf decodes all entries.
func entriesOf(t interface{ Fatal(...any) }, d *indexData) (all []indexEntry) {
	for c := (indexCursor{pieces: d.pieces}); c.next(); {
		e, err := c.entry()
		if err != nil {
			t.Fatal(err)
		}
		e.path = string(c.path)
		all = append(all, e)
	}
	return all
}

func sampleIndex() *indexSample {
	return &indexSample{
		params: chunk.Data.Sum([]byte("params")),
		stamp:  1_800_000_000_000_000_000,
		entries: []indexEntry{
			{path: "a", stat: Stat{Mtime: -1}},
			{"a/b", Stat{5, 1_700_000_000_123_456_789, 1_700_000_001_000_000_000, 77, true}, chunk.Content{ID: chunk.Data.Sum([]byte("hello")), Size: 5}},
			{"é", Stat{Size: 1 << 40, Mtime: 1}, chunk.Content{ID: chunk.List.Sum([]byte("list")), Size: 1 << 40, Depth: 2}},
		},
	}
}

func TestIndexGolden(t *testing.T) {
	name := filepath.Join("testdata", "index.golden")
	got := sampleIndex().encode()
	if *updateGolden {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("encoded index differs from %s", name)
	}
	d, err := decodeIndex(want)
	if err != nil {
		t.Fatal(err)
	}
	if again := encodeIndex(d); !bytes.Equal(again, want) {
		t.Error("decoded and encoded again, the index differs")
	}
}

func TestIndexDamage(t *testing.T) {
	good := sampleIndex().encode()
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x10
		if _, err := decodeIndex(b); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("byte %d damaged: %v", i, err)
		}
		if _, err := decodeIndex(good[:i]); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

// TestIndexRules encodes what the decoder must refuse although the checksum
// is right.
func TestIndexRules(t *testing.T) {
	for name, change := range map[string]func(*indexSample){
		"order":     func(d *indexSample) { d.entries[0].path = "b" },
		"twice":     func(d *indexSample) { d.entries[0].path = "a/b" },
		"no path":   func(d *indexSample) { d.entries[0].path = "" },
		"long path": func(d *indexSample) { d.entries[2].path = strings.Repeat("x", 5000) },
		"racy":      func(d *indexSample) { d.entries[1].stat.Mtime = d.stamp },
		"changed":   func(d *indexSample) { d.entries[1].stat.Ctime = d.stamp },
		"negative":  func(d *indexSample) { d.entries[1].stat.Size = -1 },
		"no id":     func(d *indexSample) { d.entries[1].content.ID = chunk.ID{} },
		"depth":     func(d *indexSample) { d.entries[2].content.Depth = chunk.DepthReference + 1 },
	} {
		d := sampleIndex()
		change(d)
		if _, err := decodeIndex(d.encode()); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestIndexFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FolderName), 0o755); err != nil {
		t.Fatal(err)
	}
	open := func() *Index {
		t.Helper()
		x, err := OpenIndex(dir, chunk.DefaultParams())
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := open()
	e := sampleIndex().entries[1]
	all := func(string) bool { return true }
	x.updateAll(e.stat.Ctime+1, []indexEntry{e}, all)
	if err := x.Save(); err != nil {
		t.Fatal(err)
	}
	x = open()
	if c, ok := x.find(e.path, e.stat); !ok || c != e.content {
		t.Errorf("found %v, %v", c, ok)
	}
	for name, change := range map[string]func(*Stat){
		"size": func(s *Stat) { s.Size++ }, "mtime": func(s *Stat) { s.Mtime++ },
		"ctime": func(s *Stat) { s.Ctime++ }, "inode": func(s *Stat) { s.Inode++ },
	} {
		s := e.stat
		change(&s)
		if _, ok := x.find(e.path, s); ok {
			t.Errorf("%s changed, and the index still vouches", name)
		}
	}
	for _, stamp := range []int64{e.stat.Mtime, e.stat.Ctime} {
		x.updateAll(e.stat.Ctime+1, []indexEntry{e}, all)
		x.updateAll(stamp, []indexEntry{e}, all)
		if x.Len() != 0 {
			t.Errorf("a file that changed at %d and %d is remembered by a scan that began at %d", e.stat.Mtime, e.stat.Ctime, stamp)
		}
	}
	name := filepath.Join(dir, FolderName, indexName)
	if err := os.WriteFile(name, []byte("DVXINDEX"), 0o644); err != nil {
		t.Fatal(err)
	}
	if x = open(); x.Len() != 0 || x.Note() == "" {
		t.Errorf("damaged index: %d entries, note %q", x.Len(), x.Note())
	}
}

func TestIndexOfOtherParams(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FolderName), 0o755); err != nil {
		t.Fatal(err)
	}
	x, err := OpenIndex(dir, chunk.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Save(); err != nil {
		t.Fatal(err)
	}
	p := chunk.DefaultParams()
	p.MaxSize--
	if x, err = OpenIndex(dir, p); err != nil || x.Note() == "" {
		t.Errorf("index of other parameters: note %q, %v", x.Note(), err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FolderName), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := AcquireLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AcquireLock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = AcquireLock(dir); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestIndexUpdate compares update with a map.
func TestIndexUpdate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := &Index{}, map[string]int64{}
		for step := range int64(rapid.IntRange(1, 5).Draw(t, "steps")) {
			stamp := 10 * (step + 1)
			prefix := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "prefix")
			within := func(path string) bool { return strings.HasPrefix(path, prefix) }
			for p := range model {
				if within(p) {
					delete(model, p)
				}
			}
			var seen []indexEntry
			for _, p := range rapid.SliceOfNDistinct(rapid.StringMatching(`[ab]{1,3}`), 0, 8, rapid.ID).Draw(t, "paths") {
				if !within(p) {
					continue
				}
				e := indexEntry{path: p, stat: Stat{Mtime: rapid.Int64Range(stamp-10, stamp+2).Draw(t, "mtime")}}
				seen = append(seen, e)
				if e.stat.Mtime < stamp {
					model[p] = e.stat.Mtime
				}
			}
			x.updateAll(stamp, seen, within)
			d, err := decodeIndex(encodeIndex(&x.data))
			if err != nil {
				t.Fatal(err)
			}
			if d.count != len(model) {
				t.Fatalf("%d entries, want %d", d.count, len(model))
			}
			for _, e := range entriesOf(t, d) {
				if m, ok := model[e.path]; !ok || m != e.stat.Mtime {
					t.Fatalf("entry %q of %d, want %d, %v", e.path, e.stat.Mtime, m, ok)
				}
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(sampleIndex().encode())
	f.Add(encodeIndex(&indexData{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > chunk.IDSize { // so that the fuzzer gets past the checksum
			sum := indexSum(b[:len(b)-chunk.IDSize])
			copy(b[len(b)-chunk.IDSize:], sum[:])
		}
		d, err := decodeIndex(b)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeIndex(d), b) {
			t.Error("decoded and encoded again, the index differs")
		}
	})
}

// TestIndexWithoutClock uses an index where the disk does not tell the time.
func TestIndexWithoutClock(t *testing.T) {
	s := &chunk.Mem{}
	dir, index := workingCopy(t)
	disk{"a": "1"}.write(t, dir)
	age(t, dir)
	base, _ := commitDir(t, s, tree.Root{}, Options{Dir: dir, Index: index})
	must(t, os.RemoveAll(filepath.Join(dir, FolderName)))
	must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("2"), 0o644))
	_, stats := status(t, s, base, Options{Dir: dir, Index: index})
	if stats.ReadFiles != 0 || index.Len() != 1 {
		t.Errorf("read %d files, the index knows %d", stats.ReadFiles, index.Len())
	}
}

// TestSortByKey: whatever the order was, the entries are sorted and all there.
func TestSortByKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c.]{1,4}`), 0, 20, rapid.ID).Draw(t, "names")
		var entries []diskEntry
		for i, name := range names {
			e := diskEntry{name: name, key: name, stat: Stat{Inode: uint64(i)}}
			if i%3 == 0 {
				e.key += "/"
			}
			entries = append(entries, e)
		}
		want := slices.SortedFunc(slices.Values(entries), func(a, b diskEntry) int { return strings.Compare(a.key, b.key) })
		if sortByKey(entries); !slices.Equal(entries, want) {
			t.Fatalf("sorted to %v", entries)
		}
	})
}

// TestIndexUnchanged: an update that tells nothing new has nothing saved.
func TestIndexUnchanged(t *testing.T) {
	dir, x := workingCopy(t)
	e := sampleIndex().entries[1]
	other := e
	other.path = "a/c"
	all := func(string) bool { return true }
	stamp := e.stat.Ctime + 1
	x.updateAll(stamp, []indexEntry{e, other}, all)
	must(t, x.Save())
	for name, tt := range map[string]struct {
		seen    []indexEntry
		changed bool
	}{
		"the same":   {[]indexEntry{e, other}, false},
		"one less":   {[]indexEntry{e}, true},
		"first less": {[]indexEntry{other}, true},
		"one more":   {[]indexEntry{e, other, {path: "z", stat: Stat{Mtime: 1}}}, true},
		"none":       {nil, true},
	} {
		x := openIndex(t, dir)
		x.updateAll(stamp+1, tt.seen, all)
		if x.changed != tt.changed {
			t.Errorf("%s: changed %v", name, x.changed)
		}
		if x.Len() != len(tt.seen) {
			t.Errorf("%s: %d entries", name, x.Len())
		}
	}
}
