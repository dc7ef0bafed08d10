package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// putter puts something at a path of a branch.
type putter struct {
	app   *app
	store repo.Store
	flags putFlags
	ref   string // REPO@BRANCH
	path  string // without / at either end; "" is the top
}

// dir commits what is in a directory of this disk.
func (p *putter) dir(ctx context.Context, name, branch, from string) error {
	if err := p.check(ctx, tree.Dir); err != nil {
		return err
	}
	o, err := p.flags.commit.options(name, branch, "put "+p.path+"/")
	if err != nil {
		return err
	}
	show := p.app.progress("storing")
	res, err := repo.Commit(ctx, p.store, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		root := d.Base
		_, err := worktree.EachEdit(ctx, d, tree.Root{}, worktree.Options{
			Dir: from, Params: p.store.Config().Chunker, Progress: show.update,
			AllowNonportable: p.flags.nonportable, SkipSpecial: p.flags.skipSpecial,
		}, func(edits iter.Seq2[tree.Edit, error]) (err error) {
			root, err = d.ApplySorted(ctx, below(p.path, edits))
			return err
		})
		return root, err
	})
	show.done()
	if err != nil {
		return err
	}
	return p.app.report(o, res, "/"+p.path)
}

// below moves edits into the directory at path, "" for the top.
func below(path string, edits iter.Seq2[tree.Edit, error]) iter.Seq2[tree.Edit, error] {
	if path == "" {
		return edits
	}
	return func(yield func(tree.Edit, error) bool) {
		for e, err := range edits {
			e.Path = path + "/" + e.Path
			if !yield(e, err) {
				return
			}
		}
	}
}

// check fails unless something of a kind can be at the path: its names must be
// such as a working copy may have, none of its directories may be a file, nor
// the other way round.
func (p *putter) check(ctx context.Context, kind tree.Kind) error {
	if p.path == "" {
		return nil
	}
	if err := tree.CheckPath(p.path); err != nil {
		return err
	}
	for n := range strings.SplitSeq(p.path, "/") {
		if strings.EqualFold(n, worktree.FolderName) {
			return usagef("%s: %w", p.path, worktree.ErrReserved)
		}
		if err := tree.CheckPortable(n); err != nil && !p.flags.nonportable {
			return fmt.Errorf("%w; --allow-nonportable accepts it", err)
		}
	}
	return p.checkPlace(ctx, kind)
}

// placeCache is what the nodes on the way to a path may take, in bytes: each
// step asks for those that the one before had.
const placeCache = 4 << 20

func (p *putter) checkPlace(ctx context.Context, kind tree.Kind) error {
	res, r, err := openRef(ctx, p.store, p.ref)
	if err != nil {
		return err
	}
	t := tree.Open(tree.NewCache(placeCache).Reader(r), res.Commit.Tree)
	for n := 0; n < len(p.path); {
		end := strings.IndexByte(p.path[n:], '/') + n
		if end < n {
			end = len(p.path)
		}
		at, last := p.path[:end], end == len(p.path)
		n = end + 1
		e, err := t.Lookup(ctx, at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case last && kind == tree.File && e.Kind == tree.Dir:
			return usagef("%s:/%s is a directory; put the file into it with %s:/%s/", p.ref, at, p.ref, at)
		case e.Kind != tree.Dir && (!last || kind == tree.Dir):
			return usagef("%s:/%s is a file, so that nothing can be below it", p.ref, at)
		}
	}
	return nil
}
