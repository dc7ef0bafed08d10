package worker

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// inputFolder is the folder in, with what is known of it from the last task.
type inputFolder struct {
	dir   string
	names []string // of the inputs that it had
	still stillness
	lazy  pipes // of the task that is laid out
}

// lay makes the folder hold the inputs of a task and nothing else, and returns
// their bytes; lazy ones are named pipes, to be closed after the program. From one datum of a pipeline to the next the inputs' names stay,
// so their folders do too: each change of a name costs the disk's journal.
func (f *inputFolder) lay(ctx context.Context, inputs []task.Input, r chunk.Reader, now time.Time) (int64, error) {
	var names []string
	for _, in := range inputs {
		names = append(names, in.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	kept, err := f.empty(names, now)
	if err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return 0, fmt.Errorf("lay out inputs: %w", err)
	}
	defer func() { _ = root.Close() }()
	l := newLayer(ctx, root, r, "input")
	defer l.leave()
	if l.whole = kept; kept {
		for _, name := range names {
			l.dirs = append(l.dirs, name)
			l.made[name] = true
		}
	}
	l.pipes = &f.lazy
	for _, in := range inputs {
		l.home, l.mode = in.Name, in.Mode
		if err := l.mkdir(in.Name); err != nil {
			return 0, err
		}
		for _, it := range in.Items {
			if err := l.item(path.Join(in.Name, it.Path), it.Entry); err != nil {
				return 0, err
			}
		}
	}
	return l.bytes, l.finish()
}

// empty empties the folder, and reports whether it left an empty, writable
// folder for each name in it because the folder itself is as it is to be.
func (f *inputFolder) empty(names []string, now time.Time) (kept bool, err error) {
	if !slices.Equal(names, f.names) || !f.still.holds(f.dir) {
		if !isWhole(f.dir, names) {
			f.names = nil
			return false, clear(f.dir)
		}
		f.names = names
		f.still.note(f.dir, now)
	}
	for _, name := range names {
		if err := clear(filepath.Join(f.dir, name)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// isWhole reports whether dir looks as finish left it and holds folders of
// these names, in order, and nothing else.
func isWhole(dir string, names []string) bool {
	info, err := os.Lstat(dir)
	if err != nil || info.Mode() != fs.ModeDir|0o555 || !info.ModTime().Equal(fixedTime) {
		return false
	}
	entries, err := os.ReadDir(dir)
	return err == nil && slices.EqualFunc(entries, names, func(e fs.DirEntry, name string) bool {
		return e.IsDir() && e.Name() == name
	})
}
