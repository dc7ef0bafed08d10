package worktree

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestTellsHoles: what a file system says of holes is believed of some only.
func TestTellsHoles(t *testing.T) {
	for magic, told := range map[uint32]bool{
		unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true,
		0x2fc12fc1:           false, // ZFS
		unix.NFS_SUPER_MAGIC: false, unix.FUSE_SUPER_MAGIC: false, unix.OVERLAYFS_SUPER_MAGIC: false, 0: false,
	} {
		if tellsHoles(magic) != told {
			t.Errorf("%#x: %v", magic, !told)
		}
	}
}

// TestHolesAreNotRead commits a file of a tebibyte in which there are two
// words, and compares a smaller one with its bytes.
func TestHolesAreNotRead(t *testing.T) {
	dir, _ := workingCopy(t)
	create := func(name string, size int64) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		must(t, err)
		must(t, f.Truncate(size))
		for _, at := range []int64{100_000, size / 2} {
			_, err = f.WriteAt([]byte("word"), at)
			must(t, err)
		}
		must(t, f.Close())
		return path
	}
	small := create("small", 200<<20)
	f, err := os.Open(small)
	must(t, err)
	holes := SparseFile{f}.Hole()
	if _, err := f.Seek(150<<20, 0); err != nil {
		t.Fatal(err)
	}
	holes = max(holes, SparseFile{f}.Hole())
	must(t, f.Close())
	if holes == 0 {
		t.Skip("the file system here does not tell of holes")
	}
	large := create("large", 1<<40)
	s := &chunk.Mem{}
	start := time.Now()
	root, stats := commitDir(t, s, tree.Root{}, Options{Dir: dir})
	t.Logf("%d bytes in %v", stats.ReadBytes, time.Since(start))
	must(t, os.Remove(large))
	e, err := tree.Open(s, root).Lookup(t.Context(), "large")
	if err != nil || e.Content.Size != 1<<40 {
		t.Fatalf("%+v, %v", e, err)
	}
	b, err := os.ReadFile(small)
	must(t, err)
	want, err := chunk.WriteContent(t.Context(), s, chunk.DefaultParams(), bytes.NewReader(b))
	must(t, err)
	if e, err := tree.Open(s, root).Lookup(t.Context(), "small"); err != nil || e.Content != want {
		t.Errorf("with holes %+v, %v; read as bytes %+v", e.Content, err, want)
	}
}

// TestHolesAreLaidOut checks a file out of which most is holes: it has its
// bytes, and takes little room.
func TestHolesAreLaidOut(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int64
		data []int64 // offsets of words
	}{
		{"holes around", 96 << 20, []int64{40 << 20, 40<<20 + 5000}},
		{"data at both ends", 96<<20 + 5, []int64{0, 96 << 20}},
		{"nothing but a hole", 64<<20 + 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := workingCopy(t)
			path := filepath.Join(dir, "f")
			f, err := os.Create(path)
			must(t, err)
			must(t, f.Truncate(tt.size))
			for _, at := range tt.data {
				_, err = f.WriteAt([]byte("word"), at)
				must(t, err)
			}
			must(t, f.Close())
			s := &chunk.Mem{}
			root, _ := commitDir(t, s, tree.Root{}, Options{Dir: dir})
			out := filepath.Join(t.TempDir(), "out")
			_, err = Checkout(t.Context(), s, root, out, CheckoutOptions{})
			must(t, err)
			want, err := os.ReadFile(path)
			must(t, err)
			got, err := os.ReadFile(filepath.Join(out, "f"))
			must(t, err)
			if !bytes.Equal(want, got) {
				t.Fatalf("%d bytes differ from the %d that were stored", len(got), len(want))
			}
			var stat unix.Stat_t
			must(t, unix.Stat(filepath.Join(out, "f"), &stat))
			most := int64(len(tt.data)+1) * 2 * int64(chunk.DefaultParams().MaxSize)
			if room := stat.Blocks * 512; room > most {
				t.Errorf("it takes %d bytes, at most %d are expected", room, most)
			}
		})
	}
}
