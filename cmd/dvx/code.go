package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// codeOf returns the function that stores a spec's code tree: the folder that
// the spec names, less what .dvxignore and the spec leave out.
func codeOf(s repo.Store, file string, of spec.Spec) func(context.Context, chunk.Store) (tree.Root, error) {
	code := spec.Code{}
	if of.Transform.Code != nil {
		code = *of.Transform.Code
	}
	if code.None {
		return nil
	}
	return func(ctx context.Context, cs chunk.Store) (tree.Root, error) {
		dir, err := codeDir(file, code.Path)
		if err != nil {
			return tree.Root{}, err
		}
		exclude, err := noCode(dir)
		if err != nil {
			return tree.Root{}, err
		}
		edits, _, err := worktree.Edits(ctx, cs, tree.Root{}, worktree.Options{
			Dir: dir, Params: s.Config().Chunker, SkipSpecial: true, Exclude: exclude,
		})
		if err != nil {
			return tree.Root{}, err
		}
		if edits, err = without(edits, code.Ignore); err != nil {
			return tree.Root{}, err
		}
		edits = withoutSpec(edits, file, dir)
		return tree.Apply(ctx, cs, tree.Root{}, edits)
	}
}

// codeDir returns the folder of a spec's code. A link may not lead out of the
// spec's own folder: what lies elsewhere was not offered.
func codeDir(file, path string) (string, error) {
	home, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return "", fmt.Errorf("folder of spec %s: %w", file, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(file), filepath.FromSlash(path)))
	if err != nil {
		return "", fmt.Errorf("transform.code.path %q: %w", path, err)
	}
	if rel, err := filepath.Rel(home, dir); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("transform.code.path %q leads out of the spec's folder, to %s: %w", path, dir, fs.ErrInvalid)
	}
	return filepath.Join(filepath.Dir(file), filepath.FromSlash(path)), nil
}

// withoutSpec drops the spec file itself: what the program may rely on of it is
// in the memo key field by field, and a changed description runs nothing again.
func withoutSpec(edits []tree.Edit, file, dir string) []tree.Edit {
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		return edits
	}
	return slices.DeleteFunc(edits, func(e tree.Edit) bool { return e.Path == filepath.ToSlash(rel) })
}

// without drops the edits of paths that a glob selects, or that lie in a
// directory that one selects.
func without(edits []tree.Edit, globs []string) ([]tree.Edit, error) {
	var kept []tree.Edit
	for _, source := range globs {
		g, err := spec.CompileGlob(source)
		if err != nil {
			return nil, fmt.Errorf("transform.code.ignore: %w", err)
		}
		kept = kept[:0:0]
		for _, e := range edits {
			if !ignored(g, e.Path) {
				kept = append(kept, e)
			}
		}
		edits = kept
	}
	return edits, nil
}

func ignored(g *spec.Glob, path string) bool {
	for dir := path; ; {
		if g.Match(dir, dir != path) {
			return true
		}
		i := strings.LastIndexByte(dir, '/')
		if i < 0 {
			return false
		}
		dir = dir[:i]
	}
}

// noCode returns the rules that leave out of a code folder what is never code:
// git's own folders, stores, which would change with each version of the
// pipeline and be in it, and working copies below, which are data with versions
// of their own. What a .dvxignore says goes before.
func noCode(dir string) (*worktree.Ignore, error) {
	rules := ".git\n"
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("code folder: %w", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return err
		case err != nil: // whoever reads it for its code says so, unless a .dvxignore names it
			return fs.SkipDir
		case !d.IsDir() || path == dir:
			return nil
		case d.Name() == ".git" || d.Name() == worktree.FolderName:
			return fs.SkipDir
		case !holdsStore(path) && !holdsWorkingCopy(path):
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rules += "/" + ruleSpecials.ReplaceAllString(filepath.ToSlash(rel), `\$0`) + "/\n"
		return fs.SkipDir
	})
	if err != nil {
		return nil, fmt.Errorf("code folder %s: %w", dir, err)
	}
	return worktree.ParseIgnore([]byte(rules))
}

// ruleSpecials are the characters that mean something in an ignore rule.
var ruleSpecials = regexp.MustCompile(`[\\*?\[\]!# ]`)

// holdsStore reports whether a folder is a store.
func holdsStore(dir string) bool {
	for _, name := range []string{"dvx.json", "root", "packs"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// holdsWorkingCopy reports whether a folder is a working copy.
func holdsWorkingCopy(dir string) bool {
	st, err := os.Lstat(filepath.Join(dir, worktree.FolderName))
	return err == nil && st.IsDir()
}
