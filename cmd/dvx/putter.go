package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
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

	misplaced error // of checkDraft
}

// dir commits what is in a directory of this disk.
func (p *putter) dir(ctx context.Context, name, branch, from string) error {
	if err := p.checkPath(); err != nil {
		return err
	}
	o, err := p.flags.commit.options(name, branch, "put "+p.path+"/")
	if err != nil {
		return err
	}
	o.Check = p.checkDraft(tree.Dir)
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
		return p.plain(err)
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

// checkPath fails unless a working copy may have the path's names.
func (p *putter) checkPath() error {
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
	return nil
}

// checkDraft returns what a commit asks before it changes anything: whether
// something of a kind can be at the path.
func (p *putter) checkDraft(kind tree.Kind) func(context.Context, *repo.Draft) error {
	return func(ctx context.Context, d *repo.Draft) error {
		if d.Base.ID.IsZero() {
			return nil
		}
		p.misplaced = p.checkPlace(ctx, d, d.Base, kind)
		return p.misplaced
	}
}

// plain returns err without what a commit adds, if it is the path that is wrong.
func (p *putter) plain(err error) error {
	if p.misplaced != nil && errors.Is(err, p.misplaced) {
		return p.misplaced
	}
	return err
}

// checkHead is checkDraft for what is written to an open commit.
func (p *putter) checkHead(ctx context.Context, kind tree.Kind) error {
	res, r, err := openRef(ctx, p.store, p.ref)
	if err != nil {
		return err
	}
	return p.checkPlace(ctx, r, res.Commit.Tree, kind)
}

// placeCache is what the nodes on the way to a path may take, in bytes: each
// step asks for those that the one before had.
const placeCache = 4 << 20

// checkPlace fails unless something of a kind can be at the path: none of its
// directories may be a file, nor the other way round.
func (p *putter) checkPlace(ctx context.Context, r chunk.Reader, root tree.Root, kind tree.Kind) error {
	if tree.CacheOf(r) == nil {
		r = tree.NewCache(placeCache).Reader(r)
	}
	t := tree.Open(r, root)
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
