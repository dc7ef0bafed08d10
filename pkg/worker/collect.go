package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// collector stores what a program wrote.
type collector struct {
	ctx    context.Context //nolint:containedctx // of one call: a walker lives no longer
	task   string          // the task's folder, as the program saw it, with slashes
	at     string          // the output folder in it, with slashes
	home   string          // where the program worked, with slashes: in is there too
	out    *os.Root
	store  chunk.Store
	writer *chunk.Writer
	inputs []task.Input
	build  *tree.Builder
	none   tree.Root // the directory without entries, once it was needed
	bytes  int64
	most   int64    // bytes that may be stored; 0: any number
	files  []string // the names in out, if all are files
	deep   bool     // not all are
}

// errTooMuch reports that a program wrote more than it may store.
var errTooMuch = errors.New("it wrote too much")

// collect stores the folder at in the folder dir of the task t, whose program
// worked in the folder home, as a tree whose entries carry no attributes, and
// returns it with its bytes. Nothing is followed out of it, except links to
// inputs, which become those inputs. Stored files are removed if there is
// nothing else; bare reports whether out is empty then, and as it was before
// the program ran.
func collect(ctx context.Context, home, dir, at string, t task.Task, s chunk.Store, w *chunk.Writer) (root tree.Root, bytes int64, bare bool, err error) {
	c := &collector{
		ctx: ctx, task: filepath.ToSlash(dir), at: filepath.ToSlash(at), home: filepath.ToSlash(home), store: s, writer: w, inputs: t.Inputs, most: t.MaxOutput,
		build: tree.NewBuilder(s),
	}
	bare, ok, err := c.flat(filepath.Join(dir, at))
	if !ok && err == nil {
		c.build, c.bytes = tree.NewBuilder(s), 0
		bare, err = c.any(filepath.Join(dir, at))
	}
	if err != nil {
		return tree.Root{}, 0, false, err
	}
	if root, err = c.build.Finish(ctx); err != nil {
		return tree.Root{}, 0, false, fmt.Errorf("store outputs: %w", err)
	}
	return root, c.bytes, bare, nil
}

// any stores an output folder, whatever is in it, and reports whether it is
// empty then, and as it was.
func (c *collector) any(name string) (bare bool, err error) {
	out, plain, err := openOut(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = out.Close() }()
	c.out = out
	if _, err := c.dir(""); err != nil {
		return false, err
	}
	return plain && c.remove(), nil
}

// remove removes what was stored, and reports whether out is empty. What it
// leaves is removed before the next task.
func (c *collector) remove() bool {
	for _, name := range c.files {
		if c.deep || c.out.Remove(name) != nil {
			return false
		}
	}
	return !c.deep
}

// openOut opens the output folder, unless the program put something else in
// its place. It is plain if the program left it its mode.
func openOut(dir string) (out *os.Root, plain bool, err error) {
	before, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, refusef("the program removed the folder out")
	}
	if err != nil {
		return nil, false, fmt.Errorf("store outputs: %w", err)
	}
	if !before.IsDir() {
		return nil, false, refusef("the program replaced the folder out by a %s", kindOf(before.Mode()))
	}
	out, err = os.OpenRoot(dir)
	if err != nil {
		return nil, false, unreadable("folder", "", err)
	}
	if now, err := out.Stat("."); err != nil || !os.SameFile(before, now) {
		_ = out.Close()
		return nil, false, refusef("the folder out was replaced while it was stored")
	}
	return out, before.Mode().Perm() == 0o755, nil
}

// unreadable reports that an output can't be read: the program's doing if it
// took the right to.
func unreadable(kind, p string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return refusef("output %s out/%s can't be read: %w", kind, p, fs.ErrPermission)
	}
	return fmt.Errorf("store output out/%s: %w", p, err)
}

// dir collects the folder p ("" for out itself) and returns how many entries it
// has.
func (c *collector) dir(p string) (int, error) {
	f, err := c.out.Open(filepath.FromSlash(cmp.Or(p, ".")))
	if err != nil {
		return 0, unreadable("folder", p, err)
	}
	entries, err := f.ReadDir(-1)
	_ = f.Close()
	if err != nil {
		return 0, unreadable("folder", p, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(key(a), key(b)) })
	for _, e := range entries {
		if err := c.ctx.Err(); err != nil {
			return 0, err
		}
		at := path.Join(p, e.Name())
		if err := tree.CheckName(e.Name()); err != nil {
			return 0, refusef("output %q: %w", at, err)
		}
		if err := tree.CheckPath(at); err != nil {
			return 0, refusef("output out/%.200s: %w", at, err)
		}
		if err := c.entry(at); err != nil {
			return 0, err
		}
		if p == "" {
			c.files, c.deep = append(c.files, e.Name()), c.deep || e.IsDir()
		}
	}
	return len(entries), nil
}

// key is what the entries of a tree are sorted by.
func key(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// entry collects one name.
func (c *collector) entry(p string) error {
	info, err := c.out.Lstat(filepath.FromSlash(p))
	if err != nil {
		return unreadable("entry", p, err)
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
		return c.put(p, tree.Entry{Kind: tree.Dir})
	default:
		return refusef("output out/%s is a %s; only files, directories and links are stored", p, kindOf(info.Mode()))
	}
}

// kindOf names what a file is, for people.
func kindOf(m fs.FileMode) string {
	switch t := m.Type(); {
	case t == 0:
		return "file"
	case t&fs.ModeSymlink != 0:
		return "link"
	case t&fs.ModeNamedPipe != 0:
		return "named pipe"
	case t&fs.ModeSocket != 0:
		return "socket"
	case t&fs.ModeDevice != 0:
		return "device"
	default:
		return "special file"
	}
}

// put adds an entry without what only its former place gave it, and of a
// directory without what is below it.
func (c *collector) put(p string, e tree.Entry) error {
	e.Attrs, e.Marker = tree.Attrs{}, nil
	if e.Kind == tree.Dir {
		if c.none.ID.IsZero() {
			none, err := tree.Empty(c.ctx, c.store)
			if err != nil {
				return fmt.Errorf("store output out/%s: %w", p, err)
			}
			c.none = none
		}
		e.Dir = c.none
	}
	if err := c.build.Add(c.ctx, p, e); err != nil {
		return fmt.Errorf("store output out/%s: %w", p, err)
	}
	return nil
}

// file stores a regular file.
func (c *collector) file(p string, info fs.FileInfo) error {
	f, err := c.out.OpenFile(filepath.FromSlash(p), os.O_RDONLY|openFlags, 0)
	if err != nil {
		return unreadable("file", p, err)
	}
	defer func() { _ = f.Close() }()
	// A name that became a link since would have been followed: not that file.
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return refusef("output out/%s was replaced while it was stored", p)
	}
	if c.most > 0 && info.Size() > c.most-c.bytes {
		return refusef("%w: with out/%s it is more than the %d bytes that datum.max_output allows", errTooMuch, p, c.most)
	}
	content, err := c.writer.WriteContent(c.ctx, f)
	if err != nil {
		return fmt.Errorf("store output out/%s: %w", p, err)
	}
	c.bytes += content.Size
	return c.put(p, tree.Entry{Kind: tree.File, Exec: info.Mode()&0o100 != 0, Content: content})
}

// link stores a link, or the input that it points at.
func (c *collector) link(p string) error {
	target, err := c.out.Readlink(filepath.FromSlash(p))
	if err != nil {
		return unreadable("link", p, err)
	}
	target = filepath.ToSlash(target)
	at, err := c.pointsAt(p, target)
	if err != nil {
		return refusef("output out/%s is a link to %q: %w", p, target, err)
	}
	if in, ok := strings.CutPrefix(at, "in/"); ok {
		return c.graft(p, target, in)
	}
	if !below(at, c.at) {
		return refusef("output out/%s is a link to %q, which is neither in out nor an input", p, target)
	}
	if path.IsAbs(target) { // keep what it means, not where this task's folder was
		if target, err = relative(path.Dir(path.Join(c.at, p)), at); err != nil {
			return fmt.Errorf("store output out/%s: %w", p, err)
		}
	}
	content, err := c.writer.WriteContent(c.ctx, strings.NewReader(target))
	if err != nil {
		return fmt.Errorf("store output out/%s: %w", p, err)
	}
	return c.put(p, tree.Entry{Kind: tree.Symlink, Content: content})
}

// pointsAt returns where the link p in out points, relative to the task's
// folder, in which out and in lie side by side.
func (c *collector) pointsAt(p, target string) (string, error) {
	if !path.IsAbs(target) {
		return linkInside("", path.Dir(path.Join(c.at, p)), target)
	}
	rel, ok := strings.CutPrefix(target, c.task+"/")
	if !ok && strings.HasPrefix(target, c.home+"/in/") { // where there is a link to the inputs
		rel, ok = strings.CutPrefix(target, c.home+"/")
	}
	if !ok {
		return "", errLeaves
	}
	return linkInside("", ".", rel)
}

// relative returns the path to at from the folder dir, both relative to the
// task's folder.
func relative(dir, at string) (string, error) {
	rel, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(at))
	return filepath.ToSlash(rel), err
}

// graft puts the input at the path in below in/ in the place of the link p.
func (c *collector) graft(p, target, in string) error {
	parts := c.partsBelow(in)
	if len(parts) == 0 {
		e, err := c.input(in)
		var r refused
		if errors.As(err, &r) {
			return refusef("output out/%s is a link to %q: %w", p, target, err)
		}
		if err != nil {
			return fmt.Errorf("store output out/%s: %w", p, err)
		}
		return c.graftEntry(p, e)
	}
	for _, it := range parts {
		if err := c.graftEntry(path.Join(p, it.Path), it.Entry); err != nil {
			return err
		}
	}
	return nil
}

// graftEntry puts an entry of an input at p, a directory entry by entry, for
// the attributes and markers in it are the input's.
func (c *collector) graftEntry(p string, e tree.Entry) error {
	if err := c.graftOne(p, e); err != nil || e.Kind != tree.Dir {
		return err
	}
	for e, err := range tree.Open(c.store, e.Dir).Walk(c.ctx, tree.WalkOptions{Dirs: true}) {
		if err != nil {
			return fmt.Errorf("store output out/%s: %w", p, err)
		}
		if err := c.graftOne(path.Join(p, e.Path), e.Entry); err != nil {
			return err
		}
	}
	return nil
}

// graftOne puts an entry of an input at p, without what is below it.
func (c *collector) graftOne(p string, e tree.Entry) error {
	if err := tree.CheckPath(p); err != nil {
		return refusef("output out/%.200s: %w", p, err)
	}
	if e.Kind == tree.Symlink {
		target, err := readLink(c.ctx, c.store, e.Content)
		if err != nil {
			return fmt.Errorf("store output out/%s: %w", p, err)
		}
		if _, err := linkInside("", path.Dir(p), target); err != nil {
			return refusef("output out/%s, in a linked input, is a link to %q: %w", p, target, err)
		}
	}
	return c.put(p, e)
}
