package worker

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/tree"
)

// collector stores what a program wrote.
type collector struct {
	ctx    context.Context
	out    *os.Root
	store  chunk.Store
	writer *chunk.Writer
	inputs []pipeline.TaskInput
	edits  []tree.Edit
	bytes  int64
}

// collect stores the folder dir as a tree whose entries carry no attributes,
// and returns it with its bytes. Nothing is followed out of dir, except links
// to inputs, which become those inputs.
func collect(ctx context.Context, dir string, inputs []pipeline.TaskInput, s chunk.Store, w *chunk.Writer) (tree.Root, int64, error) {
	out, err := os.OpenRoot(dir)
	if err != nil {
		return tree.Root{}, 0, fmt.Errorf("store outputs: %w", err)
	}
	defer out.Close()
	empty, err := tree.Empty(ctx, s)
	if err != nil {
		return tree.Root{}, 0, err
	}
	c := &collector{ctx: ctx, out: out, store: s, writer: w, inputs: inputs}
	if _, err := c.dir("."); err != nil {
		return tree.Root{}, 0, err
	}
	root, err := tree.Apply(ctx, s, empty, c.edits)
	if err != nil {
		return tree.Root{}, 0, fmt.Errorf("store outputs: %w", err)
	}
	return root, c.bytes, nil
}

// dir collects the folder p and returns how many entries it has.
func (c *collector) dir(p string) (int, error) {
	f, err := c.out.Open(filepath.FromSlash(p))
	if err != nil {
		return 0, fmt.Errorf("store outputs: %w", err)
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close()
	if err != nil {
		return 0, fmt.Errorf("store outputs: %w", err)
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return 0, err
		}
		if err := tree.CheckName(name); err != nil {
			return 0, refusef("output %q: %w", path.Join(p, name), err)
		}
		if err := c.entry(path.Join(p, name)); err != nil {
			return 0, err
		}
	}
	return len(names), nil
}

// entry collects one name.
func (c *collector) entry(p string) error {
	info, err := c.out.Lstat(filepath.FromSlash(p))
	if err != nil {
		return fmt.Errorf("store output %s: %w", p, err)
	}
	switch info.Mode().Type() {
	case 0:
		return c.file(p, info)
	case fs.ModeSymlink:
		return c.link(p)
	case fs.ModeDir:
		n, err := c.dir(p)
		if err != nil || n > 0 {
			return err
		}
		empty, err := tree.Empty(c.ctx, c.store)
		if err != nil {
			return err
		}
		return c.put(p, tree.Entry{Kind: tree.Dir, Dir: empty})
	default:
		return refusef("output %s is a %v; only files, directories and links are stored", p, info.Mode().Type())
	}
}

func (c *collector) put(p string, e tree.Entry) error {
	e.Name = path.Base(p)
	c.edits = append(c.edits, tree.Edit{Path: p, Put: &e})
	return nil
}

// file stores a regular file.
func (c *collector) file(p string, info fs.FileInfo) error {
	f, err := openNoFollow(c.out, p)
	if err != nil {
		return fmt.Errorf("store output %s: %w", p, err)
	}
	defer f.Close()
	content, err := c.writer.WriteContent(c.ctx, f)
	if err != nil {
		return fmt.Errorf("store output %s: %w", p, err)
	}
	c.bytes += content.Size
	return c.put(p, tree.Entry{Kind: tree.File, Exec: info.Mode()&0o100 != 0, Content: content})
}

// link stores a link, or the input that it points at.
func (c *collector) link(p string) error {
	target, err := c.out.Readlink(filepath.FromSlash(p))
	if err != nil {
		return fmt.Errorf("store output %s: %w", p, err)
	}
	target = filepath.ToSlash(target)
	// As seen from the task's folder, where out and in lie side by side.
	taskDir := path.Dir(filepath.ToSlash(c.out.Name()))
	at := path.Join("out", path.Dir(p), target)
	if path.IsAbs(target) {
		rel, ok := strings.CutPrefix(path.Clean(target), taskDir+"/")
		if !ok {
			return refusef("output %s is a link to %s, outside of the task's folders", p, target)
		}
		at = rel
	}
	if in, ok := strings.CutPrefix(at, "in/"); ok {
		e, err := c.input(in)
		if err != nil {
			return refusef("output %s is a link to %s: %w", p, target, err)
		}
		return c.put(p, e)
	}
	if at != "out" && !strings.HasPrefix(at, "out/") || path.IsAbs(target) {
		return refusef("output %s is a link to %s, which leaves out/", p, target)
	}
	content, err := c.writer.WriteContent(c.ctx, strings.NewReader(target))
	if err != nil {
		return fmt.Errorf("store output %s: %w", p, err)
	}
	return c.put(p, tree.Entry{Kind: tree.Symlink, Content: content})
}

// input finds the entry of an input by its path below in/.
func (c *collector) input(p string) (tree.Entry, error) {
	name, rest, _ := strings.Cut(p, "/")
	for _, in := range c.inputs {
		if in.Name != name {
			continue
		}
		for _, it := range in.Items {
			if it.Path == rest {
				return plain(it.Entry), nil
			}
			below, ok := rest, it.Path == ""
			if !ok {
				below, ok = strings.CutPrefix(rest, it.Path+"/")
			}
			if ok && it.Entry.Kind == tree.Dir {
				e, err := tree.Open(c.store, it.Entry.Dir).Lookup(c.ctx, below)
				return plain(e), err
			}
		}
	}
	return tree.Entry{}, fmt.Errorf("no input in/%s: %w", p, fs.ErrNotExist)
}

// plain returns e without what only its place in the input gave it.
func plain(e tree.Entry) tree.Entry {
	e.Attrs, e.Marker = tree.Attrs{}, nil
	return e
}

// openNoFollow opens a regular file for reading, and no other.
func openNoFollow(root *os.Root, p string) (*os.File, error) {
	f, err := root.OpenFile(filepath.FromSlash(p), os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, fmt.Errorf("%s is no regular file any more: %w", p, fs.ErrInvalid)
	}
	return f, nil
}
