package repo

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Open resolves expr and opens the tree of its commit. An empty branch has an
// empty tree, of the zero Root.
func Open(ctx context.Context, s Store, expr string) (*tree.Tree, Resolved, error) {
	chunks, res, err := OpenReader(ctx, s, expr)
	if err != nil {
		return nil, Resolved{}, err
	}
	return tree.Open(chunks, res.Commit.Tree), res, nil
}

// OpenReader resolves expr and opens the chunks of its commit.
func OpenReader(ctx context.Context, s Store, expr string) (chunk.Reader, Resolved, error) {
	res, err := Resolve(ctx, s, expr)
	if err != nil {
		return nil, Resolved{}, err
	}
	if res.ID.IsZero() {
		return new(chunk.Mem), res, nil
	}
	chunks, err := s.Reader(ctx, res.Scope())
	return chunks, res, err
}

// Log yields the history of what expr names, see [commit.Log]. An empty branch
// has none.
func Log(ctx context.Context, s Store, expr string, o commit.LogOptions) iter.Seq2[commit.Entry, error] {
	return func(yield func(commit.Entry, error) bool) {
		chunks, res, err := OpenReader(ctx, s, expr)
		if err != nil {
			yield(commit.Entry{}, err)
			return
		}
		if res.ID.IsZero() {
			return
		}
		for e, err := range commit.Log(ctx, chunks, res.ID, o) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// Diff yields the changes from what expression a names to what b names, see
// [tree.Diff]. Paths in the expressions are not looked at.
func Diff(ctx context.Context, s Store, a, b string, o tree.DiffOptions) iter.Seq2[tree.Change, error] {
	return func(yield func(tree.Change, error) bool) {
		old, from, err := OpenReader(ctx, s, a)
		if err != nil {
			yield(tree.Change{}, err)
			return
		}
		fresh, to, err := OpenReader(ctx, s, b)
		if err != nil {
			yield(tree.Change{}, err)
			return
		}
		for c, err := range tree.Diff(ctx, old, from.Commit.Tree, fresh, to.Commit.Tree, o) {
			if !yield(c, err) {
				return
			}
		}
	}
}

// PutFile commits one file: the bytes of r at path. Entry may hold Exec and
// Attrs of the file; its other fields are set. r is read once, unless it is an
// io.Seeker and must be read again.
func PutFile(ctx context.Context, s Store, o CommitOptions, path string, e tree.Entry, r io.Reader) (CommitResult, error) {
	var stored *chunk.Content
	var in chunk.Store
	return Commit(ctx, s, o, func(ctx context.Context, d *Draft) (tree.Root, error) {
		if stored != nil && in != d.Store { // another session: its chunks are not in this one
			again, ok := r.(io.Seeker)
			if !ok {
				return tree.Root{}, fmt.Errorf("put %s: its bytes are needed again and can't be read again: %w", path, ErrDoomed)
			}
			if _, err := again.Seek(0, io.SeekStart); err != nil {
				return tree.Root{}, err
			}
			stored = nil
		}
		if stored == nil {
			c, err := chunk.WriteContent(ctx, d, s.Config().Chunker, r)
			if err != nil {
				return tree.Root{}, fmt.Errorf("put %s: %w", path, err)
			}
			stored, in = &c, d.Store
		}
		e.Kind, e.Content = tree.File, *stored
		edit := tree.Edit{Op: tree.Put, Path: path, Entry: e, SetAttrs: !e.Attrs.IsZero()}
		return d.Apply(ctx, []tree.Edit{edit})
	})
}

// GetFile opens the file that expr names: it must have a path. The caller
// closes the reader.
func GetFile(ctx context.Context, s Store, expr string) (*chunk.ContentReader, tree.Entry, error) {
	chunks, res, err := OpenReader(ctx, s, expr)
	if err != nil {
		return nil, tree.Entry{}, err
	}
	if !res.Ref.HasPath || res.Path == "" {
		return nil, tree.Entry{}, invalid("%s names no file: add :/path", expr)
	}
	e, err := tree.Open(chunks, res.Commit.Tree).Lookup(ctx, res.Path)
	if err == nil && (e.Kind == tree.Dir || res.Ref.Dir) {
		err = fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	}
	if err != nil {
		return nil, tree.Entry{}, fmt.Errorf("get %s: %w", expr, err)
	}
	r, err := chunk.OpenContent(ctx, chunks, e.Content)
	if err != nil {
		return nil, tree.Entry{}, fmt.Errorf("get %s: %w", expr, err)
	}
	return r, e, nil
}
