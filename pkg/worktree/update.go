package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Update makes of dir, in which from was checked out, a checkout of to; r has
// both. It touches only what differs between the two: other files, changed or
// not, stay as they are. It fails with a ProblemsError before it writes
// anything if a file that it would replace or remove is not what from has,
// unless it is what to has already or o.Force is set, and for all that
// Checkout refuses, but links that from has too. A directory goes with its last file. Each file is replaced
// at once; an update that is interrupted is completed by the same call.
func Update(ctx context.Context, r chunk.Reader, from, to tree.Root, dir string, o CheckoutOptions) (Progress, error) {
	o.applyDefaults(dir)
	u := &updater{
		r: r, from: from, to: to, o: o, touched: map[string]bool{}, going: map[string]bool{},
		layer: newLayer(r, o),
	}
	if err := u.run(ctx, dir); err != nil {
		return Progress{}, fmt.Errorf("update %s: %w", dir, err)
	}
	return u.layer.meter.sum, nil
}

// updater turns one checkout into another.
type updater struct {
	r        chunk.Reader
	from, to tree.Root
	o        CheckoutOptions
	layer    *layer
	problems problems
	reader   *fileReader

	top     *folder
	steps   []*step         // in order of path
	touched map[string]bool // every path that differs
	going   map[string]bool // files and links that from has and to does not
}

// step is one difference, and what was at its path when it was looked at.
type step struct {
	tree.Change
	found found
	done  bool // the disk has it already
}

// found is what is at a path on disk. The zero found is nothing.
type found struct {
	kind   tree.Kind
	mode   fs.FileMode
	exists bool
	stat   Stat
}

func (u *updater) run(ctx context.Context, dir string) (err error) {
	writer, err := chunk.NewWriter(naming{}, u.o.Params)
	if err != nil {
		return err
	}
	u.reader = &fileReader{writer: writer}
	if u.top, err = openFolder(dir); err != nil {
		return err
	}
	defer u.top.release()
	began, err := u.layer.now()
	if err != nil {
		return err
	}
	for _, plan := range []func(context.Context) error{u.collect, u.judge, u.look} {
		if err := plan(ctx); err != nil {
			return err
		}
	}
	if err := u.problems.err(); err != nil {
		return err
	}
	for _, do := range []func(context.Context) error{u.remove, u.write} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return u.layer.remember(began, 0, func(p string) bool { return u.touched[p] })
}

// collect lists the differences.
func (u *updater) collect(ctx context.Context) error {
	if u.to.Files > u.o.FilesMax {
		return fmt.Errorf("%d files, at most %d are allowed: %w", u.to.Files, u.o.FilesMax, ErrQuota)
	}
	var bytes int64
	for c, err := range tree.Diff(ctx, u.r, u.from, u.r, u.to, tree.DiffOptions{Expand: true}) {
		if err != nil {
			return err
		}
		if int64(len(u.steps)) == u.o.FilesMax {
			return fmt.Errorf("more than %d differences: %w", u.o.FilesMax, ErrQuota)
		}
		u.steps = append(u.steps, &step{Change: c})
		u.touched[c.Path] = true
		switch {
		case c.Kind != tree.Removed:
			bytes += c.New.Content.Size
		case c.Old.Kind != tree.Dir:
			u.going[c.Path] = true
		}
	}
	return u.o.admit(bytes)
}

// judge finds what the disk can't hold in the directories that change.
func (u *updater) judge(ctx context.Context) error {
	rules := u.o.rules()
	rules.fold = rules.fold || u.top.foldsCase(FolderName)
	s := &surveyor{r: u.r, rules: rules, links: u.o.AnyLinks}
	t := tree.Open(u.r, u.to)
	seen := map[string]bool{}
	for _, st := range u.steps {
		if st.Kind == tree.Removed {
			continue
		}
		for dir := parent(st.Path); !seen[dir]; dir = parent(dir) {
			seen[dir] = true
			at, err := t.Lookup(ctx, dir)
			if err != nil {
				return err
			}
			if err := u.judgeDir(ctx, s, at.Dir, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *updater) judgeDir(ctx context.Context, s *surveyor, root tree.Root, dir string) error {
	depth := strings.Count(dir, "/")
	return s.judge(ctx, root, func(e *tree.Entry, climb int, err error) (bool, error) {
		if err == nil {
			err = tree.CheckPath(dir + e.Key())
		}
		if err == nil && climb > depth {
			err = fmt.Errorf("its target begins with %d times \"..\": %w", climb, ErrLink)
		}
		if errors.Is(err, ErrLink) && !u.touched[dir+e.Key()] {
			err = nil // the update does not make it
		}
		return err == nil || u.problems.add(dir+e.Key(), err), nil
	})
}

// parent returns the directory of a path, with "/" at the end, "" for the top.
func parent(path string) string {
	dir, _ := cutLast(strings.TrimSuffix(path, "/"))
	if dir == "" {
		return ""
	}
	return dir + "/"
}

// look compares what is on disk with what from has.
func (u *updater) look(ctx context.Context) error {
	for _, st := range u.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.lookAt(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", st.Path, err)
		}
	}
	return nil
}

func (u *updater) lookAt(ctx context.Context, st *step) error {
	f, blocked, err := u.reach(st.Path)
	if err != nil {
		return err
	}
	if f == nil {
		st.done = st.Kind == tree.Removed
		if blocked != "" && !st.done && !u.going[blocked] && !u.o.Force {
			u.problems.add(blocked, ErrModified)
		}
		return nil
	}
	defer f.release()
	name := dirName(st.Path)
	info, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		st.done = st.Kind == tree.Removed
		return nil
	}
	if err != nil {
		return err
	}
	d := diskEntryOf(name, info)
	st.found = found{kind: d.kind, mode: d.mode, exists: true, stat: d.stat}
	if st.New.Kind == tree.Dir || st.Old.Kind == tree.Dir {
		u.lookAtDir(st)
		return nil
	}
	if d.kind == tree.Dir {
		return u.lookInto(ctx, f, st)
	}
	for _, e := range []*tree.Entry{&st.New, &st.Old} {
		same, err := u.holds(ctx, f, st, e)
		if err != nil {
			return err
		}
		if same {
			st.done = e == &st.New
			return nil
		}
	}
	if !u.o.Force {
		u.problems.add(st.Path, ErrModified)
	}
	return nil
}

// lookAtDir looks at what is where a directory comes or goes.
func (u *updater) lookAtDir(st *step) {
	isDir := st.found.kind == tree.Dir
	switch {
	case st.Kind == tree.Removed:
		st.done = !isDir
	case !isDir && !u.going[strings.TrimSuffix(st.Path, "/")] && !u.o.Force:
		u.problems.add(st.Path, ErrModified)
	}
}

// lookInto sees to it that nothing is lost with a directory that is where a
// file is to be, or where one was.
func (u *updater) lookInto(ctx context.Context, f *folder, st *step) error {
	if st.Kind == tree.Removed {
		st.done = true // it made room already
		return nil
	}
	if u.o.Force {
		return nil
	}
	sub, err := f.sub(dirName(st.Path))
	if err != nil {
		return err
	}
	defer sub.release()
	return u.allGoing(ctx, sub, st.Path+"/")
}

// allGoing adds a problem for each file below f that is not about to go.
func (u *updater) allGoing(ctx context.Context, f *folder, path string) error {
	list, err := f.entries()
	if err != nil {
		return err
	}
	for _, e := range list {
		switch {
		case e.kind == tree.Dir:
			sub, err := f.sub(e.name)
			if err != nil {
				return err
			}
			err = u.allGoing(ctx, sub, path+e.key)
			sub.release()
			if err != nil {
				return err
			}
		case !u.going[path+e.name] && !u.problems.add(path+e.name, ErrModified):
			return nil
		}
	}
	return ctx.Err()
}

// reach opens the folder that a path is in. Without error it may return none:
// there is no such folder, because at the path blocked is something else.
func (u *updater) reach(path string) (f *folder, blocked string, err error) {
	at, done := u.top.hold(), ""
	for rest := parent(path); rest != ""; {
		name, more, _ := strings.Cut(rest, "/")
		info, err := at.root.Lstat(name)
		if err == nil && !info.IsDir() {
			at.release()
			return nil, done + name, nil
		}
		var next *folder
		if err == nil {
			next, err = at.sub(name)
		}
		at.release()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		at, done, rest = next, done+name+"/", more
	}
	return at, "", nil
}

// holds reports whether the disk has at a step's path what e says.
func (u *updater) holds(ctx context.Context, f *folder, st *step, e *tree.Entry) (bool, error) {
	if e.Kind != st.found.kind || e.Kind == 0 {
		return false, nil
	}
	name := dirName(st.Path)
	if e.Kind == tree.Symlink {
		target, err := f.root.Readlink(name)
		if err != nil {
			return false, err
		}
		c, err := u.reader.writer.WriteContent(ctx, strings.NewReader(target))
		return c == e.Content, err
	}
	if st.found.stat.Size != e.Content.Size || (hasExec && st.found.stat.Exec != e.Exec) {
		return false, nil
	}
	if c, ok := u.o.Index.find(st.Path, st.found.stat); ok {
		return c == e.Content, nil
	}
	c, stat, err := u.reader.read(ctx, f, name)
	if err != nil {
		return false, err
	}
	u.layer.note(&u.layer.read, indexEntry{st.Path, stat, c})
	return c == e.Content && stat == st.found.stat, nil
}
