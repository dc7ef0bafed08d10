package vfs_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

func write(t *testing.T, fsys vfs.FS, name, body string, sync bool) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func syncDir(t *testing.T, fsys vfs.FS, name string) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, fsys vfs.FS, name string) int64 {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestCrashLosesWhatWasNotSynced(t *testing.T) {
	m := vfs.NewMem(vfs.MemOptions{})
	write(t, m, "both", "12345", true)
	write(t, m, "name", "12345", false)
	syncDir(t, m, ".")
	write(t, m, "data", "12345", true)
	for percent, want := range map[int][]string{0: {"both", "name"}, 100: {"both", "data", "name"}} {
		c := m.CrashClone(percent, rng(1), vfs.MemOptions{})
		if got := c.Names(); !slices.Equal(got, want) {
			t.Errorf("%d %%: names %q, want %q", percent, got, want)
		}
		if got, want := size(t, c, "name"), int64(5*percent/100); got != want {
			t.Errorf("%d %%: %d bytes of the file that was not synced, want %d", percent, got, want)
		}
		if got := size(t, c, "both"); got != 5 {
			t.Errorf("%d %%: %d bytes of the synced file", percent, got)
		}
	}
}

// TestCrashNeverLosesBothNames: a rename whose removal survives without the
// new name would destroy a durable file.
func TestCrashNeverLosesBothNames(t *testing.T) {
	m := vfs.NewMem(vfs.MemOptions{})
	for _, dir := range []string{"a", "b"} {
		if err := m.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m, "a/old", "x", true)
	syncDir(t, m, "a")
	syncDir(t, m, ".")
	if err := m.Rename("a/old", "b/new"); err != nil {
		t.Fatal(err)
	}
	states := map[string]bool{}
	for seed := range uint64(200) {
		names := m.CrashClone(50, rng(seed), vfs.MemOptions{}).Names()
		if len(names) == 0 {
			t.Fatalf("seed %d: both names are lost", seed)
		}
		for _, name := range names {
			states[name] = true
		}
	}
	if len(states) != 2 {
		t.Errorf("seen %v, want both names at times", states)
	}
}

func TestCrashIsReproducible(t *testing.T) {
	m := vfs.NewMem(vfs.MemOptions{})
	for i := range 30 {
		write(t, m, string(rune('a'+i)), string(make([]byte, i*100)), i%2 == 0)
	}
	for seed := range uint64(20) {
		a := m.CrashClone(50, rng(seed), vfs.MemOptions{})
		b := m.CrashClone(50, rng(seed), vfs.MemOptions{})
		if !slices.Equal(a.Names(), b.Names()) {
			t.Fatalf("seed %d: %q and %q", seed, a.Names(), b.Names())
		}
		for _, name := range a.Names() {
			if size(t, a, name) != size(t, b, name) {
				t.Fatalf("seed %d: %s differs", seed, name)
			}
		}
	}
}

// TestBothFileSystemsAgree does the same to both and compares the answers.
func TestBothFileSystemsAgree(t *testing.T) {
	onDisk, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	for name, fsys := range map[string]vfs.FS{"os": onDisk, "mem": vfs.NewMem(vfs.MemOptions{})} {
		write(t, fsys, "a", "1", true)
		write(t, fsys, "b", "22", true)
		if err := fsys.Mkdir("d", 0o755); err != nil {
			t.Fatal(err)
		}
		check := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", name, what, err, want)
			}
		}
		_, err := fsys.OpenFile("a", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
		check("exclusive create", err, fs.ErrExist)
		_, err = fsys.OpenFile("none", os.O_RDONLY, 0)
		check("open", err, fs.ErrNotExist)
		_, err = fsys.OpenFile("none/x", os.O_WRONLY|os.O_CREATE, 0o444)
		check("create in no folder", err, fs.ErrNotExist)
		check("mkdir", fsys.Mkdir("d", 0o755), fs.ErrExist)
		check("link to a taken name", fsys.Link("a", "b"), fs.ErrExist)
		check("link to a folder", fsys.Link("a", "d"), fs.ErrExist)
		check("link of nothing", fsys.Link("none", "x"), fs.ErrNotExist)
		check("link", fsys.Link("a", "d/a"), nil)
		check("rename of nothing", fsys.Rename("none", "x"), fs.ErrNotExist)
		check("rename", fsys.Rename("b", "d/a"), nil)
		if fsys.Rename("a", "d") == nil {
			t.Errorf("%s: a file replaced a folder", name)
		}
		check("remove", fsys.Remove("none"), fs.ErrNotExist)
		if fsys.Remove("d") == nil {
			t.Errorf("%s: a folder with files was removed", name)
		}
		if got := size(t, fsys, "d/a"); got != 2 {
			t.Errorf("%s: renamed file has %d bytes", name, got)
		}
		if got := size(t, fsys, "a"); got != 1 {
			t.Errorf("%s: linked file has %d bytes", name, got)
		}
	}
}
