package worktree

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

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
	stamp   int64
	jobs    *errgroup.Group
	met     map[string]bool // the paths of the scope that were found

	changes chan *change // in order of path

	mu   sync.Mutex
	seen []indexEntry
}

// change is a tree.Change, as soon as ready, if not nil, is closed; drop says
// that it turned out to be none.
type change struct {
	tree.Change
	drop  bool
	ready chan struct{}
}

// changesAhead is how many changes the walk may be ahead of who takes them:
// enough to keep the readers of files busy.
const changesAhead = 1024

// result is what a scan found.
type result struct {
	skipped []Problem
	looked  Progress // files looked at, bytes read
	read    Progress // files that were read, and their bytes
}

// scan compares o.Dir with base, which r has, and cuts contents into s. It
// gives the changes to take, in order of path, while it goes on; an error of
// take ends it and is returned.
func scan(ctx context.Context, r chunk.Reader, s chunk.Store, base tree.Root, o Options, storing bool, take func(*tree.Change) error) (*result, error) {
	o.applyDefaults()
	w, err := newWalker(o)
	if err != nil {
		return nil, err
	}
	sc := &scanner{walker: w, r: r, storing: storing, met: map[string]bool{}}
	writer, err := chunk.NewWriter(s, o.Params)
	if err != nil {
		return nil, err
	}
	sc.files = &fileReader{writer: writer, meter: meter{tell: o.Progress}}
	if sc.empty, err = tree.Empty(ctx, s); err != nil {
		return nil, err
	}
	if o.Index != nil {
		// A disk that can't be written to does not tell its time: then the
		// stamp is 0, and the index is used and learns nothing.
		sc.stamp, _ = o.Index.now()
	}
	if err := sc.each(ctx, base, take); err != nil {
		return nil, err
	}
	if o.Index != nil && sc.stamp != 0 {
		o.Index.update(sc.stamp, sc.seen, func(p string) bool { return w.scope.place(p) == inside })
	}
	return &result{skipped: sc.skipped, looked: sc.files.meter.sum, read: sc.files.sum}, nil
}

// each runs the scan in a goroutine, and gives what it finds to take.
func (s *scanner) each(ctx context.Context, base tree.Root, take func(*tree.Change) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.changes = make(chan *change, changesAhead)
	var walked error
	go func() {
		defer close(s.changes)
		walked = s.run(ctx, base)
	}()
	var failed error
	for c := range s.changes { // to the end, which the walk waits for
		if c.ready != nil {
			<-c.ready
		}
		if failed != nil || c.drop {
			continue
		}
		if failed = take(&c.Change); failed != nil {
			cancel()
		}
	}
	if failed != nil {
		return failed
	}
	return walked
}

func (s *scanner) run(ctx context.Context, base tree.Root) error {
	top, err := openFolder(s.o.Dir)
	if err != nil {
		return fmt.Errorf("open working copy: %w", err)
	}
	defer top.release()
	jobs, jobsCtx := errgroup.WithContext(ctx)
	jobs.SetLimit(s.o.Workers)
	s.jobs = jobs
	err = s.dir(jobsCtx, &pair{f: top, base: base, rules: s.ignore})
	if jerr := jobs.Wait(); jerr != nil {
		err = jerr // what made the walk end too
	}
	if err == nil {
		err = s.problems.err()
	}
	for _, p := range s.scope.paths {
		if err == nil && !s.met[p] {
			err = fmt.Errorf("%q is neither on disk, unless ignored, nor in the base: %w", p, fs.ErrNotExist)
		}
	}
	if err != nil {
		return fmt.Errorf("scan %s: %w", s.o.Dir, err)
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
}

// dir compares a pair, entry by entry in order of key.
func (s *scanner) dir(ctx context.Context, p *pair) error {
	l := &listing{rules: p.rules}
	if p.f != nil {
		var err error
		if l, err = s.list(ctx, p.f, p.path, p.rules, p.ignored); err != nil {
			return err
		}
		s.emptied(p, l)
	}
	disk := l.entries
	for e, err := range tree.Open(s.r, p.base).Entries(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("read the base: %w", err)
		}
		for len(disk) > 0 && disk[0].key() < e.Key() {
			if err := s.entry(ctx, p, l, &disk[0], nil); err != nil {
				return err
			}
			disk = disk[1:]
		}
		var d *diskEntry
		if len(disk) > 0 && disk[0].key() == e.Key() {
			d, disk = &disk[0], disk[1:]
		}
		if err := s.entry(ctx, p, l, d, &e); err != nil {
			return err
		}
	}
	for i := range disk {
		if err := s.entry(ctx, p, l, &disk[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// emptied records a directory in which nothing is left, or nothing was put yet.
func (s *scanner) emptied(p *pair, l *listing) {
	if !l.empty || p.path == "" || p.ignored {
		return
	}
	now := tree.Entry{Name: dirName(p.path), Kind: tree.Dir, Dir: s.empty}
	switch {
	case !p.base.ID.IsZero() && p.base.Content != s.empty.Content:
		old := now
		old.Dir = p.base
		s.add(tree.Change{Kind: tree.Modified, Path: p.path, Old: old, New: now})
	case p.base.ID.IsZero() && s.scope.place(p.path) == inside:
		now.Attrs = s.o.Attrs
		s.add(tree.Change{Kind: tree.Added, Path: p.path, New: now})
	}
}

func dirName(path string) string {
	_, name := cutLast(strings.TrimSuffix(path, "/"))
	return name
}

// add hands on a change; it is called in order of path.
func (s *scanner) add(c tree.Change) { s.changes <- &change{Change: c} }

// entry compares one key, of which the disk or the base may lack an entry.
func (s *scanner) entry(ctx context.Context, p *pair, l *listing, d *diskEntry, old *tree.Entry) error {
	if old == nil && d.ignored {
		return nil
	}
	var path string
	if d != nil {
		path = p.path + d.key()
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
		s.add(tree.Change{Kind: tree.Removed, Path: path, Old: *old})
		return nil
	case isDir:
		return s.sub(ctx, p, l, d, old, path)
	case d.kind == tree.Symlink:
		return s.link(ctx, p, d, old, path)
	default:
		return s.file(ctx, p, d, old, path)
	}
}

// sub compares a directory of a pair.
func (s *scanner) sub(ctx context.Context, p *pair, l *listing, d *diskEntry, old *tree.Entry, path string) error {
	next := &pair{path: path, rules: l.rules}
	if old != nil {
		next.base = old.Dir
	}
	if d != nil {
		f, err := p.f.sub(d.name)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		defer f.release()
		next.f, next.ignored = f, d.ignored
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
	s.compare(path, old, tree.Entry{Name: d.name, Kind: tree.Symlink, Content: content})
	return nil
}

// compare adds the change from old, nil for none, to now, if there is one.
func (s *scanner) compare(path string, old *tree.Entry, now tree.Entry) {
	if c, ok := changeOf(path, old, now, s.o.Attrs); ok {
		s.add(c)
	}
}

// changeOf returns the change from old, nil for none, to now. New and changed
// content gets attrs; a change of the executable bit alone keeps what is known
// of the content and only says when it was.
func changeOf(path string, old *tree.Entry, now tree.Entry, attrs tree.Attrs) (tree.Change, bool) {
	now.Attrs = attrs
	if old == nil {
		return tree.Change{Kind: tree.Added, Path: path, New: now}, true
	}
	if old.Kind == now.Kind && old.Content == now.Content {
		if old.Exec == now.Exec {
			return tree.Change{}, false
		}
		now.Attrs = old.Attrs
		now.Attrs.Time, now.Attrs.Op = attrs.Time, attrs.Op
	}
	return tree.Change{Kind: tree.Modified, Path: path, Old: *old, New: now}, true
}

// file compares a file with what the base has. It is read by another
// goroutine if it must be.
func (s *scanner) file(ctx context.Context, p *pair, d *diskEntry, old *tree.Entry, path string) error {
	now := tree.Entry{Name: d.name, Kind: tree.File, Exec: d.stat.Exec}
	if !hasExec && old != nil && old.Kind == tree.File {
		now.Exec = old.Exec
	}
	same := func(c chunk.Content) bool { return old != nil && old.Kind == tree.File && old.Content == c }
	if c, ok := s.o.Index.find(path, d.stat); ok && (same(c) || !s.storing) {
		now.Content = c
		s.note(indexEntry{path, d.stat, c})
		s.files.meter.add(1, 0)
		s.compare(path, old, now)
		return nil
	}
	if !s.storing && (old == nil || old.Kind != tree.File || old.Content.Size != d.stat.Size) {
		now.Content.Size = d.stat.Size // it differs, whatever is in it
		s.files.meter.add(1, 0)
		s.compare(path, old, now)
		return nil
	}
	if old != nil {
		was := *old
		old = &was // the caller's is gone when the job runs
	}
	slot := &change{drop: true, ready: make(chan struct{})}
	s.changes <- slot
	f, name := p.f.hold(), d.name
	s.jobs.Go(func() error {
		defer f.release()
		defer close(slot.ready)
		content, stat, err := s.files.read(ctx, f, name)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		now.Content = content
		if hasExec {
			now.Exec = stat.Exec
		}
		s.note(indexEntry{path, stat, content})
		c, differs := changeOf(path, old, now, s.o.Attrs)
		slot.Change, slot.drop = c, !differs
		return nil
	})
	return nil
}

// note remembers what a file holds, for the index.
func (s *scanner) note(e indexEntry) {
	if s.o.Index == nil {
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, e)
	s.mu.Unlock()
}
