package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// importReferences makes the objects at an s3:// URL files of a branch, without
// reading them: what is stored is where they are.
func (a *app) importReferences(ctx context.Context, from, to string, flags commitFlags) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	name, branch, dir, err := a.target(ctx, s, to)
	if err != nil {
		return err
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(from, "s3://"), "/")
	b, err := place.Bucket(ctx, "s3://"+bucket, a.place)
	if err != nil {
		return err
	}
	o, err := flags.options(name, branch, "import "+from)
	if err != nil {
		return err
	}
	show := a.progress("registering")
	defer show.done()
	in := &referenceImport{bucket: bucket, prefix: prefix, from: b.Plain(), found: func(n int) {
		show.show(func() string { return count(int64(n)) + " objects" })
	}}
	res, err := repo.Commit(ctx, s, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		return d.ApplySorted(ctx, below(strings.Trim(dir, "/"), in.edits(ctx, d)))
	})
	if err != nil {
		return err
	}
	show.done()
	return a.report(o, res, fmt.Sprintf("%d objects of %s", in.n, from))
}

// referenceImport turns a listing into edits.
type referenceImport struct {
	bucket, prefix string
	from           s3.Plain
	found          func(n int) // told now and then how many there are
	n              int         // objects seen
}

// edits yields a file for each object, in order.
func (in *referenceImport) edits(ctx context.Context, to chunk.Store) iter.Seq2[tree.Edit, error] {
	return func(yield func(tree.Edit, error) bool) {
		in.n = 0
		for o, err := range in.from.All(ctx, in.prefix) {
			if err != nil {
				yield(tree.Edit{}, err)
				return
			}
			name := in.name(o.Key)
			if name == "" {
				continue
			}
			e, err := in.edit(ctx, to, name, o)
			if in.n++; in.n%1000 == 0 {
				in.found(in.n)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if in.n == 0 {
			yield(tree.Edit{}, fmt.Errorf("no object at s3://%s/%s: %w", in.bucket, in.prefix, fs.ErrNotExist))
		}
	}
}

// name returns the path of an object: what its key has behind the prefix, which
// is a folder's or one object's. It is "" for what is neither, and for the keys
// that stand for folders.
func (in *referenceImport) name(key string) string {
	rest := key[len(in.prefix):]
	switch {
	case strings.HasSuffix(key, "/"):
		return ""
	case in.prefix == "" || strings.HasSuffix(in.prefix, "/"):
		return rest
	case rest == "":
		return path.Base(key)
	case rest[0] == '/':
		return rest[1:]
	default: // its name only begins with the prefix
		return ""
	}
}

func (in *referenceImport) edit(ctx context.Context, to chunk.Store, name string, o s3.Object) (tree.Edit, error) {
	if err := tree.CheckPath(name); err != nil {
		return tree.Edit{}, fmt.Errorf("object %.300q: %w", o.Key, err)
	}
	e := tree.Edit{Path: name, Op: tree.Put, Entry: tree.Entry{Kind: tree.File}}
	if sum, err := hex.DecodeString(o.ETag); err == nil && len(sum) == 16 {
		e.Entry.Attrs.MD5 = sum
	} else {
		e.Entry.Attrs.ETag = o.ETag
	}
	if o.Size == 0 {
		return e, nil
	}
	var err error
	e.Entry.Content, err = chunk.PutReference(ctx, to, chunk.Reference{Bucket: in.bucket, Key: o.Key, ETag: o.ETag, ID: o.ID, Size: o.Size})
	if err != nil {
		return tree.Edit{}, fmt.Errorf("object %.300q: %w", o.Key, err)
	}
	return e, nil
}
