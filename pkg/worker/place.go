package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// place is a folder in which the program of one task after the other finds in,
// code and out.
type place struct {
	dir  string // empty: there is none
	out  string // the folder of the outputs in it: out, or one below it of a program that takes many datums
	bare bool   // that is empty and as it is to be
	code codeFolder
}

// placeIn returns the place in a worker's folder.
func placeIn(dir string) place {
	p := place{dir: filepath.Join(dir, "task"), out: "out"}
	p.code = codeFolder{dir: filepath.Join(p.dir, "code"), probe: filepath.Join(dir, "clock")}
	return p
}

// sweep removes what a program left beside in, code and out, and tmp where that
// is TMPDIR.
func (p *place) sweep(tmpdir bool) error {
	if info, err := os.Lstat(p.dir); err != nil || !info.IsDir() { // the program removed or replaced it
		p.bare = false
		return clear(p.dir)
	}
	f, err := os.Open(p.dir)
	if err != nil {
		return fmt.Errorf("prepare task: %w", err)
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("prepare task: %w", err)
	}
	for _, name := range names {
		switch name {
		case "in", "out", "code":
		default:
			if tmpdir && name == "tmp" {
				continue
			}
			if err := removeWhole(filepath.Join(p.dir, name)); err != nil {
				return fmt.Errorf("prepare task: %w", err)
			}
		}
	}
	return nil
}

// drop removes the output folder of a single datum, so that what a program
// writes late goes nowhere.
func (p *place) drop() error {
	if p.out == "out" {
		return nil
	}
	out := filepath.Join(p.dir, p.out)
	bare := p.bare
	p.out, p.bare = "out", false
	if bare && os.Remove(out) == nil {
		return nil
	}
	return removeWhole(out)
}

// clearOut leaves the folder out empty.
func (p *place) clearOut() error {
	if p.dir == "" || p.bare && p.out == "out" {
		return nil
	}
	err := clear(filepath.Join(p.dir, "out"))
	p.out, p.bare = "out", err == nil
	return err
}

// freshOut makes a folder for the outputs of one datum, of a name that no other
// datum had.
func (w *Worker) freshOut() error {
	w.outs++
	w.at.out = filepath.Join("out", strconv.Itoa(w.outs))
	name := filepath.Join(w.at.dir, w.at.out)
	err := os.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(clear(filepath.Dir(name)), os.Mkdir(name, 0o755))
	}
	return err
}

// choose decides where a task runs.
func (w *Worker) choose(ctx context.Context, t task.Task) {
	w.at, w.small = &w.disk, nil
	w.doubted = false
	if w.memory.dir == "" || !w.habits.fits(t) {
		return
	}
	room := w.room(w.memory.dir)
	if room < memoryFree {
		return
	}
	w.roomMin = max(memoryFree/2, room-memorySpend)
	if w.small = gatherSmall(ctx, t.Inputs, w.store); w.small != nil {
		w.at = &w.memory
	}
}

// leaveMemory removes what a task has in memory. If that can't be done nothing
// runs there any more.
func (w *Worker) leaveMemory() {
	single := w.memory.out != "out"
	switch {
	case errors.Join(w.small.remove(w.memory.dir), w.memory.drop()) != nil:
		w.memory.dir = ""
	case !single && !w.memory.bare:
		_ = w.memory.clearOut()
	}
}
