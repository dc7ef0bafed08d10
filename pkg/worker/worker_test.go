package worker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// inProcess is an Executor that calls a function in place of a program, in the
// task's folder.
type inProcess func(ctx context.Context, p Process) (Exit, error)

func (f inProcess) Exec(ctx context.Context, p Process) (Exit, error) { return f(ctx, p) }

// program makes an executor of a function that gets the task's folder.
func program(t *testing.T, f func(dir string)) inProcess {
	t.Helper()
	return func(_ context.Context, p Process) (Exit, error) {
		f(p.Dir)
		return Exit{}, nil
	}
}

// clock is a clock that shows another second whenever it is read. It is behind
// that of the disk, whatever that shows: no file counts as left alone.
func clock() func() time.Time {
	at := time.Date(2001, 11, 20, 9, 0, 0, 0, time.UTC)
	return func() time.Time { at = at.Add(time.Second); return at }
}

func newWorker(t *testing.T, exec Executor) *Worker {
	t.Helper()
	w, err := New(chunk.DefaultParams(), Options{Dir: filepath.Join(t.TempDir(), "slot"), Exec: exec, Path: "/bin", Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	// Read-only folders would keep the test's folder from being removed.
	t.Cleanup(func() {
		if err := clear(w.opts.Dir); err != nil {
			t.Error(err)
		}
	})
	return w
}

// What build takes for an entry; a plain string is a file.
type (
	executable string
	linkTo     string
	emptyDir   struct{}
)

// build stores a tree of entries, all of which carry attributes.
func build(t *testing.T, s chunk.Store, entries map[string]any) tree.Root {
	t.Helper()
	ctx := context.Background()
	b := tree.NewBuilder(s)
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		if err := b.Add(ctx, p, entry(t, s, entries[p])); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func entry(t *testing.T, s chunk.Store, v any) tree.Entry {
	t.Helper()
	e := tree.Entry{Kind: tree.File, Attrs: tree.Attrs{Time: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)}}
	text := ""
	switch v := v.(type) {
	case string:
		text = v
	case executable:
		text, e.Exec = string(v), true
	case linkTo:
		text, e.Kind = string(v), tree.Symlink
	case emptyDir:
		none, err := tree.Empty(context.Background(), s)
		must(t, err)
		e.Kind, e.Dir = tree.Dir, none
		return e
	}
	c, err := chunk.WriteContent(context.Background(), s, chunk.DefaultParams(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	e.Content = c
	return e
}

// whole makes a task input of a whole tree.
func whole(name string, root tree.Root) task.Input {
	return task.Input{Name: name, Items: []task.Item{{Entry: tree.Entry{Kind: tree.Dir, Dir: root}}}}
}

func aTask(inputs ...task.Input) task.Task {
	return task.Task{Attempt: 1, Transform: spec.Transform{Cmd: []string{"program"}}, Inputs: inputs}
}

// succeed runs a task that must succeed.
func succeed(t *testing.T, w *Worker, k task.Task, s chunk.Store) task.Result {
	t.Helper()
	res, err := w.Run(context.Background(), k, s)
	if err != nil || res.Outcome != task.Succeeded {
		t.Fatalf("outcome %q, reason %q, error %v", res.Outcome, res.Reason, err)
	}
	return res
}

// refuse runs a task that must fail for a reason that holds every word.
func refuse(t *testing.T, w *Worker, k task.Task, s chunk.Store, words ...string) {
	t.Helper()
	res, err := w.Run(context.Background(), k, s)
	if err != nil || res.Outcome != task.Failed {
		t.Fatalf("outcome %q, reason %q, error %v; want a failed datum", res.Outcome, res.Reason, err)
	}
	for _, word := range words {
		if !strings.Contains(res.Reason, word) {
			t.Errorf("reason %q does not say %q", res.Reason, word)
		}
	}
	if strings.Contains(res.Reason, "\n") {
		t.Errorf("reason %q is more than a line", res.Reason)
	}
}

// listing describes a tree, an entry per line.
func listing(t *testing.T, s chunk.Store, root tree.Root) string {
	t.Helper()
	var b strings.Builder
	for e, err := range tree.Open(s, root).Walk(context.Background(), tree.WalkOptions{Dirs: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Attrs.Time != (time.Time{}) || e.Marker != nil {
			t.Errorf("%s carries attributes", e.Path)
		}
		switch e.Kind {
		case tree.Dir:
			fmt.Fprintf(&b, "%s\n", e.Path)
		case tree.Symlink:
			fmt.Fprintf(&b, "%s -> %s\n", e.Path, content(t, s, e.Content))
		default:
			exec := ""
			if e.Exec {
				exec = " x"
			}
			fmt.Fprintf(&b, "%s%s %q\n", e.Path, exec, content(t, s, e.Content))
		}
	}
	return b.String()
}

func content(t *testing.T, s chunk.Store, c chunk.Content) string {
	t.Helper()
	if c.Size == 0 {
		return ""
	}
	r, err := chunk.OpenContent(context.Background(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), mode))
}
