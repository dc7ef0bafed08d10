package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

func checkOut(t testing.TB, r chunk.Reader, root tree.Root, dir string, o CheckoutOptions) {
	t.Helper()
	_, err := Checkout(context.Background(), r, root, dir, o)
	must(t, err)
}

func TestCheckout(t *testing.T) {
	s := &chunk.Mem{}
	want := disk{"a/b": "1", "a/c/d": "*2", "e/": "", "l": "->a/b", "a/up": "->../l", "big": strings.Repeat("x", 3<<20), "z": ""}
	root := want.store(t, s)
	t.Run("new", func(t *testing.T) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "new")
		sum, err := Checkout(context.Background(), s, root, dir, CheckoutOptions{})
		must(t, err)
		if sum != (Progress{root.Files, root.Bytes}) {
			t.Errorf("progress %+v, want %d files of %d bytes", sum, root.Files, root.Bytes)
		}
		if diff := cmp.Diff(want, readDisk(t, dir)); diff != "" {
			t.Errorf("disk (-want +got):\n%s", diff)
		}
		if names := readNames(t, parent); len(names) != 1 {
			t.Errorf("beside the checkout: %q", names)
		}
		if _, err := Checkout(context.Background(), s, root, dir, CheckoutOptions{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("checkout over a checkout: %v", err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		dir, index := workingCopy(t)
		checkOut(t, s, root, dir, CheckoutOptions{Index: index})
		if diff := cmp.Diff(want, readDisk(t, dir)); diff != "" {
			t.Errorf("disk (-want +got):\n%s", diff)
		}
		if changes, _ := status(t, s, root, Options{Dir: dir, Index: index}); len(changes) > 0 {
			t.Errorf("after the checkout: %q", changes)
		}
	})
}

func readNames(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestIndexAfterCheckout shows that what a checkout wrote need not be read.
func TestIndexAfterCheckout(t *testing.T) {
	s := &chunk.Mem{}
	root := disk{"a/b": "1", "c/d": "2"}.store(t, s)
	dir, index := workingCopy(t)
	// The files must be older than the checkout's end by a tick of the clock.
	slow := slowReader{s, 30 * time.Millisecond}
	checkOut(t, slow, root, dir, CheckoutOptions{Index: index, Workers: 1})
	known := index.Len() // of the last file the clock may say that it could still change
	if known == 0 {
		t.Fatal("the index remembers nothing")
	}
	if _, stats := status(t, s, root, Options{Dir: dir, Index: index}); stats.ReadFiles != int64(2-known) {
		t.Errorf("read %d files although the index knows %d of 2", stats.ReadFiles, known)
	}
}

// slowReader takes its time with data.
type slowReader struct {
	chunk.Reader
	d time.Duration
}

func (s slowReader) Get(ctx context.Context, k chunk.Kind, id chunk.ID) ([]byte, error) {
	if k == chunk.Data {
		time.Sleep(s.d)
	}
	return s.Reader.Get(ctx, k, id)
}

// failingReader fails at the nth data chunk.
type failingReader struct {
	chunk.Reader
	bad chunk.ID
}

var errTest = errors.New("test")

func (f failingReader) Get(ctx context.Context, k chunk.Kind, id chunk.ID) ([]byte, error) {
	if id == f.bad {
		return nil, errTest
	}
	return f.Reader.Get(ctx, k, id)
}

func TestFailedCheckoutLeavesNothing(t *testing.T) {
	s := &chunk.Mem{}
	root := disk{"a/b": "1", "c": "2", "d/e": "3", "l": "->c"}.store(t, s)
	for _, text := range []string{"1", "3", "c"} {
		r := failingReader{s, chunk.Data.Sum([]byte(text))}
		parent := t.TempDir()
		_, err := Checkout(context.Background(), r, root, filepath.Join(parent, "x"), CheckoutOptions{})
		if names := readNames(t, parent); !errors.Is(err, errTest) || len(names) > 0 {
			t.Errorf("new directory: %v, left %q", err, names)
		}
		dir, _ := workingCopy(t)
		_, err = Checkout(context.Background(), r, root, dir, CheckoutOptions{})
		if names := readNames(t, dir); !errors.Is(err, errTest) || len(names) != 1 {
			t.Errorf("empty directory: %v, left %q", err, names)
		}
	}
}

func TestCheckoutRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, c := range map[string]struct {
		d     disk
		o     CheckoutOptions
		kind  error
		paths []string
	}{
		"file beside dir":   {disk{"a/b": "1", "x/y": "", "x/y/z": "", "a": "2"}, CheckoutOptions{System: "linux"}, ErrCollision, []string{"a/", "x/y/"}},
		"long name":         {disk{"d/" + long: "", "ok": ""}, CheckoutOptions{System: "linux"}, fs.ErrInvalid, []string{"d/" + long}},
		"our folder":        {disk{".dvx/config": "", "a/.DVX": "", "b/dvx~1": "", tempPrefix + "0": ""}, CheckoutOptions{System: "linux"}, ErrReserved, []string{".dvx/", "a/.DVX", "b/dvx~1", tempPrefix + "0"}},
		"windows names":     {disk{"a:b": "", "c/nul.txt": "", "d.": "", `e\f`: ""}, CheckoutOptions{System: "windows"}, fs.ErrInvalid, []string{"a:b", "c/nul.txt", "d.", `e\f`}},
		"case":              {disk{"d/A": "", "d/a": "", "ß/": "", "SS/": ""}, CheckoutOptions{System: "darwin"}, ErrCollision, []string{"d/a", "ß/"}},
		"absolute link":     {disk{"a": "->/etc/passwd"}, CheckoutOptions{}, ErrLink, []string{"a"}},
		"escaping links":    {disk{"a": "->..", "b/c": "->../..", "b/d/e": "->../../x/../../..", "b/ok": "->../a"}, CheckoutOptions{}, ErrLink, []string{"a", "b/c", "b/d/e"}},
		"same dir deep":     {disk{"x/l": "->../ok", "y/z/l": "->../ok", "l": "->../ok"}, CheckoutOptions{}, ErrLink, []string{"l"}},
		"links on windows":  {disk{"a": `->c:\x`, "b": `->..\x`}, CheckoutOptions{System: "windows"}, ErrLink, []string{"a", "b"}},
		"too many problems": {disk{"a": "->/x"}, CheckoutOptions{}, ErrLink, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &chunk.Mem{}
			root := c.d.store(t, s)
			parent := t.TempDir()
			_, err := Checkout(context.Background(), s, root, filepath.Join(parent, "x"), c.o)
			wantProblems(t, err, c.kind, c.paths...)
			if names := readNames(t, parent); len(names) > 0 {
				t.Errorf("left %q", names)
			}
			dir, _ := workingCopy(t)
			_, err = Update(context.Background(), s, tree.Root{}, root, dir, c.o)
			wantProblems(t, err, c.kind, c.paths...)
			if names := readNames(t, dir); len(names) != 1 {
				t.Errorf("update left %q", names)
			}
		})
	}
}

func TestCheckoutAnyLinks(t *testing.T) {
	s := &chunk.Mem{}
	want := disk{"a": "->/etc/passwd", "b": "->../../x"}
	dir := filepath.Join(t.TempDir(), "x")
	checkOut(t, s, want.store(t, s), dir, CheckoutOptions{AnyLinks: true})
	if diff := cmp.Diff(want, readDisk(t, dir)); diff != "" {
		t.Errorf("disk (-want +got):\n%s", diff)
	}
}

// TestLinksStayInside makes random trees of links that pass the check, and
// asks the kernel where they lead.
func TestLinksStayInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	s := &chunk.Mem{}
	led := 0
	for range 30 {
		d := disk{"f": "1", "a/f": "2", "a/b/f": "3"}
		for i := range 12 {
			at := []string{"", "a/", "a/b/"}[rng.IntN(3)]
			var parts []string
			for range 1 + rng.IntN(4) {
				parts = append(parts, []string{"..", "a", "b", "f", ".", fmt.Sprintf("l%d", rng.IntN(12))}[rng.IntN(6)])
			}
			target := strings.Join(parts, "/")
			if climb, err := checkLink(target, false); err == nil && climb <= strings.Count(at, "/") {
				d[at+fmt.Sprintf("l%d", i)] = "->" + target
			}
		}
		dir := filepath.Join(t.TempDir(), "x")
		checkOut(t, s, d.store(t, s), dir, CheckoutOptions{})
		real, err := filepath.EvalSymlinks(dir)
		must(t, err)
		for path := range d {
			to, err := filepath.EvalSymlinks(filepath.Join(dir, path))
			if err != nil {
				continue // leads nowhere
			}
			led++
			if rel, err := filepath.Rel(real, to); err != nil || !filepath.IsLocal(rel) {
				t.Fatalf("%s leads to %s, outside of %s; tree %q", path, to, real, d)
			}
		}
	}
	if led < 100 {
		t.Errorf("only %d links led anywhere", led)
	}
}

// bomb returns a directory of 2^levels copies of leaf, stored in a few nodes.
func bomb(t *testing.T, s chunk.Store, leaf tree.Root, levels int) tree.Root {
	root := leaf
	for range levels {
		var err error
		root, err = tree.Apply(context.Background(), s, tree.Root{}, []tree.Edit{
			{Op: tree.Put, Path: "a", Entry: tree.Entry{Kind: tree.Dir, Dir: root}},
			{Op: tree.Put, Path: "b", Entry: tree.Entry{Kind: tree.Dir, Dir: root}},
		})
		must(t, err)
	}
	return root
}

func TestBombs(t *testing.T) {
	s := &chunk.Mem{}
	empty, err := tree.Empty(context.Background(), s)
	must(t, err)
	for name, c := range map[string]struct {
		root tree.Root
		o    CheckoutOptions
	}{
		"files":         {bomb(t, s, disk{"f": "1"}.store(t, s), 40), CheckoutOptions{}},
		"directories":   {bomb(t, s, empty, 60), CheckoutOptions{}},
		"files allowed": {disk{"a": "", "b": "", "c/d": ""}.store(t, s), CheckoutOptions{FilesMax: 3}},
		"bytes allowed": {disk{"a": "123", "b": "45"}.store(t, s), CheckoutOptions{BytesMax: 4}},
		"no room":       {tree.Root{ID: empty.ID, Content: empty.Content, Files: 1, Bytes: 1 << 62}, CheckoutOptions{}},
	} {
		parent := t.TempDir()
		start := time.Now()
		_, err := Checkout(context.Background(), s, c.root, filepath.Join(parent, "x"), c.o)
		if !errors.Is(err, ErrQuota) {
			t.Errorf("%s: %v, want ErrQuota", name, err)
		}
		if full := errors.Is(err, syscall.ENOSPC); full && c.o.BytesMax > 0 || !full && name == "no room" {
			t.Errorf("%s: %v; a full disk: %v", name, err, full)
		}
		if names := readNames(t, parent); len(names) > 0 {
			t.Errorf("%s: left %q", name, names)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s: took %v", name, d)
		}
	}
	if _, err := Update(context.Background(), s, empty, bomb(t, s, disk{"f": "1"}.store(t, s), 40), t.TempDir(), CheckoutOptions{}); !errors.Is(err, ErrQuota) {
		t.Errorf("update: %v, want ErrQuota", err)
	}
}

// TestSharedDirIsJudgedEverywhere has one bad directory at many places.
func TestSharedDirIsJudgedEverywhere(t *testing.T) {
	s := &chunk.Mem{}
	bad := disk{strings.Repeat("x", 300): ""}.store(t, s)
	root := bomb(t, s, bad, 3)
	_, err := Checkout(context.Background(), s, root, filepath.Join(t.TempDir(), "x"), CheckoutOptions{})
	var p *ProblemsError
	if !errors.As(err, &p) || len(p.Problems) != 8 {
		t.Errorf("problems: %v, want 8", err)
	}
}

func TestCheckoutOfDeepPaths(t *testing.T) {
	s := &chunk.Mem{}
	root := disk{"f": "1"}.store(t, s)
	for range tree.PathDepthMax {
		var err error
		root, err = tree.Apply(context.Background(), s, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: "d", Entry: tree.Entry{Kind: tree.Dir, Dir: root}}})
		must(t, err)
	}
	_, err := Checkout(context.Background(), s, root, filepath.Join(t.TempDir(), "x"), CheckoutOptions{})
	if !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("path of too many components: %v", err)
	}
}
