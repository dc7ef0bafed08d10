package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// layer writes files, directories and links.
type layer struct {
	r       chunk.Reader
	index   *Index
	workers int
	jobs    *crew // between begin and its wait
	batch   *fileBatch
	meter   meter
	large   chan struct{} // holds a token for each large file that is being written
	links   []link        // made when all else is there
	temps   atomic.Int64

	mu      sync.Mutex
	read    []indexEntry // files that were there
	written []indexEntry
}

// link is a symbolic link to be made.
type link struct {
	dir   string // "" or with "/" at the end
	entry tree.Entry
}

// largeMax is how many files of more than one chunk are written at once: each
// has several reads under way.
const largeMax = 4

func newLayer(r chunk.Reader, o CheckoutOptions) *layer {
	return &layer{r: r, index: o.Index, workers: o.Workers, large: make(chan struct{}, largeMax), meter: meter{tell: o.Progress}}
}

// begin makes ready to write files, and returns their context, which ends when
// one fails. finish must follow.
func (w *layer) begin(ctx context.Context) context.Context {
	w.jobs, ctx = newCrew(ctx, w.workers)
	return ctx
}

// finish waits for all files. It returns the first error of writing one, or
// err.
func (w *layer) finish(ctx context.Context, err error) error {
	w.flush(ctx)
	if jerr := w.jobs.wait(); jerr != nil {
		return jerr
	}
	return err
}

// write fills the empty folder top with root.
func (w *layer) write(ctx context.Context, top *folder, root tree.Root) error {
	jobsCtx := w.begin(ctx)
	if err := w.finish(jobsCtx, w.dir(jobsCtx, top, "", root)); err != nil {
		return err
	}
	return w.makeLinks(ctx, top, func(f *folder, l link, target string) error {
		return f.root.Symlink(target, l.entry.Name)
	})
}

// dir writes a directory's entries into the folder f, links left for later.
func (w *layer) dir(ctx context.Context, f *folder, path string, root tree.Root) error {
	for e, err := range tree.Open(w.r, root).Entries(ctx, "", "") {
		if err != nil {
			return err
		}
		switch e.Kind {
		case tree.Dir:
			err = w.sub(ctx, f, path, e)
		case tree.Symlink:
			w.links = append(w.links, link{path, e})
		default:
			w.createLater(ctx, f, path, e)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path+e.Key(), err)
		}
	}
	return nil
}

func (w *layer) sub(ctx context.Context, f *folder, path string, e tree.Entry) error {
	if err := f.root.Mkdir(e.Name, 0o755); err != nil {
		return err
	}
	sub, err := f.sub(e.Name)
	if err != nil {
		return err
	}
	defer sub.release()
	return w.dir(ctx, sub, path+e.Key(), e.Dir)
}

// writeFunc writes a file into a folder.
type writeFunc func(ctx context.Context, f *folder, e tree.Entry) (Stat, error)

// later has a file written by another goroutine.
func (w *layer) later(ctx context.Context, f *folder, path string, e tree.Entry, how writeFunc) {
	f.hold()
	w.jobs.do(func() error {
		defer f.release()
		if err := ctx.Err(); err != nil {
			return err
		}
		stat, err := how(ctx, f, e)
		return w.wrote(path, &e, stat, err)
	})
}

// wrote takes note of a file that was written.
func (w *layer) wrote(path string, e *tree.Entry, stat Stat, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", path+e.Name, err)
	}
	w.note(&w.written, indexEntry{path + e.Name, stat, e.Content})
	w.meter.add(1, e.Content.Size)
	return nil
}

// note adds to what the index is told, w.read or w.written.
func (w *layer) note(to *[]indexEntry, e indexEntry) {
	if w.index == nil {
		return
	}
	w.mu.Lock()
	*to = append(*to, e)
	w.mu.Unlock()
}

// create writes a file that must not be there yet.
func (w *layer) create(ctx context.Context, f *folder, e tree.Entry) (Stat, error) {
	return w.createWith(f, &e, func(to file) error { return w.fill(ctx, to, e.Content) })
}

// createWith makes a file and has fill write to it.
func (w *layer) createWith(f *folder, e *tree.Entry, fill func(file) error) (Stat, error) {
	mode := fs.FileMode(0o644)
	if e.Exec {
		mode = 0o755
	}
	f.making.Lock() // the kernel makes one name at a time, and lets others burn time meanwhile
	file, err := f.createFile(e.Name, mode)
	f.making.Unlock()
	if err != nil {
		return Stat{}, err
	}
	defer func() { _ = file.Close() }()
	if err := fill(file); err != nil {
		return Stat{}, err
	}
	stat, err := file.stat()
	if err != nil {
		return Stat{}, err
	}
	return stat, file.Close()
}

// fill writes a content to a file.
func (w *layer) fill(ctx context.Context, to file, content chunk.Content) error {
	if content.Depth > 0 {
		select {
		case w.large <- struct{}{}:
			defer func() { <-w.large }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fresh := &freshFile{file: to}
	if err := chunk.CopyContent(ctx, w.r, fresh, content); err != nil {
		return err
	}
	if fresh.end > fresh.written { // it ends in a hole
		return to.Truncate(content.Size)
	}
	return nil
}

// freshFile is a file that is being filled, in which holes stay holes.
type freshFile struct {
	file
	written, end int64 // up to where bytes were written, and up to where a hole was
}

var _ chunk.HoleWriter = (*freshFile)(nil)

// WriteAt implements [chunk.HoleWriter].
func (f *freshFile) WriteAt(p []byte, off int64) (int, error) {
	f.written = max(f.written, off+int64(len(p)))
	return f.file.WriteAt(p, off)
}

// Hole implements [chunk.HoleWriter].
func (f *freshFile) Hole(off, n int64) error {
	f.end = max(f.end, off+n)
	return nil
}

// replace writes a file and puts it in the place of what is there at once.
func (w *layer) replace(ctx context.Context, f *folder, e tree.Entry) (Stat, error) {
	name := e.Name
	var stat Stat
	err := w.swap(f, name, func(temp string) (err error) {
		e.Name = temp
		stat, err = w.create(ctx, f, e)
		return err
	})
	if err != nil {
		return Stat{}, err
	}
	info, err := f.root.Lstat(name) // moving it changed its time of change
	if err != nil {
		return Stat{}, err
	}
	now := statOf(info)
	if now.Inode != stat.Inode || now.Size != stat.Size || now.Mtime != stat.Mtime {
		return Stat{}, fmt.Errorf("%s was replaced: %w", name, ErrChanging)
	}
	return now, nil
}

// swap makes something under a temporary name and moves it to name.
func (w *layer) swap(f *folder, name string, make func(temp string) error) error {
	for {
		temp := tempPrefix + strconv.FormatInt(w.temps.Add(1), 10)
		err := make(temp)
		if errors.Is(err, fs.ErrExist) {
			continue // left by a checkout that was interrupted, or another's
		}
		if err == nil {
			err = f.root.Rename(temp, name)
		}
		if err != nil {
			_ = f.root.Remove(temp)
		}
		return err
	}
}

// makeLinks makes the links that were left for later, below the folder top.
func (w *layer) makeLinks(ctx context.Context, top *folder, place func(f *folder, l link, target string) error) error {
	for _, l := range w.links {
		target, err := readLink(ctx, w.r, l.entry.Content)
		if err != nil {
			return fmt.Errorf("%s: %w", l.dir+l.entry.Name, err)
		}
		f, err := top.below(l.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", l.dir, err)
		}
		err = place(f, l, target)
		f.release()
		if err != nil {
			return fmt.Errorf("%s: %w", l.dir+l.entry.Name, err)
		}
		w.meter.add(1, l.entry.Content.Size)
	}
	return nil
}

// below opens the folder at path, "" or with "/" at the end.
func (f *folder) below(path string) (*folder, error) {
	at := f.hold()
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		next, err := at.sub(name)
		at.release()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// restat looks again at the files that are in the folder top itself: moving
// them changed their time of change.
func (w *layer) restat(top *folder) {
	for i := range w.written {
		e := &w.written[i]
		if strings.Contains(e.path, "/") {
			continue
		}
		if info, err := top.root.Lstat(e.path); err == nil {
			e.stat.Ctime, _ = changed(info)
		}
	}
}

// now returns the time by the disk's clock, 0 without an index.
func (w *layer) now() (int64, error) {
	if w.index == nil {
		return 0, nil
	}
	return w.index.now()
}

// remember tells the index of the files that were read or written, in place of
// what it knew of the paths for which within is true. Of what it read it
// remembers what changed last before the time began, when it had read nothing;
// of what it wrote, what nobody else can have changed without a trace: what
// was there at the time private, when nobody else could reach it, and what was
// moved to its place, where others find it, in a later tick of the clock than
// the one in which it was written.
func (w *layer) remember(began, private int64, within func(string) bool) error {
	if w.index == nil {
		return nil
	}
	now, err := w.index.now()
	if err != nil {
		return err
	}
	known := slices.DeleteFunc(w.read, func(e indexEntry) bool { return !e.stat.before(began) })
	for _, e := range w.written {
		s := &e.stat
		if s.before(private) || s.Mtime < s.Ctime || s.Ctime == 0 {
			known = append(known, e)
		}
	}
	w.index.updateAll(now, known, within)
	return nil
}
