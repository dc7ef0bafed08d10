package golden_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

var update = flag.Bool("update", false, "make what is missing in testdata; what is there is never replaced")

const (
	storeDir  = "testdata/store"
	storeText = "testdata/store.txt"
)

// TestStore reads all of a store that the first release wrote. Its files are
// never written again: a release that cannot read them breaks its word.
func TestStore(t *testing.T) {
	if *update && !exists(storeDir) {
		makeStore(t, storeDir)
	}
	got := describe(open(t, copyStore(t), 10))
	if *update && !exists(storeText) {
		if err := os.WriteFile(storeText, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wantText(t, got)
}

func wantText(t *testing.T, got string) {
	t.Helper()
	want, err := os.ReadFile(storeText)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the golden store is read differently (-want +got):\n%s", diff)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// copyStore returns a copy of the golden store.
func copyStore(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(storeDir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReadOnly reads the store where nothing can be written, and leaves it as
// it was.
func TestReadOnly(t *testing.T) {
	dir := copyStore(t)
	setModes(t, dir, 0o555, 0o444)
	t.Cleanup(func() { setModes(t, dir, 0o755, 0o644) })
	before := listing(t, dir)
	objects, err := disk.Open(t.Context(), dir, disk.Options{Now: newClock(10).Now})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	o, c := options(10)
	d, err := repo.OpenDirect(ownerCtx(t), objects, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	wantText(t, describe(&at{TB: t, ctx: ownerCtx(t), store: d, clock: c}))
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("reading changed the folder (-before +after):\n%s", diff)
	}
}

func setModes(t testing.TB, dir string, folders, files fs.FileMode) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, folders)
		}
		return os.Chmod(path, files)
	})
	if err != nil {
		t.Error(err)
	}
}

// listing says what is in a folder, and when it was last changed.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		all = append(all, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestContinued works on with the store: nothing that was done is done again,
// and one new file is the work of one datum per pipeline.
func TestContinued(t *testing.T) {
	a := open(t, copyStore(t), 14)
	r := &runner{}
	stop := a.engine(r)
	a.settle()
	if ran := r.all(); len(ran) > 0 {
		t.Errorf("ran again: %q", ran)
	}
	a.commit("main", "of a later release", a.file("poems/six.txt", "six\n", tree.Entry{}))
	a.settle()
	stop()
	want := []string{"count poems/six.txt", "picky poems/six.txt", "picky poems/two.txt", "shout six"} // two failed before
	if diff := cmp.Diff(want, r.all()); diff != "" {
		t.Errorf("what ran (-want +got):\n%s", diff)
	}
	if got := a.text("shout@main:/six"); got != "SIX HAS 1 LINES\n" {
		t.Errorf("output %q", got)
	}
	if got := a.text("texts@v1.0:/poems/one.txt"); got != "one\n" {
		t.Errorf("old version %q", got)
	}
	describe(a) // verifies it
}

// TestUnknownFeature refuses stores of later releases, and says so.
func TestUnknownFeature(t *testing.T) {
	for _, tt := range []struct{ file, feature, errors string }{
		{"dvx.json", "later-thing", "later-thing"},
		{"root", "later-thing", "later-thing"},
		{"root", "write:later-thing", ""},
	} {
		dir := copyStore(t)
		addFeature(t, filepath.Join(dir, tt.file), tt.feature)
		objects, err := disk.Create(t.Context(), dir, disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o, c := options(15)
		d, err := repo.OpenDirect(ownerCtx(t), objects, o)
		var feature *repo.FeatureError
		switch {
		case tt.errors == "" && err == nil:
			a := &at{TB: t, ctx: ownerCtx(t), store: d, clock: c}
			if got := a.text("texts@v1.0:/poems/one.txt"); got != "one\n" {
				t.Errorf("%s: read %q", tt.feature, got)
			}
			_, err = d.Move(a.ctx, repo.Txn{Op: a.op(), Ops: []repo.Op{repo.CreateRepo{Repo: "new"}}})
			if !errors.As(err, &feature) {
				t.Errorf("%s: written: %v", tt.feature, err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		case tt.errors == "" || !errors.As(err, &feature) || !strings.Contains(err.Error(), tt.errors):
			t.Errorf("%s in %s: %v", tt.feature, tt.file, err)
		default:
			t.Logf("%s in %s: %v", tt.feature, tt.file, err)
		}
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	}
}

// addFeature adds a feature flag to dvx.json or root, as their FORMAT.md says.
func addFeature(t testing.TB, file, feature string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flags := fmt.Appendf(nil, `"features":[%q]`, feature)
	if at := bytes.LastIndex(b, []byte(`,"sum":"`)); at >= 0 {
		h := blake3.NewDeriveKey("dvx 2026-11 v1 root sum")
		b = slices.Concat(b[:at+1], flags, []byte(`,"sum":"`))
		_, _ = h.Write(append(slices.Clone(b), `"}`...))
		b = fmt.Appendf(b, `%x"}`, h.Sum(nil))
	} else {
		b = slices.Concat(bytes.TrimSuffix(b, []byte("}")), []byte(","), flags, []byte("}"))
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
