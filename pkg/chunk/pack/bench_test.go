package pack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
)

// sourceFiles returns the files of the Go toolchain's source tree.
func sourceFiles(b *testing.B) [][]byte {
	b.Helper()
	var files [][]byte
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		files = append(files, body)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return files
}

// BenchmarkCommit stores about 10,000 small files in a folder: first into an
// empty store, then again over what is there.
func BenchmarkCommit(b *testing.B) {
	files := sourceFiles(b)
	size := int64(0)
	for _, f := range files {
		size += int64(len(f))
	}
	objects, err := disk.Create(b.Context(), filepath.Join(b.TempDir(), "store"), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer objects.Close()
	st := open(b, objects, Options{})
	var base []string
	n := 0
	commit := func(b *testing.B, base []string) []string {
		name, err := SessionName(uint64(n), "x")
		if err != nil {
			b.Fatal(err)
		}
		n++
		s, err := st.Session(b.Context(), snapshot(b, st, base...), name)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		w, err := chunk.NewWriter(s, chunk.DefaultParams())
		if err != nil {
			b.Fatal(err)
		}
		writeAll(b, w, files)
		flush(b, s)
		return s.Segments()
	}
	b.Run("cold", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			base = commit(b, nil)
		}
	})
	b.Run("warm", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			commit(b, base)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(size)
		snap := snapshot(b, st, base...)
		for b.Loop() {
			for _, f := range files {
				if len(f) > 0 && len(f) < 1<<20 {
					if _, err := snap.Get(b.Context(), chunk.Data, chunk.Data.Sum(f)); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	})
}

func writeAll(b *testing.B, w *chunk.Writer, files [][]byte) {
	work := make(chan []byte)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for f := range work {
				if _, err := w.WriteContent(context.Background(), bytes.NewReader(f)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, f := range files {
		work <- f
	}
	close(work)
	wg.Wait()
}

// BenchmarkLookup finds chunks among a million.
func BenchmarkLookup(b *testing.B) {
	var footers []Footer
	for p := range 16 {
		f := Footer{Key: packKey(name1, p), Size: PackSizeMax}
		for i := range 1 << 16 {
			f.Entries = append(f.Entries, Entry{chunk.Data.Sum(fmt.Append(nil, p, i)), chunk.Data, Raw, headerSize, 4, 4})
		}
		footers = append(footers, f)
	}
	data, err := encodeSegment(footers)
	if err != nil {
		b.Fatal(err)
	}
	s, err := openSegment("x", data)
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		e := &footers[i%16].Entries[i*7919%(1<<16)]
		if _, ok := s.find(e.Kind, &e.ID); !ok {
			b.Fatal("not found")
		}
		i++
	}
}
