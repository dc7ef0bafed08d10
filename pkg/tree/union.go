package tree

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Part is a directory that goes into a union, such as the output of a datum.
type Part struct {
	Name string // who made it, for errors
	Root Root
}

// PathConflict is the error for a path that two parts of a union have, or a
// file of one part beside a directory of that name of another. It wraps
// fs.ErrExist.
type PathConflict struct {
	Path string
	A, B string // names of the parts; A is "" if it is one of those in the union before
}

// Error names the path and the parts.
func (e *PathConflict) Error() string {
	if e.A == "" {
		return fmt.Sprintf("path %q of %s is already written by another part", e.Path, e.B)
	}
	return fmt.Sprintf("path %q is written by both %s and %s", e.Path, e.A, e.B)
}

// Unwrap returns fs.ErrExist.
func (e *PathConflict) Unwrap() error { return fs.ErrExist }

// Union returns the union of directories that share no path but those of
// directories. Given the union base of some parts, it takes the parts
// withdrawn out, puts the parts added in, and returns what the union of the
// parts that remain would be, by content: Union(base, w, a) is the full union,
// Union of a zero base and all parts. Entries that are in base and in the
// result, with equal content, keep their Attrs.
//
// A union consists of the parts' files and links and the directories that lead
// to them; empty directories and markers of parts do not count. A path that
// two parts have, even with equal content, fails with a [PathConflict];
// withdrawn files that base does not have fail with fs.ErrInvalid. All roots
// must be in s. The cost follows the parts that change, not base.
func Union(ctx context.Context, s chunk.Store, base Root, withdrawn []Root, added []Part) (Root, error) {
	u := &uniter{s: s}
	root, err := u.union(ctx, base, withdrawn, added)
	if err != nil {
		return Root{}, fmt.Errorf("unite directories: %w", err)
	}
	return root, nil
}

func (u *uniter) union(ctx context.Context, base Root, withdrawn []Root, added []Part) (Root, error) {
	if len(added) == 1 && replaced(base, withdrawn) {
		root, err := u.dropEmpty(ctx, added[0].Root)
		if err != nil || base.ID.IsZero() {
			return root, err
		}
		return Adopt(ctx, u.s, base, root, nil)
	}
	if err := u.dir(ctx, "", base, withdrawn, added); err != nil {
		return Root{}, err
	}
	return Apply(ctx, u.s, base, u.edits)
}

// replaced reports whether nothing of base stays.
func replaced(base Root, withdrawn []Root) bool {
	return base.ID.IsZero() || slices.ContainsFunc(withdrawn, func(w Root) bool { return w.Content == base.Content })
}

// uniter gathers the edits that make a union from the one before.
type uniter struct {
	s     chunk.Store
	edits []Edit
}

// uniName is what happens to one name in one directory.
type uniName struct {
	oldFile, oldDir *Entry // in base
	minus           *Entry // file withdrawn
	plus            *Entry // file added
	plusBy          string
	minusDirs       []Root
	plusDirs        []Part
}

// dir gathers the edits of one directory.
func (u *uniter) dir(ctx context.Context, path string, base Root, withdrawn []Root, added []Part) error {
	names, err := u.names(ctx, path, withdrawn, added)
	if err != nil {
		return err
	}
	if err := u.present(ctx, base, names); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if err := n.check(path + name); err != nil {
			return err
		}
		u.file(path+name, n)
		if err := u.subdir(ctx, path+name+"/", n); err != nil {
			return err
		}
	}
	return nil
}

// names sorts the changing parts' entries by name.
func (u *uniter) names(ctx context.Context, path string, withdrawn []Root, added []Part) (map[string]*uniName, error) {
	names := map[string]*uniName{}
	each := func(root Root, fn func(*uniName, *Entry) error) error {
		err := eachEntry(ctx, u.s, root, "", false, func(e *Entry) (bool, error) {
			if e.Kind == Dir && e.Dir.Files == 0 {
				return true, nil
			}
			n := names[e.Name]
			if n == nil {
				n = &uniName{}
				names[e.Name] = n
			}
			return true, fn(n, e)
		})
		return err
	}
	for _, root := range withdrawn {
		err := each(root, func(n *uniName, e *Entry) error {
			if e.Kind == Dir {
				n.minusDirs = append(n.minusDirs, e.Dir)
			} else {
				n.minus = e
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, part := range added {
		err := each(part.Root, func(n *uniName, e *Entry) error {
			switch {
			case e.Kind == Dir:
				n.plusDirs = append(n.plusDirs, Part{Name: part.Name, Root: e.Dir})
			case n.plus != nil:
				return &PathConflict{Path: path + e.Name, A: n.plusBy, B: part.Name}
			default:
				n.plus, n.plusBy = e, part.Name
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// present looks up what base has of the names, in one pass.
func (u *uniter) present(ctx context.Context, base Root, names map[string]*uniName) error {
	keys := make([]string, 0, 2*len(names))
	for name := range names {
		keys = append(keys, name, name+"/")
	}
	slices.Sort(keys)
	c, err := newCursor(ctx, u.s, base)
	if err != nil {
		return err
	}
	for _, key := range keys {
		it, err := c.seek(ctx, key)
		if err != nil {
			return err
		}
		if it == nil || it.key != key {
			continue
		}
		if n := names[it.Name]; it.Kind == Dir {
			n.oldDir = &it.Entry
		} else {
			n.oldFile = &it.Entry
		}
	}
	return nil
}

// check fails if the name can't be withdrawn or added.
func (n *uniName) check(path string) error {
	if n.minus != nil && (n.oldFile == nil || !sameContent(n.minus, n.oldFile)) {
		return fmt.Errorf("withdrawn path %q is not in the union: %w", path, fs.ErrInvalid)
	}
	if len(n.minusDirs) > 0 && n.oldDir == nil {
		return fmt.Errorf("withdrawn path %q is not in the union: %w", path+"/", fs.ErrInvalid)
	}
	fileStays := n.oldFile != nil && n.minus == nil
	if n.plus != nil {
		if fileStays || n.dirStays() {
			return &PathConflict{Path: path, B: n.plusBy}
		}
		for _, d := range n.plusDirs {
			if d.Name != n.plusBy {
				return &PathConflict{Path: path, A: n.plusBy, B: d.Name}
			}
		}
	}
	if fileStays && len(n.plusDirs) > 0 {
		return &PathConflict{Path: path, B: n.plusDirs[0].Name}
	}
	return nil
}

// dirStays reports whether files stay in the directory of base: the withdrawn
// parts share no file, so their totals add up.
func (n *uniName) dirStays() bool {
	if n.oldDir == nil {
		return false
	}
	files := n.oldDir.Dir.Files
	for _, d := range n.minusDirs {
		files -= d.Files
	}
	return files > 0
}

func (u *uniter) file(path string, n *uniName) {
	switch {
	case n.plus != nil:
		u.edits = append(u.edits, Edit{Op: Put, Path: path, Entry: *n.plus})
	case n.minus != nil:
		u.edits = append(u.edits, Edit{Op: Delete, Path: path})
	}
}

// subdir gathers the edits of the directory at path, as a whole if it is one
// part's before or after.
func (u *uniter) subdir(ctx context.Context, path string, n *uniName) error {
	if len(n.minusDirs) == 0 && len(n.plusDirs) == 0 {
		return nil
	}
	old := dirOf(n.oldDir)
	if len(n.plusDirs) > 1 || !replaced(old, n.minusDirs) {
		return u.dir(ctx, path, old, n.minusDirs, n.plusDirs)
	}
	if len(n.plusDirs) == 0 {
		u.edits = append(u.edits, Edit{Op: DeleteDir, Path: path})
		return nil
	}
	root, err := u.dropEmpty(ctx, n.plusDirs[0].Root)
	if err != nil {
		return err
	}
	u.edits = append(u.edits, Edit{Op: Put, Path: path, Entry: Entry{Kind: Dir, Dir: root}})
	return nil
}

// dropEmpty returns root without the directories that hold no file.
func (u *uniter) dropEmpty(ctx context.Context, root Root) (Root, error) {
	edits, err := u.emptyDirs(ctx, "", root, nil)
	if err != nil || len(edits) == 0 {
		return root, err
	}
	return Apply(ctx, u.s, root, edits)
}

// emptyDirs appends the edits that remove the directories without files.
func (u *uniter) emptyDirs(ctx context.Context, path string, root Root, edits []Edit) ([]Edit, error) {
	err := eachEntry(ctx, u.s, root, "", false, func(e *Entry) (bool, error) {
		var err error
		switch {
		case e.Kind != Dir:
		case e.Dir.Files == 0:
			edits = append(edits, Edit{Op: DeleteDir, Path: path + e.Key()})
		default:
			edits, err = u.emptyDirs(ctx, path+e.Key(), e.Dir, edits)
		}
		return true, err
	})
	return edits, err
}
