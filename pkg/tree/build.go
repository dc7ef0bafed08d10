package tree

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Build stores the directory with the entries that seq yields by path and
// returns it; see [Builder] for the order.
func Build(ctx context.Context, s chunk.Store, seq iter.Seq2[string, Entry]) (Root, error) {
	b := NewBuilder(s)
	for path, e := range seq {
		if err := b.Add(ctx, path, e); err != nil {
			return Root{}, err
		}
	}
	return b.Finish(ctx)
}

// Builder builds a directory from entries in any order. Entries in the order
// of [Tree.Walk] (paths compared as bytes, a directory's with "/" at its end)
// cost least: memory then depends on the depth only. From the first entry out
// of that order on, entries are gathered and put in in batches of up to
// builderBatch. A Builder is for one goroutine.
type Builder struct {
	s     chunk.Store
	w     *writer
	last  string    // path of the last entry, a directory's with "/"
	graft bool      // the last entry was a directory with entries
	open  []openDir // from the root down; nil once the order is broken
	root  Root      // where open is nil
	edits []Edit    // to be made to root
}

// openDir is a directory to which entries are being added.
type openDir struct {
	entry Entry // as the directory above will hold it
	build *dirBuilder
}

// builderBatch is how many entries that are out of order are put in at once.
// Each batch rewrites every node that it touches, so few large ones are
// cheaper; this many take about 50 MB.
const builderBatch = 1 << 16

// NewBuilder returns a Builder that keeps nodes in s.
func NewBuilder(s chunk.Store) *Builder {
	w := newWriter(s)
	return &Builder{s: s, w: w, open: []openDir{{build: &dirBuilder{w: w}}}}
}

// Add adds an entry at path and the directories above it; the entry's Name is
// not looked at. Of two entries of one key the later one holds, but an empty
// directory takes nothing away from what was added below its path. A path or
// an entry that is not valid fails with fs.ErrInvalid; after an error the
// Builder must not be used. A directory that is added must be in the store.
func (b *Builder) Add(ctx context.Context, path string, e Entry) error {
	names, err := splitPath(path)
	if err != nil {
		return err
	}
	e.Name = names[len(names)-1]
	if err := CheckEntry(e); err != nil {
		return fmt.Errorf("path %.200q: %w", path, err)
	}
	path = strings.TrimSuffix(path, "/")
	if e.Kind == Dir {
		path += "/"
	}
	inOrder := path > b.last && !(b.graft && strings.HasPrefix(path, b.last))
	if b.open != nil && !inOrder {
		if b.root, err = b.close(ctx); err != nil {
			return err
		}
	}
	if b.open == nil {
		op := Put
		if e.Kind == Dir && e.Dir.isEmpty() {
			op = MakeDir
		}
		return b.gather(ctx, Edit{Op: op, Path: path, Entry: e, SetAttrs: true})
	}
	b.last = path
	return b.append(ctx, names, e)
}

// append adds an entry that follows all others.
func (b *Builder) append(ctx context.Context, names []string, e Entry) error {
	dirs := names[:len(names)-1]
	shared := 0
	for shared < len(dirs) && shared+1 < len(b.open) && b.open[shared+1].entry.Name == dirs[shared] {
		shared++
	}
	for len(b.open) > shared+1 {
		if err := b.pop(ctx); err != nil {
			return err
		}
	}
	for _, name := range dirs[shared:] {
		b.push(Entry{Name: name, Kind: Dir})
	}
	b.graft = e.Kind == Dir && !e.Dir.isEmpty()
	if e.Kind == Dir {
		if err := checkDir(ctx, b.w, e.Dir); err != nil {
			return err
		}
		if !b.graft {
			b.push(e)
			return nil
		}
	}
	return b.open[len(b.open)-1].build.add(ctx, entryItem(e))
}

func (b *Builder) push(e Entry) {
	b.open = append(b.open, openDir{entry: e, build: &dirBuilder{w: b.w}})
}

// pop finishes the deepest open directory.
func (b *Builder) pop(ctx context.Context) error {
	top := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	root, err := top.build.finish(ctx)
	if err != nil {
		return err
	}
	top.entry.Dir = root
	return b.open[len(b.open)-1].build.add(ctx, entryItem(top.entry))
}

// close finishes all open directories.
func (b *Builder) close(ctx context.Context) (Root, error) {
	for len(b.open) > 1 {
		if err := b.pop(ctx); err != nil {
			return Root{}, err
		}
	}
	root, err := b.open[0].build.finish(ctx)
	b.open = nil
	return root, err
}

// gather keeps an edit for the next batch.
func (b *Builder) gather(ctx context.Context, e Edit) error {
	b.edits = append(b.edits, e)
	if len(b.edits) < builderBatch {
		return nil
	}
	return b.put(ctx)
}

func (b *Builder) put(ctx context.Context) (err error) {
	b.root, err = Apply(ctx, b.s, b.root, b.edits)
	b.edits = b.edits[:0]
	return err
}

// Finish stores what is left and returns the directory. The Builder must not
// be used after it.
func (b *Builder) Finish(ctx context.Context) (Root, error) {
	if b.open != nil {
		return b.close(ctx)
	}
	if len(b.edits) > 0 {
		if err := b.put(ctx); err != nil {
			return Root{}, err
		}
	}
	return b.root, nil
}

// checkDir fails unless root's node is in the writer's store and says what
// root says.
func checkDir(ctx context.Context, w *writer, root Root) error {
	n, err := loadRoot(ctx, w.s, root)
	if err != nil {
		return err
	}
	var id ContentID
	if w.buf, id = w.content.sum(n, w.buf); id != root.Content {
		return fmt.Errorf("directory %v has content id %v, not %v: %w", root.ID, id, root.Content, fs.ErrInvalid)
	}
	return nil
}
