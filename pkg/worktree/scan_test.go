package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// age sets the times of modification of everything in dir back and waits until
// the disk's clock has moved on, so that the index remembers it.
func age(t testing.TB, dir string) {
	t.Helper()
	x := openIndex(t, dir)
	defer func() {
		aged, err := x.now()
		for now := aged; err == nil && now <= aged; {
			now, err = x.now()
		}
		must(t, err)
	}()
	old := time.Now().Add(-time.Hour)
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return os.Chtimes(name, old, old)
	}))
}

func TestStatus(t *testing.T) {
	for name, c := range map[string]struct {
		base, disk disk
		paths      []string
		want       []string
	}{
		"nothing":           {disk{"a": "1"}, disk{"a": "1"}, nil, nil},
		"added":             {disk{}, disk{"a": "1", "b/c": "2"}, nil, []string{"added a", "added b/c"}},
		"order of keys":     {disk{}, disk{"a/b": "1", "a-": "", "a0": ""}, nil, []string{"added a-", "added a/b", "added a0"}},
		"modified":          {disk{"a": "1", "b": "2"}, disk{"a": "3", "b": "22"}, nil, []string{"modified a", "modified b"}},
		"executable":        {disk{"a": "1"}, disk{"a": "*1"}, nil, []string{"modified a"}},
		"link":              {disk{"a": "1", "b": "->a"}, disk{"a": "->b", "b": "->a"}, nil, []string{"modified a"}},
		"removed":           {disk{"a": "1", "b/c/d": "1", "b/e": "2"}, disk{"b/e": "2"}, nil, []string{"removed a", "removed b/c/"}},
		"file becomes dir":  {disk{"a": "1"}, disk{"a/b": "1"}, nil, []string{"removed a", "added a/b"}},
		"dir becomes file":  {disk{"a/b": "1"}, disk{"a": "1"}, nil, []string{"added a", "removed a/"}},
		"empty dir":         {disk{}, disk{"a/": ""}, nil, []string{"added a/"}},
		"empty dir stays":   {disk{"a/": ""}, disk{"a/": ""}, nil, nil},
		"last file goes":    {disk{"a/b": "1"}, disk{"a/": ""}, nil, []string{"modified a/", "removed a/b"}},
		"ignored":           {disk{IgnoreName: "\n*.o\nout/"}, disk{IgnoreName: "\n*.o\nout/", "x.o": "", "a/y.o": "", "out/z": ""}, nil, nil},
		"ignored but there": {disk{IgnoreName: "\n*.o\nout/", "x.o": "1", "out/z": "1"}, disk{IgnoreName: "\n*.o\nout/", "x.o": "2", "out/z": "2", "out/n": ""}, nil, []string{"modified out/z", "modified x.o"}},
		"nested rules":      {disk{}, disk{"a/" + IgnoreName: "b\n!c", "a/b": "", "a/c": "", IgnoreName: "c", "c": ""}, nil, []string{"added " + IgnoreName, "added a/" + IgnoreName, "added a/c"}},
		"our folder":        {disk{}, disk{".dvx/x": "", ".DVX/y": "", tempPrefix + "1": "", "a/" + tempPrefix + "2": ""}, nil, []string{"added a/"}},
		"limited":           {disk{"a/b": "1", "a/c": "1", "d": "1"}, disk{"a/b": "2", "a/c": "2", "d": "2"}, []string{"a/b"}, []string{"modified a/b"}},
		"limited to dir":    {disk{"a/b": "1", "d": "1"}, disk{"a/b": "2", "a/e/f": "", "d": "2"}, []string{"a/", "a/e"}, []string{"modified a/b", "added a/e/f"}},
		"limited to gone":   {disk{"a/b": "1", "a/c": "1", "d": "1"}, disk{"d": "2"}, []string{"a/b"}, []string{"removed a/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &chunk.Mem{}
			base := c.base.store(t, s)
			dir, _ := workingCopy(t)
			c.disk.write(t, dir)
			got, _ := status(t, s, base, Options{Dir: dir, Paths: c.paths})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEditsMakeWhatIsOnDisk turns one random directory into another on disk
// and in the store, with and without the index, and compares.
func TestEditsMakeWhatIsOnDisk(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	s := &chunk.Mem{}
	dir, index := workingCopy(t)
	base := disk{}.store(t, s)
	for round := range 40 {
		want := randomDisk(rng, rng.IntN(30))
		want.write(t, dir)
		if round%3 == 0 {
			age(t, dir)
		}
		o := Options{Dir: dir, Index: index, AllowNonportable: true}
		var stats Stats
		base, stats = commitDir(t, s, base, o)
		if diff := cmp.Diff(want, readTree(t, s, base)); diff != "" {
			t.Fatalf("round %d: tree differs from disk (-disk +tree):\n%s", round, diff)
		}
		if fresh := want.store(t, s); fresh.Content != base.Content {
			t.Fatalf("round %d: content id depends on the history", round)
		}
		if changes, _ := status(t, s, base, o); len(changes) > 0 {
			t.Fatalf("round %d: after the commit: %q", round, changes)
		}
		if round%3 == 0 {
			if _, stats = commitDir(t, s, base, o); stats.ReadFiles > 0 {
				t.Fatalf("round %d: %d files read again", round, stats.ReadFiles)
			}
			must(t, index.Save())
			index = openIndex(t, dir)
			if index.Note() != "" {
				t.Fatal(index.Note())
			}
		}
	}
}

// randomDisk returns about n paths of few names, so that two have much in
// common and much in each other's way.
func randomDisk(rng *rand.Rand, n int) disk {
	d := disk{}
	names := []string{"a", "b", "a-", "c.txt", "é", "Z"}
	for range n {
		var parts []string
		for range 1 + rng.IntN(4) {
			parts = append(parts, names[rng.IntN(len(names))])
		}
		path := strings.Join(parts, "/")
		if !d.fits(path) {
			continue
		}
		text := fmt.Sprint(rng.IntN(4))
		switch rng.IntN(8) {
		case 0:
			path, text = path+"/", ""
		case 1:
			text = "*" + text
		case 2:
			text = "->" + names[rng.IntN(len(names))]
		}
		d[path] = text
	}
	return d
}

// fits reports whether path may join d on a disk.
func (d disk) fits(path string) bool {
	for p := path; p != ""; p, _ = cutLast(p) {
		if _, ok := d[p]; ok {
			return false
		}
		if _, ok := d[p+"/"]; ok {
			return false
		}
	}
	for p := range d {
		if strings.HasPrefix(p, path+"/") {
			return false
		}
	}
	return true
}

// TestRacyChange changes a file without a trace but its content: same size,
// same times. The index must not vouch for it.
func TestRacyChange(t *testing.T) {
	s := &chunk.Mem{}
	dir, index := workingCopy(t)
	o := Options{Dir: dir, Index: index}
	name := filepath.Join(dir, "a")
	base := tree.Root{}
	for i := range 50 {
		text := fmt.Sprintf("%03d", i)
		must(t, os.WriteFile(name, []byte(text), 0o644))
		base, _ = commitDir(t, s, base, o)
		if got := readTree(t, s, base)["a"]; got != text {
			t.Fatalf("committed %q, want %q", got, text)
		}
	}
}

func TestStatusReadsOnlyWhatMayDiffer(t *testing.T) {
	s := &chunk.Mem{}
	dir, index := workingCopy(t)
	base := disk{"same": "1", "size": "1"}.store(t, s)
	disk{"same": "1", "size": "22", "new": "3"}.write(t, dir)
	age(t, dir)
	o := Options{Dir: dir, Index: index}
	for i, want := range []int64{1, 0} {
		if _, stats := status(t, s, base, o); stats.ReadFiles != want || stats.Files != 3 {
			t.Errorf("status %d looked at %d files and read %d, want 3 and %d", i, stats.Files, stats.ReadFiles, want)
		}
	}
}

func TestEditsKeepAttrs(t *testing.T) {
	s := &chunk.Mem{}
	dir, _ := workingCopy(t)
	old := tree.Attrs{ContentType: "text/x", Time: time.UnixMilli(1).UTC()}
	stamp := tree.Attrs{Time: time.UnixMilli(2).UTC(), Op: tree.OpID{1}}
	base := disk{"a": "1", "b": "1", "c": "1"}.store(t, s)
	var edits []tree.Edit
	for _, p := range []string{"a", "b", "c"} {
		e, err := tree.Open(s, base).Lookup(context.Background(), p)
		must(t, err)
		e.Attrs = old
		edits = append(edits, tree.Edit{Op: tree.Put, Path: p, Entry: e, SetAttrs: true})
	}
	base, err := tree.Apply(context.Background(), s, base, edits)
	must(t, err)
	disk{"a": "1", "b": "2", "c": "*1"}.write(t, dir)
	base, _ = commitDir(t, s, base, Options{Dir: dir, Attrs: stamp})
	moved := old
	moved.Time, moved.Op = stamp.Time, stamp.Op
	for p, want := range map[string]tree.Attrs{"a": old, "b": stamp, "c": moved} {
		e, err := tree.Open(s, base).Lookup(context.Background(), p)
		must(t, err)
		if diff := cmp.Diff(want, e.Attrs); diff != "" {
			t.Errorf("attributes of %s (-want +got):\n%s", p, diff)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	scanDir := func(d disk, o Options) error {
		dir, _ := workingCopy(t)
		d.write(t, dir)
		o.Dir = dir
		_, err := Status(context.Background(), &chunk.Mem{}, tree.Root{}, o)
		return err
	}
	bad := disk{"ok": "", "a:b": "", "d/con": "", "d/x\x01": "", "e ": ""}
	wantProblems(t, scanDir(bad, Options{}), fs.ErrInvalid, "a:b", "d/con", "d/x\x01", "e ")
	must(t, scanDir(bad, Options{AllowNonportable: true}))
	clash := disk{"a/README": "", "a/ReadMe": "", "\u00e9": "", "e\u0301": "", "b": ""}
	wantProblems(t, scanDir(clash, Options{}), ErrCollision, "a/ReadMe", "\u00e9")
	must(t, scanDir(clash, Options{AllowNonportable: true}))
	wantProblems(t, scanDir(disk{"a/.dvx/config": "", "b/.Dvx": ""}, Options{AllowNonportable: true}), ErrReserved, "a/.dvx/", "b/.Dvx")
	wantProblems(t, scanDir(disk{"a\xff": ""}, Options{AllowNonportable: true}), fs.ErrInvalid, "a\xff")
	must(t, scanDir(disk{"a\xff": "", "x:": "", IgnoreName: "a*\n*:"}, Options{}))
	if err := scanDir(disk{"a": ""}, Options{Paths: []string{"b"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is nowhere: %v", err)
	}
	if err := scanDir(disk{"a": ""}, Options{Paths: []string{"../b"}}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a path that leads out: %v", err)
	}
	many := disk{}
	for i := range 150 {
		many[fmt.Sprintf("%d:", i)] = ""
	}
	var p *ProblemsError
	if err := scanDir(many, Options{}); !errors.As(err, &p) || len(p.Problems) != ProblemsMax || !p.More {
		t.Errorf("150 problems: %v", err)
	}
}

// TestReservedIsNeverPortable holds isReserved against pkg/tree's view.
func TestReservedIsNeverPortable(t *testing.T) {
	for _, name := range []string{".dvx", ".DVX", ".Dvx. ", ".dvx::$INDEX_ALLOCATION", "dvx~1", "DVX~12", ".d\u200cvx", ".dv\ufeffx", ".dvx:a"} {
		if !isReserved(name) {
			t.Errorf("%q is not reserved", name)
		}
		if tree.CheckPortable(name) == nil {
			t.Errorf("%q is portable", name)
		}
	}
	for _, name := range []string{"dvx", ".dvx2", "dvx~", "dvx~a", "a.dvx", IgnoreName} {
		if isReserved(name) {
			t.Errorf("%q is reserved", name)
		}
	}
}

// growing is a store in which a file changes while it is read.
type growing struct {
	chunk.Mem
	change func()
}

func (g *growing) Put(ctx context.Context, k chunk.Kind, data []byte) (chunk.ID, error) {
	if k == chunk.Data {
		g.change()
	}
	return g.Mem.Put(ctx, k, data)
}

func TestFileChangesWhileRead(t *testing.T) {
	dir, _ := workingCopy(t)
	name := filepath.Join(dir, "log")
	must(t, os.WriteFile(name, []byte("0"), 0o644))
	writes := 0
	s := &growing{}
	s.change = func() {
		if writes > 0 {
			writes--
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("x")
			must(t, err)
			must(t, f.Close())
		}
	}
	writes = readTries - 1
	root, _ := commitDir(t, s, tree.Root{}, Options{Dir: dir})
	if got := readTree(t, s, root)["log"]; got != "0"+strings.Repeat("x", readTries-1) {
		t.Errorf("stored %q", got)
	}
	writes = 100
	_, _, err := Edits(context.Background(), s, tree.Root{}, Options{Dir: dir})
	if !errors.Is(err, ErrChanging) || !strings.Contains(err.Error(), "log") {
		t.Errorf("a file that is always written to: %v", err)
	}
}

func TestProgress(t *testing.T) {
	dir, _ := workingCopy(t)
	disk{"a": "12", "b/c": "345", "l": "->a"}.write(t, dir)
	var last Progress
	o := Options{Dir: dir, Progress: func(p Progress) {
		if p.Files < last.Files || p.Bytes < last.Bytes {
			t.Errorf("progress went back from %v to %v", last, p)
		}
		last = p
	}}
	_, stats := commitDir(t, &chunk.Mem{}, tree.Root{}, o)
	if last != (Progress{3, 5}) {
		t.Errorf("progress ended at %+v", last)
	}
	if stats != (Stats{Files: 3, ReadFiles: 2, ReadBytes: 5}) {
		t.Errorf("stats %+v", stats)
	}
}

func TestWalk(t *testing.T) {
	dir, _ := workingCopy(t)
	disk{"a/b": "1", "a-": "", "e/": "", "l": "->/", "x.o": "", IgnoreName: "\n*.o"}.write(t, dir)
	var got []string
	for it, err := range Walk(context.Background(), Options{Dir: dir}) {
		must(t, err)
		got = append(got, it.Path)
	}
	if want := []string{IgnoreName, "a-", "a/", "a/b", "e/", "l"}; !slices.Equal(got, want) {
		t.Errorf("walked %q, want %q", got, want)
	}
	for _, err := range Walk(context.Background(), Options{Dir: dir}) {
		must(t, err)
		break // must not go on
	}
}

func TestScanEndsWithContext(t *testing.T) {
	dir, _ := workingCopy(t)
	disk{"a/b": "1"}.write(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Status(ctx, &chunk.Mem{}, tree.Root{}, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled scan: %v", err)
	}
}

// manyFiles makes n files of 1,000 bytes, 100 per directory.
func manyFiles(t testing.TB, dir string, n int) {
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("dir%03d", i/100))
		if i%100 == 0 {
			must(t, os.Mkdir(sub, 0o755))
		}
		text := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 500)
		must(t, os.WriteFile(filepath.Join(sub, fmt.Sprintf("file%02d.txt", i%100)), text, 0o644))
	}
	age(t, dir)
}

// TestScanReadsNothingTwice commits many files and looks at them again.
func TestScanReadsNothingTwice(t *testing.T) {
	s := &chunk.Mem{}
	dir, index := workingCopy(t)
	manyFiles(t, dir, 300)
	base, stats := commitDir(t, s, tree.Root{}, Options{Dir: dir, Index: index})
	if stats.ReadFiles != 300 {
		t.Errorf("the first commit read %d files", stats.ReadFiles)
	}
	must(t, index.Save())
	reads, _ := s.Counts()
	changes, stats := status(t, s, base, Options{Dir: dir, Index: openIndex(t, dir)})
	if len(changes) > 0 || stats.ReadFiles > 0 || stats.Files != 300 {
		t.Errorf("%d changes, %+v", len(changes), stats)
	}
	if again, _ := s.Counts(); again-reads > 60 { // a few nodes per directory
		t.Errorf("read %d chunks of the base", again-reads)
	}
}

// BenchmarkStatus looks at 10,000 unchanged files, the index read anew.
func BenchmarkStatus(b *testing.B) {
	s := &chunk.Mem{}
	dir, index := workingCopy(b)
	manyFiles(b, dir, 10_000)
	base, _ := commitDir(b, s, tree.Root{}, Options{Dir: dir, Index: index})
	must(b, index.Save())
	for b.Loop() {
		if changes, _ := status(b, s, base, Options{Dir: dir, Index: openIndex(b, dir)}); len(changes) > 0 {
			b.Fatal(changes)
		}
	}
}

// BenchmarkFirstCommit cuts and hashes 10,000 files.
func BenchmarkFirstCommit(b *testing.B) {
	dir, _ := workingCopy(b)
	manyFiles(b, dir, 10_000)
	for b.Loop() {
		commitDir(b, &chunk.Mem{}, tree.Root{}, Options{Dir: dir})
	}
}
