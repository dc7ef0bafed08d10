package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/tree"
)

// remove removes what to does not have, and the directories that are left
// empty by it.
func (u *updater) remove(ctx context.Context) error {
	dirs := map[string]bool{}
	for _, st := range u.steps {
		if st.Kind != tree.Removed {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := parent(st.Path)
		if st.Old.Kind == tree.Dir {
			dir = st.Path
		}
		for ; dir != "" && !dirs[dir]; dir = parent(dir) {
			dirs[dir] = true
		}
		if st.done || st.Old.Kind == tree.Dir {
			continue
		}
		if err := u.removeFile(st); err != nil {
			return fmt.Errorf("%s: %w", st.Path, err)
		}
	}
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(dirs))) { // what is inside comes first
		_, err := tree.Open(u.r, u.to).Lookup(ctx, dir)
		if errors.Is(err, tree.ErrNotFound) {
			err = u.removeDir(dir)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

func (u *updater) removeFile(st *step) error {
	f, _, err := u.reach(st.Path)
	if f == nil {
		return err
	}
	defer f.release()
	if err := u.still(f, st); err != nil {
		return err
	}
	err = f.root.Remove(dirName(st.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeDir removes a directory unless something is in it.
func (u *updater) removeDir(dir string) error {
	f, _, err := u.reach(dir)
	if f == nil {
		return err
	}
	defer f.release()
	name := dirName(dir)
	info, err := f.root.Lstat(name)
	if err != nil || !info.IsDir() {
		return nil
	}
	sub, err := f.sub(name)
	if err != nil {
		return err
	}
	list, err := sub.entries()
	sub.release()
	if err != nil || len(list) > 0 {
		return err
	}
	return f.root.Remove(name)
}

// still fails with ErrChanging unless the disk has at a step's path what it
// had when it was looked at, less the directory that remove took away.
func (u *updater) still(f *folder, st *step) error {
	if u.o.Force {
		return nil
	}
	info, err := f.root.Lstat(dirName(st.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is lost
	}
	if err != nil {
		return err
	}
	d := diskEntryOf(info.Name(), info)
	if !st.found.exists || d.kind != st.found.kind || d.stat != st.found.stat {
		return ErrChanging
	}
	return nil
}

// write writes what to has and from has not, links last.
func (u *updater) write(ctx context.Context) error {
	jobsCtx := u.layer.begin(ctx)
	links, err := u.writeFiles(jobsCtx)
	if err := u.layer.finish(jobsCtx, err); err != nil {
		return err
	}
	return u.layer.makeLinks(ctx, u.top, func(f *folder, l link, target string) error {
		if err := u.makeRoom(f, links[l.dir+l.entry.Name]); err != nil {
			return err
		}
		return u.layer.swap(f, l.entry.Name, func(temp string) error { return f.root.Symlink(target, temp) })
	})
}

// writeFiles makes directories and has files written, and returns the steps
// of the links that it leaves for later.
func (u *updater) writeFiles(ctx context.Context) (map[string]*step, error) {
	var f *folder // of the directory at
	at := ""
	defer func() {
		if f != nil {
			f.release()
		}
	}()
	links := map[string]*step{}
	for _, st := range u.steps {
		if st.Kind == tree.Removed || st.done {
			continue
		}
		dir := parent(st.Path)
		if st.New.Kind == tree.Dir {
			dir = st.Path
		}
		if f == nil || dir != at {
			next, err := u.enter(dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
			if f != nil {
				f.release()
			}
			f, at = next, dir
		}
		st.New.Name = dirName(st.Path)
		switch st.New.Kind {
		case tree.Dir:
		case tree.Symlink:
			u.layer.links = append(u.layer.links, link{dir, st.New})
			links[st.Path] = st
		default:
			u.layer.later(ctx, f, dir, st.New, func(ctx context.Context, f *folder, e tree.Entry) (Stat, error) {
				if err := u.makeRoom(f, st); err != nil {
					return Stat{}, err
				}
				return u.layer.replace(ctx, f, e)
			})
		}
	}
	return links, nil
}

// makeRoom removes the directory that is in a step's way, if it may.
func (u *updater) makeRoom(f *folder, st *step) error {
	name := dirName(st.Path)
	info, err := f.root.Lstat(name)
	if err == nil && info.IsDir() {
		if u.o.Force {
			return f.root.RemoveAll(name)
		}
		return removeEmpty(f, name)
	}
	return u.still(f, st)
}

// removeEmpty removes a directory in which there are only directories.
func removeEmpty(f *folder, name string) error {
	sub, err := f.sub(name)
	if err != nil {
		return err
	}
	list, err := sub.entries()
	for _, e := range list {
		if err == nil {
			err = removeEmpty(sub, e.name)
		}
	}
	sub.release()
	if err != nil {
		return err
	}
	return f.root.Remove(name)
}

// enter opens the folder at path, "" or with "/" at the end, and makes what is
// missing on the way.
func (u *updater) enter(path string) (*folder, error) {
	at := u.top.hold()
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		next, err := u.enterOne(at, name)
		at.release()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func (u *updater) enterOne(at *folder, name string) (*folder, error) {
	err := at.root.Mkdir(name, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		if err != nil {
			return nil, err
		}
		return at.sub(name)
	}
	info, err := at.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !u.o.Force {
			return nil, fmt.Errorf("%s: %w", name, ErrModified)
		}
		if err := errors.Join(at.root.Remove(name), at.root.Mkdir(name, 0o755)); err != nil {
			return nil, err
		}
	}
	return at.sub(name)
}
