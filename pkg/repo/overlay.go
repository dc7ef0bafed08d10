package repo

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// The two directories of a batch.
const (
	batchPut = "put"
	batchDel = "del"
)

// overlay gathers edits by key, the path of a file or link or, with "/" at the
// end, of a directory's marker. Of two edits of a key the later one holds.
type overlay struct {
	edits []tree.Edit
	at    map[string]int
}

func editKey(e *tree.Edit) string {
	if e.Op == tree.Mark {
		return e.Path + "/"
	}
	return e.Path
}

func (o *overlay) add(edits ...tree.Edit) {
	if o.at == nil {
		o.at = map[string]int{}
	}
	for _, e := range edits {
		key := editKey(&e)
		if i, ok := o.at[key]; ok {
			o.edits[i] = e
			continue
		}
		o.at[key] = len(o.edits)
		o.edits = append(o.edits, e)
	}
}

// find returns the edit of a key, or nil.
func (o *overlay) find(key string) *tree.Edit {
	if i, ok := o.at[key]; ok {
		return &o.edits[i]
	}
	return nil
}

// save stores the edits as a batch.
func (o *overlay) save(ctx context.Context, s chunk.Store) (OpenBatch, error) {
	var put, del []tree.Edit
	for _, e := range o.edits {
		switch {
		case e.Op == tree.Delete:
			del = append(del, tree.Edit{Op: tree.Put, Path: e.Path, Entry: tree.Entry{Kind: tree.File}})
		case e.Op == tree.Mark && e.Marker == nil:
			del = append(del, tree.Edit{Op: tree.Mark, Path: e.Path, Marker: &tree.Marker{}})
		default:
			put = append(put, e)
		}
	}
	var top []tree.Edit
	for _, dir := range []struct {
		name  string
		edits []tree.Edit
	}{{batchPut, put}, {batchDel, del}} {
		if len(dir.edits) == 0 {
			continue
		}
		root, err := tree.Apply(ctx, s, tree.Root{}, dir.edits)
		if err != nil {
			return OpenBatch{}, fmt.Errorf("write to the open commit: %w", err)
		}
		top = append(top, tree.Edit{Op: tree.Put, Path: dir.name, Entry: tree.Entry{Kind: tree.Dir, Dir: root}})
	}
	root, err := tree.Apply(ctx, s, tree.Root{}, top)
	return OpenBatch{Tree: root, Writes: int64(len(o.edits))}, err
}

// loadBatch reads what save stored.
func loadBatch(ctx context.Context, r chunk.Reader, b OpenBatch) ([]tree.Edit, error) {
	var edits []tree.Edit
	for e, err := range tree.Open(r, b.Tree).Entries(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("read the open commit: %w", err)
		}
		if e.Kind != tree.Dir || e.Name != batchPut && e.Name != batchDel {
			return nil, fmt.Errorf("read the open commit: a batch has %.40q: %w", e.Name, chunk.ErrCorrupt)
		}
		for p, err := range tree.Open(r, e.Dir).Walk(ctx, tree.WalkOptions{Dirs: true}) {
			if err != nil {
				return nil, fmt.Errorf("read the open commit: %w", err)
			}
			if edit, ok := batchEdit(p, e.Name == batchDel); ok {
				edits = append(edits, edit)
			}
		}
	}
	return edits, nil
}

// batchEdit returns the edit that an entry of a batch stands for; a directory
// without a marker stands for none.
func batchEdit(p tree.PathEntry, del bool) (tree.Edit, bool) {
	switch {
	case p.Kind == tree.Dir && p.Marker == nil:
		return tree.Edit{}, false
	case p.Kind == tree.Dir && del:
		return tree.Edit{Op: tree.Mark, Path: p.Path[:len(p.Path)-1]}, true
	case p.Kind == tree.Dir:
		return tree.Edit{Op: tree.Mark, Path: p.Path[:len(p.Path)-1], Marker: p.Marker, SetAttrs: true}, true
	case del:
		return tree.Edit{Op: tree.Delete, Path: p.Path}, true
	default:
		return tree.Edit{Op: tree.Put, Path: p.Path, Entry: p.Entry, SetAttrs: true}, true
	}
}

// loadOverlay reads batches, one after another.
func loadOverlay(ctx context.Context, r chunk.Reader, batches []OpenBatch) (*overlay, error) {
	o := &overlay{}
	for _, b := range batches {
		edits, err := loadBatch(ctx, r, b)
		if err != nil {
			return nil, err
		}
		o.add(edits...)
	}
	return o, nil
}

// over is a chunk store in memory over what a reader has.
type over struct {
	*chunk.Mem
	under chunk.Reader
}

// Get implements chunk.Reader.
func (o over) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if kind.Meta() {
		if b, err := o.Mem.Get(ctx, kind, id); err == nil {
			return b, nil
		}
	}
	return o.under.Get(ctx, kind, id)
}
