//go:build scale

package scale

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// makeVariable names the folder of the store that a child of the tests makes,
// filesVariable says how many files it holds, and flatVariable that they are
// all in one directory.
const (
	makeVariable  = "DVX_SCALE_MAKE"
	filesVariable = "DVX_SCALE_FILES"
	flatVariable  = "DVX_SCALE_FLAT"
)

// TestMake makes a store for the other tests, which run it as a process of its
// own: so the memory that it takes does not count for those that they measure.
func TestMake(t *testing.T) {
	dir := os.Getenv(makeVariable)
	if dir == "" {
		t.Skip("it is run by the other tests")
	}
	n, err := strconv.Atoi(os.Getenv(filesVariable))
	if err != nil {
		t.Fatal(err)
	}
	d := newStore(t, dir)
	name := path
	if os.Getenv(flatVariable) != "" {
		name = flatPath
	}
	commitFiles(t, d, name, n, 1, 0)
	commitFiles(t, d, name, n, n/10, 1)
}

// makeStore has TestMake make a store in dir: a repo data, whose last commit
// changes 10 of n files. It collects garbage as the command line does.
func makeStore(t *testing.T, dir string, n int, more ...string) measured {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestMake$")
	cmd.Env = append(os.Environ(), makeVariable+"="+dir, filesVariable+"="+strconv.Itoa(n), "GOGC=50")
	cmd.Env = append(cmd.Env, more...)
	return measure(t, cmd)
}

// TestCommitMemory commits ever more files, all of them new.
func TestCommitMemory(t *testing.T) {
	for _, tt := range []struct {
		files int
		most  int64
	}{
		{files, 512 << 20},
		{10 * files, 1 << 30},
	} {
		dir := filepath.Join(t.TempDir(), "store")
		m := makeStore(t, dir, tt.files)
		t.Logf("%d files were committed in %v, %d MiB", tt.files, m.took, m.rss>>20)
		if m.rss > tt.most {
			t.Errorf("%d files took %d MiB", tt.files, m.rss>>20)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeDirectory commits, lists and changes a directory of five million
// entries.
func TestLargeDirectory(t *testing.T) {
	const n = 5_000_000
	dir := filepath.Join(t.TempDir(), "store")
	m := makeStore(t, dir, n, flatVariable+"=1")
	t.Logf("%d files were committed to one directory in %v, %d MiB", n, m.took, m.rss>>20)
	if m.rss > 1<<30 {
		t.Errorf("%d MiB", m.rss>>20)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("some text"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"put", file, "data@main:/new"},
		{"diff", "data@main~2", "data@main"},
		{"cat", "data@main:/" + flatPath(4_321_000)},
		{"ls", "data@main"},
	} {
		m := run(t, dir, args...)
		t.Logf("dvx %s: %v, %d MiB", args[0], m.took, m.rss>>20)
		if m.rss > 384<<20 { // the index, which is mapped, has 250
			t.Errorf("dvx %s took %d MiB", args[0], m.rss>>20)
		}
	}
}

// TestSparseFile puts a file that is nothing but a hole.
func TestSparseFile(t *testing.T) {
	const size = 1 << 40
	file := filepath.Join(t.TempDir(), "hole")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	makeStore(t, dir, 10)
	m := run(t, dir, "put", file, "data@main:/hole")
	t.Logf("a file of %d GiB was put in %v, %d MiB", size>>30, m.took, m.rss>>20)
	if m.rss > 256<<20 {
		t.Errorf("%d MiB", m.rss>>20)
	}
}

// newStore makes a store in dir with an empty repo named data.
func newStore(tb testing.TB, dir string) *repo.Direct {
	tb.Helper()
	objects, err := disk.Create(tb.Context(), dir, disk.Options{Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := repo.Init(tb.Context(), objects, repo.InitOptions{Options: repo.Options{Now: time.Now, Rand: rand.Reader}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = d.Close()
		_ = objects.Close()
	})
	op, err := d.NewOp()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := d.Move(asOwner(tb), repo.Txn{Op: op, Ops: []repo.Op{repo.CreateRepo{Repo: "data"}}}); err != nil {
		tb.Fatal(err)
	}
	return d
}

// asOwner is the context of the store's owner.
func asOwner(tb testing.TB) context.Context { return auth.With(tb.Context(), auth.Owner) }

// path names file i: a thousand in a directory, a thousand directories in one.
func path(i int) string { return fmt.Sprintf("%03d/%03d/file-%09d", i/1_000_000, i/1000%1000, i) }

func flatPath(i int) string { return fmt.Sprintf("file-%09d", i) }

// commitFiles commits a file for each number from 0 to n by step, named by it,
// of the number's 8 bytes and a salt.
func commitFiles(tb testing.TB, d *repo.Direct, name func(int) string, n, step int, salt byte) repo.CommitResult {
	tb.Helper()
	op, err := d.NewOp()
	if err != nil {
		tb.Fatal(err)
	}
	o := repo.CommitOptions{Repo: "data", Op: op, Time: time.Now(), Message: fmt.Sprintf("%d files", n/step)}
	res, err := repo.Commit(asOwner(tb), d, o, func(ctx context.Context, draft *repo.Draft) (tree.Root, error) {
		return draft.ApplySorted(ctx, func(yield func(tree.Edit, error) bool) {
			for i := 0; i < n; i += step {
				b := append(binary.BigEndian.AppendUint64(nil, uint64(i)), salt)
				id, err := draft.Put(ctx, chunk.Data, b)
				e := tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id, Size: int64(len(b))}}
				if !yield(tree.Edit{Op: tree.Put, Path: name(i), Entry: e}, err) {
					return
				}
			}
		})
	})
	if err != nil {
		tb.Fatal(err)
	}
	return res
}
