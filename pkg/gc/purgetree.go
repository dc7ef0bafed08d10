package gc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// gatherer collects contents.
type gatherer struct {
	r    chunk.Reader
	into map[chunk.ID]int64
	any  bool // a path was there
}

func (g *gatherer) content(c chunk.Content) {
	if c.Size > 0 {
		g.into[c.ID] = c.Size
	}
}

// path collects what is at a path of a directory: a file, a directory, or both.
func (g *gatherer) path(ctx context.Context, root tree.Root, path string) error {
	t := tree.Open(g.r, root)
	path = strings.Trim(path, "/")
	if path == "" {
		return fmt.Errorf("purge of a whole repo: delete the repo instead: %w", tree.ErrNotFound)
	}
	e, err := t.Lookup(ctx, path)
	if err == nil && e.Kind != tree.Dir {
		g.any = true
		g.content(e.Content)
		e, err = t.Lookup(ctx, path+"/")
	}
	if errors.Is(err, tree.ErrNotFound) || errors.Is(err, repo.ErrExpired) {
		return nil
	}
	if err != nil {
		return err
	}
	g.any = true
	return g.dir(ctx, e)
}

func (g *gatherer) dir(ctx context.Context, dir tree.Entry) error {
	if dir.Marker != nil {
		g.content(dir.Marker.Content)
	}
	for e, err := range tree.Open(g.r, dir.Dir).Entries(ctx, "", "") {
		switch {
		case err != nil:
			return err
		case e.Kind == tree.Dir:
			err = g.dir(ctx, e)
		default:
			g.content(e.Content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finder finds contents in directories. Directories without them are looked
// at once.
type finder struct {
	r        chunk.Reader
	contents map[chunk.ID]int64
	clean    map[tree.ID]bool
}

func newFinder(r chunk.Reader, contents map[chunk.ID]int64) *finder {
	return &finder{r: r, contents: contents, clean: map[tree.ID]bool{}}
}

func (f *finder) has(c chunk.Content) bool {
	_, ok := f.contents[c.ID]
	return ok && c.Size > 0
}

// edits returns what removes the contents from a directory.
func (f *finder) edits(ctx context.Context, root tree.Root, prefix string) ([]tree.Edit, error) {
	if f.clean[root.ID] {
		return nil, nil
	}
	var edits []tree.Edit
	for e, err := range tree.Open(f.r, root).Entries(ctx, "", "") {
		if errors.Is(err, repo.ErrExpired) {
			break
		}
		if err != nil {
			return nil, err
		}
		path := prefix + e.Name
		if e.Kind != tree.Dir {
			if f.has(e.Content) {
				edits = append(edits, tree.Edit{Op: tree.Delete, Path: path})
			}
			continue
		}
		if e.Marker != nil && f.has(e.Marker.Content) {
			edits = append(edits, tree.Edit{Op: tree.Mark, Path: path})
		}
		below, err := f.edits(ctx, e.Dir, path+"/")
		if err != nil {
			return nil, err
		}
		edits = append(edits, below...)
	}
	if len(edits) == 0 {
		f.clean[root.ID] = true
	}
	return edits, nil
}

// version returns the version in the place of one, which it makes, with its
// ancestors, if need be. named says that it is of the repo whose paths go.
func (p *purge) version(ctx context.Context, named bool, id commit.ID) (commit.ID, error) {
	todo := []commit.ID{id}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		if _, ok := p.made[at]; ok {
			todo = todo[:len(todo)-1]
			continue
		}
		v, err := commit.Load(ctx, p.s, at)
		if err != nil {
			return commit.ID{}, err
		}
		ready := true
		for _, parent := range v.Parents {
			if _, ok := p.made[parent]; !ok {
				todo, ready = append(todo, parent), false
			}
		}
		if !ready {
			continue
		}
		todo = todo[:len(todo)-1]
		if p.made[at], err = p.make(ctx, named, at, v); err != nil {
			return commit.ID{}, fmt.Errorf("version %v: %w", at.Short(), err)
		}
	}
	return p.made[id], nil
}

// make makes one version anew, whose parents were seen to, or returns its own
// ID if nothing of it changes.
func (p *purge) make(ctx context.Context, named bool, id commit.ID, v commit.Commit) (commit.ID, error) {
	changed := false
	parents := make([]commit.ID, len(v.Parents))
	for i, parent := range v.Parents {
		parents[i] = p.made[parent]
		changed = changed || parents[i] != parent
	}
	v.Parents = parents
	edits, err := p.edits(ctx, named, v.Tree)
	if err != nil {
		return commit.ID{}, err
	}
	if len(edits) > 0 {
		changed = true
		if v.Tree, err = tree.Apply(ctx, p.s, v.Tree, edits); err != nil {
			return commit.ID{}, err
		}
	}
	if v.Prov != nil && v.Prov.Datums != nil && (named || p.o.Everywhere) {
		if edits, err = p.find.edits(ctx, *v.Prov.Datums, ""); err != nil {
			return commit.ID{}, err
		}
		if len(edits) > 0 {
			changed = true
			prov := *v.Prov
			table, err := tree.Apply(ctx, p.s, *prov.Datums, edits)
			if err != nil {
				return commit.ID{}, err
			}
			prov.Datums = &table
			v.Prov = &prov
		}
	}
	if !changed {
		return id, nil
	}
	p.rep.Versions++
	p.o.Progress(p.rep.Versions)
	if v, err = commit.Index(ctx, p.s, v); err != nil && !errors.Is(err, repo.ErrExpired) {
		return commit.ID{}, err
	}
	return commit.Save(ctx, p.s, v)
}

// edits returns what removes the paths, or with Everywhere the contents too.
func (p *purge) edits(ctx context.Context, named bool, root tree.Root) ([]tree.Edit, error) {
	var edits []tree.Edit
	if named {
		t := tree.Open(p.s, root)
		for _, path := range p.o.Paths {
			path = strings.Trim(path, "/")
			for _, form := range []struct {
				path string
				op   tree.EditOp
			}{{path, tree.Delete}, {path + "/", tree.DeleteDir}} {
				e, err := t.Find(ctx, form.path)
				if errors.Is(err, repo.ErrExpired) {
					break
				}
				if err != nil {
					return nil, err
				}
				if e != nil {
					edits = append(edits, tree.Edit{Op: form.op, Path: path})
				}
			}
		}
	}
	if !p.o.Everywhere {
		return edits, nil
	}
	more, err := p.find.edits(ctx, root, "")
	return append(more, edits...), err
}

// elsewhere names other places that hold the contents.
func (p *purge) elsewhere(ctx context.Context) error {
	if p.o.Everywhere {
		return nil
	}
	said := map[Holding]bool{}
	hold := func(name, ref, path string) {
		h := Holding{name, ref, path}
		if !said[h] && len(p.rep.Else) < holdingsMax {
			said[h] = true
			p.rep.Else = append(p.rep.Else, h)
		}
	}
	for _, h := range places(p.root) {
		head := h.commit
		if to, ok := p.made[head]; ok {
			head = to
		}
		for e, err := range commit.Log(ctx, p.s, head, commit.LogOptions{}) {
			if err != nil {
				return err
			}
			for _, root := range e.Commit.Trees() {
				edits, err := p.find.edits(ctx, root, "")
				if err != nil {
					return err
				}
				for _, x := range edits {
					hold(h.repo, h.ref, x.Path)
				}
			}
		}
	}
	return p.elsewhereOpen(ctx, hold)
}

// elsewhereOpen does so of writes that are not sealed.
func (p *purge) elsewhereOpen(ctx context.Context, hold func(name, ref, path string)) error {
	for _, key := range slices.Sorted(maps.Keys(p.root.Open)) {
		name, branch, _ := strings.Cut(key, "@")
		o := p.root.Open[key]
		for i, root := range o.Trees() {
			edits, err := p.find.edits(ctx, root, "")
			if err != nil {
				return err
			}
			for _, x := range edits {
				path := x.Path
				if i > 0 || o.Tree == nil { // a batch: what was put has a directory of its own
					_, path, _ = strings.Cut(path, "/")
				}
				hold(name, branch, path)
			}
		}
	}
	return nil
}

// memos writes the memo segments anew without the records whose outputs or
// logs have the contents.
func (p *purge) memos(ctx context.Context) (repo.Attachments, error) {
	var a repo.Attachments
	for _, key := range p.root.Memo {
		var kept []memo.Record
		dropped := int64(0)
		err := eachRecord(ctx, p.d.Objects(), key, func(r memo.Record) error {
			edits, err := p.find.edits(ctx, r.Output, "")
			if err != nil {
				return err
			}
			if len(edits) > 0 || p.find.has(r.Log) {
				dropped++
			} else {
				kept = append(kept, r)
			}
			return nil
		})
		if err != nil {
			return a, err
		}
		if dropped == 0 {
			continue
		}
		p.rep.Memo += dropped
		a.DropMemo = append(a.DropMemo, key)
		if len(kept) == 0 || p.o.DryRun {
			continue
		}
		add, err := p.putMemo(ctx, kept)
		if err != nil {
			return a, err
		}
		a.AddMemo = append(a.AddMemo, add)
	}
	return a, nil
}

func (p *purge) putMemo(ctx context.Context, records []memo.Record) (string, error) {
	b, err := memo.EncodeSegment(records)
	if err != nil {
		return "", err
	}
	op, err := p.d.NewOp()
	if err != nil {
		return "", err
	}
	key := repo.AttachedKey("memo", p.root.Gen, op)
	if _, err := p.d.Objects().Put(ctx, key, objstore.Bytes(b), objstore.Condition{IfAbsent: true}); err != nil {
		return "", fmt.Errorf("write memo segment: %w", err)
	}
	return key, nil
}
