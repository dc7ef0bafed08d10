package worker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestLazyAndEmptyInputs: a lazy file has its bytes when it is opened, those
// that nobody opens are not fetched, an empty one has none, and an output may
// link to all of them.
func TestLazyAndEmptyInputs(t *testing.T) {
	var s chunk.Mem
	big := strings.Repeat("0123456789", 1<<15) // more than a pipe holds
	lazy := whole("lazy", build(t, &s, map[string]any{"big": big, "d/none": "", "d/unread": "x"}))
	empty := whole("empty", build(t, &s, map[string]any{"e": "bytes"}))
	lazy.Mode, empty.Mode = task.Lazy, task.Empty
	w := newWorker(t, program(t, func(dir string) {
		for p, want := range map[string]string{"lazy/big": big, "lazy/d/none": "", "empty/e": ""} {
			got, err := os.ReadFile(filepath.Join(dir, "in", p))
			if err != nil || string(got) != want {
				t.Errorf("%s: %d bytes, %v, want %d", p, len(got), err, len(want))
			}
		}
		for _, p := range []string{"lazy/d/unread", "empty/e"} {
			must(t, os.Symlink("../in/"+p, filepath.Join(dir, "out", filepath.Base(p))))
		}
	}))
	res := succeed(t, w, aTask(lazy, empty), &s)
	if res.Stats.BytesIn != int64(len(big)) {
		t.Errorf("%d bytes fetched, want %d", res.Stats.BytesIn, len(big))
	}
	for name, size := range map[string]int64{"unread": 1, "e": 5} {
		e, err := tree.Open(&s, res.Output).Lookup(t.Context(), name)
		if err != nil || e.Kind != tree.File || e.Content.Size != size {
			t.Errorf("%s: %+v, %v, want a file of %d bytes", name, e, err, size)
		}
	}
}

// TestLazyReaderMayStopEarly: a program that has read enough succeeds.
func TestLazyReaderMayStopEarly(t *testing.T) {
	var s chunk.Mem
	lazy := whole("lazy", build(t, &s, map[string]any{"big": strings.Repeat("x", 1<<20)}))
	lazy.Mode = task.Lazy
	w := newWorker(t, program(t, func(dir string) {
		f, err := os.Open(filepath.Join(dir, "in", "lazy", "big"))
		must(t, err)
		_, err = f.Read(make([]byte, 10))
		must(t, errors.Join(err, f.Close()))
	}))
	succeed(t, w, aTask(lazy), &s)
}

// TestLazyInputThatIsNotThere: a program that got less than there is has no
// result.
func TestLazyInputThatIsNotThere(t *testing.T) {
	var s chunk.Mem
	e := tree.Entry{Kind: tree.File, Content: chunk.Content{ID: chunk.ID{1}, Size: 3}}
	in := task.Input{Name: "lazy", Mode: task.Lazy, Items: []task.Item{{Path: "a", Entry: e}}}
	w := newWorker(t, program(t, func(dir string) { _, _ = os.ReadFile(filepath.Join(dir, "in", "lazy", "a")) }))
	if res, err := w.Run(t.Context(), aTask(in), &s); err == nil {
		t.Errorf("outcome %q, want an error", res.Outcome)
	}
	many := task.Input{Name: "lazy", Mode: task.Lazy}
	for i := range lazyMax + 1 {
		many.Items = append(many.Items, task.Item{Path: "f" + string(rune('a'+i%26)) + strings.Repeat("x", i/26), Entry: tree.Entry{Kind: tree.File}})
	}
	refuse(t, w, aTask(many), &s, "lazy", "1000")
}
