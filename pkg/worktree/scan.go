package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// scanner compares a directory on disk with one in a store.
type scanner struct {
	*walker
	r       chunk.Reader
	files   *fileReader
	storing bool // contents are stored, so what is new must be read
	empty   tree.Root
	ahead   chan struct{}   // one token per folder that is listed ahead
	met     map[string]bool // the paths of the scope that were found
	line    *line
}

// scan compares o.Dir with base, which r has, cuts contents into s, and yields
// the changes in order of path. The sequence ends after an error. Once it has
// ended without one, the index has learnt, and st counts what was done.
func scan(ctx context.Context, r chunk.Reader, s chunk.Store, base tree.Root, o Options, storing bool, st *scanned) iter.Seq2[tree.Change, error] {
	return func(yield func(tree.Change, error) bool) {
		o.applyDefaults()
		sc, err := newScanner(ctx, r, s, o, storing)
		if err != nil {
			yield(tree.Change{}, err)
			return
		}
		if err := sc.run(ctx, base, yield); err != nil {
			if !errors.Is(err, errEnough) {
				yield(tree.Change{}, fmt.Errorf("scan %s: %w", o.Dir, err))
			}
			return
		}
		if st != nil {
			*st = scanned{skipped: sc.skipped, looked: sc.files.meter.sum, read: sc.files.sum}
		}
	}
}

// scanned is what a scan found besides changes.
type scanned struct {
	skipped []Problem
	looked  Progress // files looked at, bytes read
	read    Progress // files that were read, and their bytes
}

func newScanner(ctx context.Context, r chunk.Reader, s chunk.Store, o Options, storing bool) (*scanner, error) {
	w, err := newWalker(o)
	if err != nil {
		return nil, err
	}
	writer, err := chunk.NewWriter(s, o.Params)
	if err != nil {
		return nil, err
	}
	empty, err := tree.Empty(ctx, s)
	if err != nil {
		return nil, err
	}
	return &scanner{
		walker: w, r: r, storing: storing, empty: empty, met: map[string]bool{},
		files: &fileReader{writer: writer, meter: meter{tell: o.Progress}},
		ahead: make(chan struct{}, 4*o.Workers),
	}, nil
}

// run walks in one goroutine, reads files in others, and yields in this one.
func (s *scanner) run(ctx context.Context, base tree.Root, yield func(tree.Change, error) bool) error {
	top, err := openFolder(s.o.Dir)
	if err != nil {
		return err
	}
	defer top.release()
	var learning *indexUpdate
	if s.o.Index != nil {
		// A disk that can't be written to does not tell its time: then the index
		// is used and learns nothing.
		if stamp, err := s.o.Index.now(); err == nil {
			learning = s.o.Index.update(stamp, func(p string) bool { return s.scope.place(p) == inside })
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.line = newLine(ctx, s.o.Workers, s.read)
	walked := make(chan error, 1)
	go func() {
		err := s.dir(ctx, &pair{f: top, base: base, rules: s.ignore})
		if err == nil {
			err = s.complete()
		}
		if err != nil {
			cancel()
		}
		s.line.end()
		walked <- err
	}()
	err = s.line.each(func(f *sighting) bool {
		if learning != nil && f.known {
			learning.put(&indexEntry{f.path, f.stat, f.content})
		}
		return f.change == nil || yield(*f.change, nil)
	})
	if err != nil {
		cancel()
	}
	s.line.wait()
	if werr := <-walked; err == nil || errors.Is(err, context.Canceled) && werr != nil {
		err = werr // a cancelled reader tells less than what the walk met
	}
	if err == nil && learning != nil {
		learning.finish()
	}
	return err
}

// complete says what is wrong with the whole of what was walked.
func (s *scanner) complete() error {
	if err := s.problems.err(); err != nil {
		return err
	}
	for _, p := range s.scope.paths {
		if !s.met[p] {
			return fmt.Errorf("%q is neither on disk, unless ignored, nor in the base: %w", p, fs.ErrNotExist)
		}
	}
	return nil
}

// pair is a directory on disk beside the same path in the base.
type pair struct {
	path    string    // "" or with "/" at the end
	f       *folder   // nil if it is not on disk
	base    tree.Root // zero if it is not in the base
	rules   *ignoreStack
	ignored bool
	list    *listing // of f, if it was made already
}

// dir compares a pair, entry by entry in order of key.
func (s *scanner) dir(ctx context.Context, p *pair) error {
	l := &listing{rules: p.rules}
	if p.f != nil {
		if l = p.list; l == nil {
			var err error
			if l, err = s.list(ctx, p.f, p.path, p.rules, p.ignored); err != nil {
				return err
			}
		}
		s.learn(l)
		if err := s.emptied(p, l); err != nil {
			return err
		}
	}
	ahead := s.lookAhead(ctx, p, l)
	defer ahead.end()
	disk := l.entries
	for e, err := range tree.Open(s.r, p.base).Entries(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("read the base: %w", err)
		}
		for len(disk) > 0 && disk[0].key < e.Key() {
			if err := s.entry(ctx, p, ahead, &disk[0], nil); err != nil {
				return err
			}
			disk = disk[1:]
		}
		var d *diskEntry
		if len(disk) > 0 && disk[0].key == e.Key() {
			d, disk = &disk[0], disk[1:]
		}
		if err := s.entry(ctx, p, ahead, d, &e); err != nil {
			return err
		}
	}
	for i := range disk {
		if err := s.entry(ctx, p, ahead, &disk[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// emptied records a directory in which nothing is left, or nothing was put yet.
func (s *scanner) emptied(p *pair, l *listing) error {
	if !l.empty || p.path == "" || p.ignored {
		return nil
	}
	now := tree.Entry{Name: dirName(p.path), Kind: tree.Dir, Dir: s.empty}
	switch {
	case !p.base.ID.IsZero() && p.base.Content != s.empty.Content:
		old := now
		old.Dir = p.base
		return s.add(tree.Change{Kind: tree.Modified, Path: p.path, Old: old, New: now})
	case p.base.ID.IsZero() && s.scope.place(p.path) == inside:
		now.Attrs = s.o.Attrs
		return s.add(tree.Change{Kind: tree.Added, Path: p.path, New: now})
	}
	return nil
}

func dirName(path string) string {
	_, name := cutLast(strings.TrimSuffix(path, "/"))
	return name
}

// add hands on a change.
func (s *scanner) add(c tree.Change) error {
	var f sighting
	f.setChange(c)
	return s.line.add(f, 0)
}

// entry compares one key, of which the disk or the base may lack an entry.
func (s *scanner) entry(ctx context.Context, p *pair, ahead *lookahead, d *diskEntry, old *tree.Entry) error {
	if old == nil && d.ignored {
		return nil
	}
	var path string
	if d != nil {
		path = p.path + d.key
	} else {
		path = p.path + old.Key()
	}
	place := s.scope.place(path)
	if place == outside {
		return nil
	}
	if name := s.scope.names(path); name != "" {
		s.met[name] = true
	}
	isDir := (d != nil && d.kind == tree.Dir) || (d == nil && old.Kind == tree.Dir)
	switch {
	case d == nil && place == inside:
		return s.add(tree.Change{Kind: tree.Removed, Path: path, Old: *old})
	case isDir:
		return s.sub(ctx, ahead, d, old, path)
	case d.kind == tree.Symlink:
		return s.link(ctx, p, d, old, path)
	default:
		return s.file(p, d, old, path)
	}
}

// sub compares a directory of a pair.
func (s *scanner) sub(ctx context.Context, ahead *lookahead, d *diskEntry, old *tree.Entry, path string) error {
	next := &pair{path: path, rules: ahead.rules}
	if old != nil {
		next.base = old.Dir
	}
	if d != nil {
		f, l, err := ahead.open(ctx, d)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		defer f.release()
		next.f, next.list, next.ignored = f, l, d.ignored
	}
	return s.dir(ctx, next)
}

// link compares a symbolic link with what the base has.
func (s *scanner) link(ctx context.Context, p *pair, d *diskEntry, old *tree.Entry, path string) error {
	target, err := p.f.root.Readlink(d.name)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	content, err := s.files.writer.WriteContent(ctx, strings.NewReader(target))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.files.meter.add(1, 0)
	now := tree.Entry{Name: d.name, Kind: tree.Symlink, Content: content}
	if same(old, &now) {
		return nil
	}
	return s.add(changeOf(path, old, &now, s.o.Attrs))
}

// same reports whether a file or link is as the base has it; old is nil if it
// has none.
func same(old, now *tree.Entry) bool {
	return old != nil && old.Kind == now.Kind && old.Content == now.Content && old.Exec == now.Exec
}

// changeOf returns the change from old, nil for none, to now. New and changed
// content gets attrs; a change of the executable bit alone keeps what is known
// of the content and only says when it was.
func changeOf(path string, old, now *tree.Entry, attrs tree.Attrs) tree.Change {
	c := tree.Change{Kind: tree.Added, Path: path, New: *now}
	c.New.Attrs = attrs
	if old == nil {
		return c
	}
	c.Kind, c.Old = tree.Modified, *old
	if old.Kind == now.Kind && old.Content == now.Content {
		c.New.Attrs = old.Attrs
		c.New.Attrs.Time, c.New.Attrs.Op = attrs.Time, attrs.Op
	}
	return c
}

// file compares a file with what the base has. It is read by another
// goroutine if it must be.
func (s *scanner) file(p *pair, d *diskEntry, old *tree.Entry, path string) error {
	now := tree.Entry{Name: d.name, Kind: tree.File, Exec: d.stat.Exec}
	if !hasExec && old != nil && old.Kind == tree.File {
		now.Exec = old.Exec
	}
	f := sighting{path: path, stat: d.stat}
	wasFile := old != nil && old.Kind == tree.File
	if c, ok := s.o.Index.find(path, d.stat); ok && (wasFile && old.Content == c || !s.storing) {
		f.content, f.known = c, true
		now.Content = c
	} else if s.storing || wasFile && old.Content.Size == d.stat.Size {
		f.toRead = newToRead(p.f, &now, old)
		return s.line.add(f, d.stat.Size)
	} else {
		now.Content.Size = d.stat.Size // it differs, whatever is in it
	}
	s.files.meter.add(1, 0)
	if !same(old, &now) {
		f.setChange(changeOf(path, old, &now, s.o.Attrs))
	} else if s.o.Index == nil {
		return nil
	}
	return s.line.add(f, 0)
}

// read reads a file that was found.
func (s *scanner) read(ctx context.Context, f *sighting) error {
	content, stat, err := s.files.read(ctx, f.toRead.in, f.toRead.now.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	now := f.toRead.now
	now.Content = content
	if hasExec {
		now.Exec = stat.Exec
	}
	f.content, f.stat, f.known = content, stat, true
	if old := f.toRead.old; !same(old, &now) {
		f.setChange(changeOf(f.path, old, &now, s.o.Attrs))
	}
	return nil
}
