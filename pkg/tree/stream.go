package tree

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// ApplySorted is [Apply] for edits that come in order: it takes them one at a
// time, and holds in memory only the nodes on the way to where it is, and one
// pointer per node that it replaces. Paths must ascend as strings, those of
// directories counted with "/" at the end, as in a walk; several edits of one
// path follow each other. An edit that comes too late fails with fs.ErrInvalid.
// edits is read by the caller's goroutine, while nodes are written. An error
// that it yields ends the work and is returned.
func ApplySorted(ctx context.Context, s chunk.Store, base Root, edits iter.Seq2[Edit, error]) (Root, error) {
	next, stop := iter.Pull2(edits)
	defer stop()
	p := &pathEdits{next: next}
	if err := p.advance(); err != nil {
		return Root{}, err
	}
	items, err := p.in("", 0)
	if err != nil {
		return Root{}, err
	}
	root, err := applyItems(ctx, s, base, items)
	if p.failed != nil {
		err = p.failed // and not where in the directory it was
	}
	return root, err
}

// pathEdits hands out edits that come in order of path, directory by
// directory.
type pathEdits struct {
	next func() (Edit, error, bool)

	failed error // of next, or of an edit that can't be

	more  bool // there is an edit
	edit  Edit // the next one
	path  string
	names []string // of its path
	isDir bool
}

// advance goes to the next edit.
func (p *pathEdits) advance() (err error) {
	defer func() { p.failed = err }()
	if p.edit, err, p.more = p.next(); err != nil || !p.more {
		p.more = false
		return err
	}
	before := p.path
	if p.names, p.isDir, err = p.edit.place(); err != nil {
		return err
	}
	if p.path = p.edit.Path; p.isDir && !strings.HasSuffix(p.path, "/") {
		p.path += "/"
	}
	if p.path < before {
		return fmt.Errorf("edit of %.200q after that of %.200q, which is behind it: %w", p.path, before, fs.ErrInvalid)
	}
	return nil
}

// in returns the edits of the directory at path, "" or with "/" at the end,
// which has depth components. They must be read to their end before those of
// the directory above go on.
func (p *pathEdits) in(path string, depth int) (*itemEdits, error) {
	var it itemEdit // one at a time
	var k keyEdit
	return openEdits(func() (*itemEdit, error) {
		if !p.more || !strings.HasPrefix(p.path, path) {
			return nil, nil
		}
		k = keyEdit{name: p.names[depth]}
		key := k.name
		if p.isDir || depth+1 < len(p.names) {
			key += "/"
		}
		full := path + key
		for p.more && p.path == full {
			if err := k.include(&p.edit); err != nil {
				return nil, err
			}
			if err := p.advance(); err != nil {
				return nil, err
			}
		}
		if strings.HasSuffix(key, "/") && p.more && strings.HasPrefix(p.path, full) {
			k.below = func() (*itemEdits, error) { return p.in(full, depth+1) }
		}
		it = itemEdit{key: key, user: &k}
		return &it, nil
	})
}
