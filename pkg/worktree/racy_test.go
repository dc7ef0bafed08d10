package worktree

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// TestRememberedFiles: of what a checkout wrote and read, the index is told what
// nobody can have changed without a trace.
func TestRememberedFiles(t *testing.T) {
	const began, private = 100, 200 // far in the past, by the disk's clock
	_, index := workingCopy(t)
	w := newLayer(nil, CheckoutOptions{Index: index})
	stat := func(mtime, ctime int64) Stat { return Stat{Mtime: mtime, Ctime: ctime} }
	future := time.Now().Add(time.Hour).UnixNano()
	read := map[string]Stat{"r/old": stat(99, 99), "r/same": stat(100, 50), "r/back": stat(50, 100), "r/young": stat(150, 150)}
	written := map[string]Stat{
		"w/private": stat(199, 199), "w/moved": stat(300, 301), "w/untold": stat(300, 0),
		"w/tick": stat(300, 300), "w/future": stat(future, future+1),
	}
	for p, s := range read {
		w.note(&w.read, indexEntry{path: p, stat: s})
	}
	for p, s := range written {
		w.note(&w.written, indexEntry{path: p, stat: s})
	}
	must(t, w.remember(began, private, func(string) bool { return true }))
	known := map[string]bool{"r/old": true, "w/private": true, "w/moved": true, "w/untold": true}
	for _, all := range []map[string]Stat{read, written} {
		for p, s := range all {
			if _, ok := index.find(p, s); ok != known[p] {
				t.Errorf("%s: remembered: %v", p, ok)
			}
		}
	}
}

// racing changes a file, to as many bytes and with its times set back, once
// the file was read.
type racing struct {
	chunk.Reader
	change func()
}

func (r racing) Get(ctx context.Context, k chunk.Kind, id chunk.ID) ([]byte, error) {
	if k == chunk.Data {
		r.change()
	}
	return r.Reader.Get(ctx, k, id)
}

// TestUpdateBesideWriter: a file that was found as it should be and is changed
// while the update goes on is not taken for unchanged.
func TestUpdateBesideWriter(t *testing.T) {
	s := &chunk.Mem{}
	from, to := disk{"a": "old"}.store(t, s), disk{"a": "new", "b": "1"}.store(t, s)
	dir, index := workingCopy(t)
	name := filepath.Join(dir, "a")
	must(t, os.WriteFile(name, []byte("new"), 0o644)) // to has it so: it is read and stays
	info, err := os.Stat(name)
	must(t, err)
	change := func() {
		must(t, os.WriteFile(name, []byte("mew"), 0o644))
		must(t, os.Chtimes(name, info.ModTime(), info.ModTime()))
	}
	_, err = Update(t.Context(), racing{s, change}, from, to, dir, CheckoutOptions{Index: index, Workers: 1})
	must(t, err)
	if changes, _ := status(t, s, to, Options{Dir: dir, Index: index}); len(changes) != 1 {
		t.Errorf("after a change beside the update: %q", changes)
	}
}
