package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Item is a path that [Walk] found.
type Item struct {
	Path string    // names joined by "/", a directory's with "/" at the end
	Kind tree.Kind //
	Stat Stat      // of a file
}

// Walk yields what is in o.Dir and not ignored, in order of S3 key, each
// directory before what is in it. Symbolic links are yielded and not followed,
// the top's .dvx is left out. Of o only Dir, Paths, Exclude, AllowNonportable
// and SkipSpecial count. The sequence ends after an error; what can't be
// committed is a ProblemsError at the end.
func Walk(ctx context.Context, o Options) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		w, err := newWalker(o)
		if err != nil {
			yield(Item{}, err)
			return
		}
		top, err := openFolder(o.Dir)
		if err != nil {
			yield(Item{}, fmt.Errorf("walk working copy: %w", err))
			return
		}
		defer top.release()
		more, err := w.walk(ctx, top, "", w.ignore, yield)
		if err == nil {
			err = w.problems.err()
		}
		if more && err != nil {
			yield(Item{}, fmt.Errorf("walk %s: %w", o.Dir, err))
		}
	}
}

// walker reads directories as the options say.
type walker struct {
	o        Options
	scope    scope
	ignore   *ignoreStack // of Options.Exclude
	problems problems
	skipped  []Problem
}

func newWalker(o Options) (*walker, error) {
	s, err := newScope(o.Paths)
	if err != nil {
		return nil, err
	}
	w := &walker{o: o, scope: s}
	if o.Exclude != nil {
		w.ignore = &ignoreStack{rules: o.Exclude}
	}
	return w, nil
}

func (w *walker) walk(ctx context.Context, f *folder, path string, rules *ignoreStack, yield func(Item, error) bool) (bool, error) {
	l, err := w.list(ctx, f, path, rules, false)
	if err != nil {
		return true, err
	}
	w.learn(l)
	for i := range l.entries {
		e := &l.entries[i]
		full := path + e.key
		place := w.scope.place(full)
		if e.ignored || place == outside {
			continue
		}
		if place == inside && !yield(Item{Path: full, Kind: e.kind, Stat: e.stat}, nil) {
			return false, nil
		}
		if e.kind != tree.Dir {
			continue
		}
		sub, err := f.sub(e.name)
		if err != nil {
			return true, fmt.Errorf("%s: %w", full, err)
		}
		more, err := w.walk(ctx, sub, full, l.rules, yield)
		sub.release()
		if err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// listing is what a folder holds.
type listing struct {
	entries []diskEntry // in order of key, without ours and what is skipped
	empty   bool        // there is nothing at all on disk
	rules   *ignoreStack

	problems problems
	skipped  []Problem
}

// learn takes over what was wrong in a folder. It is called in order of path.
func (w *walker) learn(l *listing) {
	for _, p := range l.problems.list {
		w.problems.add(p.Path, p.Err)
	}
	w.problems.more = w.problems.more || l.problems.more
	w.skipped = append(w.skipped, l.skipped...)
}

// list reads a folder and checks its names. Rules are those of the folders
// above; with ignored set the folder itself is ignored, and so is all in it. It
// may be called by several goroutines.
func (w *walker) list(ctx context.Context, f *folder, path string, rules *ignoreStack, ignored bool) (*listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.Count(path, "/") >= tree.PathDepthMax {
		return nil, fmt.Errorf("%.200q…: directories more than %d deep: %w", path, tree.PathDepthMax, fs.ErrInvalid)
	}
	all, err := f.entries()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	all = slices.DeleteFunc(all, func(e diskEntry) bool { return isOurs(e.name, path == "") })
	l := &listing{empty: len(all) == 0, rules: rules}
	if !ignored {
		if l.rules, err = w.readRules(f, path, all, rules); err != nil {
			return nil, fmt.Errorf("%s: %w", path+IgnoreName, err)
		}
	}
	var names folded // none where no name can be taken for another
	if slices.ContainsFunc(all, func(e diskEntry) bool { return !foldsToItself(e.name) }) {
		names = folded{}
	}
	l.entries = all[:0] // what counts moves up
	for i := range all {
		e := &all[i]
		e.ignored = ignored || l.rules.match(path+e.name, e.kind == tree.Dir)
		if w.admit(l, path, e, names) {
			l.entries = append(l.entries, *e)
		}
	}
	sortByKey(l.entries)
	return l, nil
}

// sortByKey sorts entries by moving each only once.
func sortByKey(entries []diskEntry) {
	type place struct {
		key string
		at  int
	}
	order := make([]place, len(entries))
	for i := range entries {
		order[i] = place{entries[i].key, i}
	}
	slices.SortFunc(order, func(a, b place) int { return strings.Compare(a.key, b.key) })
	for i := range order { // each cycle of the permutation in turn
		if order[i].at < 0 {
			continue
		}
		first := entries[i]
		for to := i; ; {
			from := order[to].at
			order[to].at = -1
			if from == i {
				entries[to] = first
				break
			}
			entries[to] = entries[from]
			to = from
		}
	}
}

// admit notes what is wrong with an entry and reports whether it counts.
func (w *walker) admit(l *listing, path string, e *diskEntry, names folded) bool {
	full := path + e.key
	if e.ignored || w.scope.place(full) == outside {
		return e.kind != 0
	}
	if e.kind == 0 {
		err := fmt.Errorf("%v: %w", e.mode, ErrSpecial)
		if w.o.SkipSpecial {
			l.skipped = append(l.skipped, Problem{full, err})
		} else {
			l.problems.add(full, err)
		}
		return false
	}
	err := checkName(e.name, w.o.AllowNonportable)
	if err == nil && !w.o.AllowNonportable && names != nil {
		err = names.add(e.name, false)
	}
	if err == nil && len(full) > tree.PathSizeMax {
		err = tree.CheckPath(full) // each name of it was checked, and its depth
	}
	if err != nil {
		l.problems.add(full, err)
		return false
	}
	return true
}

// readRules returns the rules that hold in a folder.
func (w *walker) readRules(f *folder, path string, all []diskEntry, rules *ignoreStack) (*ignoreStack, error) {
	has := slices.ContainsFunc(all, func(e diskEntry) bool { return e.name == IgnoreName && e.kind == tree.File })
	if !has {
		return rules, nil
	}
	file, _, err := f.openFile(IgnoreName)
	if errors.Is(err, fs.ErrNotExist) {
		return rules, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, ignoreSizeMax+1))
	if err != nil {
		return nil, err
	}
	own, err := ParseIgnore(text)
	if err != nil {
		return nil, err
	}
	return &ignoreStack{up: rules, at: len(path), rules: own}, nil
}
