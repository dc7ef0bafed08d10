package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// server is an Executor that takes datum after datum in place of a program.
func server(f func(p Process, o offer)) inProcess {
	return func(ctx context.Context, p Process) (Exit, error) {
		lines, err := os.OpenFile(p.Lines, os.O_RDONLY|nonblock, 0)
		if err != nil {
			return Exit{}, err
		}
		defer context.AfterFunc(ctx, func() { _ = lines.SetReadDeadline(longAgo) })()
		defer func() { _ = lines.Close() }()
		answers, err := os.OpenFile(p.Answers, os.O_WRONLY, 0)
		if err != nil {
			return Exit{}, err
		}
		defer func() { _ = answers.Close() }()
		for text := bufio.NewScanner(lines); text.Scan(); {
			var o offer
			if err := json.Unmarshal(text.Bytes(), &o); err != nil {
				return Exit{}, err
			}
			f(p, o)
			if _, err := fmt.Fprintf(answers, "{\"n\":%d}\n", o.N); err != nil {
				return Exit{}, err
			}
		}
		return Exit{}, nil
	}
}

// TestBatchInMemory: the small datums of a program that stays move into memory,
// each with its own inputs and outputs and nothing of the ones before, while the
// program and its working directory stay on the disk; a large one between them is
// on the disk.
func TestBatchInMemory(t *testing.T) {
	s := &chunk.Mem{}
	var w *Worker
	var found, at, last string
	processes, moved, large, round := 0, 0, 0, 0
	mischief := []func(p Process, o offer){
		func(Process, offer) {},
		func(_ Process, o offer) {
			must(t, os.WriteFile(filepath.Join(filepath.Dir(o.Out), "stray"), nil, 0o600))
		},
		func(_ Process, o offer) { removeAll(t, o.In) },
		func(_ Process, o offer) {
			must(t, os.Chmod(o.In, 0o700))
			must(t, os.WriteFile(filepath.Join(o.In, "more"), nil, 0o600))
		},
		func(p Process, _ offer) { must(t, os.WriteFile(filepath.Join(p.Dir, "kept"), nil, 0o600)) },
		func(p Process, _ offer) { must(t, removeWhole(filepath.Join(p.Dir, "in"))) },
		func(_ Process, o offer) {
			must(t, os.Mkdir(filepath.Join(o.Out, "d"), 0o700))
			must(t, os.WriteFile(filepath.Join(o.Out, "d", "e"), nil, 0o400))
			must(t, os.Chmod(filepath.Join(o.Out, "d"), 0o500))
		},
	}
	links := func(p Process, o offer) []string { // names of the inputs' folder; without links outputs are flat
		return []string{o.In, filepath.Join(p.Dir, "in"), "../../in"}[:round%2*3]
	}
	w = newMemoryWorker(t, server(func(p Process, o offer) {
		if o.N == 1 {
			processes++
		}
		found, at = look(t, o.In), o.In
		if _, err := os.Lstat(last); last != "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("round %d: the outputs of the one before are there: %v", round, err)
		}
		last = o.Out
		if inMemory(w, o.In) != inMemory(w, o.Out) || inMemory(w, p.Dir) {
			t.Errorf("round %d: in %s, out %s, working directory %s", round, o.In, o.Out, p.Dir)
		}
		if below := look(t, filepath.Join(p.Dir, "in")+"/"); below != found {
			t.Errorf("round %d: the working directory has the inputs\n%s", round, below)
		}
		must(t, os.WriteFile(filepath.Join(o.Out, "x"), fmt.Append(nil, round), 0o666))
		for i, in := range links(p, o) {
			must(t, os.Symlink(filepath.Join(in, "r", "a"), filepath.Join(o.Out, fmt.Sprint("link", i))))
		}
		mischief[round%len(mischief)](p, o)
	}))
	const rounds = memoryAfter + 24
	for round = range rounds {
		text := fmt.Sprint("text ", round)
		if round%10 == 9 {
			text = strings.Repeat(text, memoryBytes/4)
			large++
		}
		k := aTask(whole("r", build(t, s, map[string]any{"a": text})))
		k.Batch, k.Program = true, chunk.ID{1}
		res := succeed(t, w, k, s)
		if want := fmt.Sprintf("r dr-xr-xr-x\nr/a -r--r--r-- %q\n", text); found != want {
			t.Fatalf("round %d found\n%.300swant\n%.300s", round, found, want)
		}
		if inMemory(w, at) {
			moved++
		}
		e, err := tree.Open(s, res.Output).Lookup(context.Background(), "x")
		must(t, err)
		if content(t, s, e.Content) != fmt.Sprint(round) {
			t.Fatalf("round %d has another output", round)
		}
		for i := range round % 2 * 3 {
			e, err := tree.Open(s, res.Output).Lookup(context.Background(), fmt.Sprint("link", i))
			must(t, err)
			if content(t, s, e.Content) != text {
				t.Fatalf("round %d: link %d to the input is %+v", round, i, e)
			}
		}
	}
	if want := rounds - memoryAfter - large; moved != want || processes != 1 {
		t.Errorf("%d datums were in memory, want %d, of %d processes", moved, want, processes)
	}
	k := aTask(whole("r", build(t, s, map[string]any{"a": "other"})))
	k.Batch, k.Program = true, chunk.ID{2}
	succeed(t, w, k, s)
	if _, err := os.Lstat(filepath.Join(w.memory.dir, "out", "stray")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a program left is there for the next one: %v", err)
	}
	w.Rest()
}

// TestBatchLeavesNothing: what a program leaves in the folder out of its working
// directory while its datums are in memory is no output of another pipeline's.
func TestBatchLeavesNothing(t *testing.T) {
	s := &chunk.Mem{}
	in := whole("r", build(t, s, map[string]any{"a": "text"}))
	small := 0
	stays := server(func(p Process, o offer) {
		small++
		must(t, os.WriteFile(filepath.Join(p.Dir, "out", "stray"), nil, 0o600))
	})
	var found string
	once := program(t, func(dir string) { found = look(t, filepath.Join(dir, "out")) })
	w := newMemoryWorker(t, inProcess(func(ctx context.Context, p Process) (Exit, error) {
		if p.Lines != "" {
			return stays(ctx, p)
		}
		return once.Exec(ctx, p)
	}))
	for i := range memoryAfter + 1 { // the last one in memory, of a process of its own
		k := aTask(in)
		k.Pipeline, k.Batch, k.Program = "stays", true, chunk.ID{byte(i)}
		succeed(t, w, k, s)
	}
	succeed(t, w, aTask(in), s)
	if found != "" || small != memoryAfter+1 {
		t.Errorf("after %d datums found\n%s", small, found)
	}
}
