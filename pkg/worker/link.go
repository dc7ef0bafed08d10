package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// errLeaves refuses a link that points out of where it may point.
var errLeaves = fmt.Errorf("it leaves its folder: %w", fs.ErrInvalid)

// linkInside returns where a relative link in the folder dir points, and
// refuses it unless that is home ("" for the root) or below. ".." may only
// stand in front: behind a name it means whatever that name is linked to, so
// that a chain of harmless links could lead out.
func linkInside(home, dir, target string) (string, error) {
	if path.IsAbs(target) {
		return "", fmt.Errorf("it is absolute: %w", fs.ErrInvalid)
	}
	words := strings.Split(target, "/")
	down := slices.IndexFunc(words, func(w string) bool { return w != ".." && w != "." && w != "" })
	if down >= 0 && slices.Contains(words[down:], "..") {
		return "", fmt.Errorf("it has .. behind a name: %w", fs.ErrInvalid)
	}
	at := path.Join(dir, target)
	if !below(at, home) {
		return "", errLeaves
	}
	return at, nil
}

// below reports whether the clean relative path at is home or below it.
func below(at, home string) bool {
	if at == ".." || strings.HasPrefix(at, "../") {
		return false
	}
	return home == "" || at == home || strings.HasPrefix(at, home+"/")
}

// readLink reads a link's target.
func readLink(ctx context.Context, r chunk.Reader, c chunk.Content) (string, error) {
	if c.Size == 0 || c.Size > tree.PathSizeMax {
		return "", refusef("link target of %d bytes: %w", c.Size, fs.ErrInvalid)
	}
	f, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, c.Size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return "", err
	}
	return string(b), nil
}

// linkHopsMax is how many links of an input are followed to find what an
// output link means; Linux follows as many.
const linkHopsMax = 40

// input finds what lies at the path p below in/, through the inputs' own
// links. The entry has no name. The error is the author's to mend if it is a
// refused.
func (c *collector) input(p string) (tree.Entry, error) {
	for range linkHopsMax {
		e, at, err := c.inputLink(p)
		if err != nil || e.Kind != tree.Symlink {
			return e, err
		}
		target, err := readLink(c.ctx, c.store, e.Content)
		if err != nil {
			return tree.Entry{}, err
		}
		name, _, _ := strings.Cut(at, "/")
		to, err := linkInside(name, path.Dir(at), target)
		if err != nil {
			return tree.Entry{}, refused{err}
		}
		p = path.Join(to, strings.TrimPrefix(p, at))
	}
	return tree.Entry{}, refusef("in/%s is a loop of links", p)
}

// inputLink finds the entry at p, or the first link on the way there, and
// returns it with its path.
func (c *collector) inputLink(p string) (tree.Entry, string, error) {
	e, err := c.lookup(p)
	if !errors.Is(err, fs.ErrNotExist) {
		return e, p, err
	}
	for i := range p {
		if p[i] != '/' {
			continue
		}
		e, lerr := c.lookup(p[:i])
		if lerr == nil && e.Kind == tree.Symlink {
			return e, p[:i], nil
		}
		if lerr != nil && !errors.Is(lerr, fs.ErrNotExist) {
			return e, p, lerr
		}
	}
	return tree.Entry{}, p, refusef("no input in/%s: %w", p, fs.ErrNotExist)
}

// partsBelow returns the items of inputs that lie below the folder in/p, by
// their paths relative to it; none if the folder lies in an item.
func (c *collector) partsBelow(p string) []task.Item {
	name, rest, _ := strings.Cut(p, "/")
	var parts []task.Item
	for _, in := range c.inputs {
		if in.Name != name {
			continue
		}
		for _, it := range in.Items {
			if it.Path != rest && below(it.Path, rest) {
				rel := strings.TrimPrefix(strings.TrimPrefix(it.Path, rest), "/")
				parts = append(parts, task.Item{Path: rel, Entry: it.Entry})
			}
		}
	}
	return parts
}

// lookup finds the entry that was laid out at the path p below in/.
func (c *collector) lookup(p string) (tree.Entry, error) {
	name, rest, _ := strings.Cut(p, "/")
	for _, in := range c.inputs {
		if in.Name != name {
			continue
		}
		for _, it := range in.Items {
			if it.Path == rest {
				return it.Entry, nil
			}
			inside, ok := rest, it.Path == ""
			if !ok {
				inside, ok = strings.CutPrefix(rest, it.Path+"/")
			}
			if ok && it.Entry.Kind == tree.Dir {
				return tree.Open(c.store, it.Entry.Dir).Lookup(c.ctx, inside)
			}
		}
	}
	return tree.Entry{}, fmt.Errorf("no input in/%s: %w", p, fs.ErrNotExist)
}
