package worker

import (
	"context"
	"errors"
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
// their bytes; lazy ones are named pipes, to be closed after the program. From
// one datum of a pipeline to the next the inputs' names stay, so their folders
// do too, and what lies in them is used again: each change of a name costs the
// disk's journal, and each new file more.
func (f *inputFolder) lay(ctx context.Context, inputs []task.Input, r chunk.Reader, now time.Time) (int64, error) {
	var names []string
	again := salvages
	for _, in := range inputs {
		names = append(names, in.Name)
		again = again && in.Mode != task.Lazy
	}
	slices.Sort(names)
	names = slices.Compact(names)
	kept, err := f.keep(names, now)
	if err != nil {
		return 0, err
	}
	if kept && again {
		n, err := f.write(ctx, inputs, names, r, true)
		if !errors.Is(err, errClash) {
			return n, err
		}
	}
	if kept {
		if err := f.empty(names); err != nil {
			return 0, err
		}
	}
	return f.write(ctx, inputs, slices.DeleteFunc(names, func(string) bool { return !kept }), r, false)
}

// write lays the inputs out. Folders are there for the names given, empty ones
// unless what is in them is to be used again.
func (f *inputFolder) write(ctx context.Context, inputs []task.Input, names []string, r chunk.Reader, again bool) (int64, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return 0, fmt.Errorf("lay out inputs: %w", err)
	}
	defer func() { _ = root.Close() }()
	l := newLayer(ctx, root, r, "input")
	defer l.leave()
	if again {
		if l.left = salvageOf(root, names); l.left == nil {
			return 0, errClash
		}
	}
	l.whole = len(names) > 0
	for _, name := range names {
		l.dirs = append(l.dirs, name)
		l.made[name] = true
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

// keep reports whether the folder itself is as it is to be, with a folder for
// each of the names; else it empties it.
func (f *inputFolder) keep(names []string, now time.Time) (bool, error) {
	if len(names) > 0 && slices.Equal(names, f.names) && f.still.holds(f.dir) {
		return true, nil
	}
	if len(names) == 0 || !isWhole(f.dir, names) {
		f.names = nil
		return false, clear(f.dir)
	}
	f.names = names
	f.still.note(f.dir, now)
	return true, nil
}

// refer makes the folder a link to one elsewhere, which has the inputs of a
// program that works here.
func (f *inputFolder) refer(to string) error {
	if at, err := os.Readlink(f.dir); err == nil && at == to {
		return nil
	}
	f.names = nil
	if err := removeWhole(f.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(to, f.dir)
}

// empty leaves an empty, writable folder for each of the names.
func (f *inputFolder) empty(names []string) error {
	for _, name := range names {
		if err := clear(filepath.Join(f.dir, name)); err != nil {
			return err
		}
	}
	return nil
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
