package proof

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// seen is what a client remembers of the root that it read last.
type seen struct {
	gen  uint64
	hash repo.Hash

	collected bool // copies of older roots may be gone
}

// audit reads all that a store's root names, and holds it against its digests
// and its neighbours. A client that remembers a root also notices an older one.
func audit(ctx context.Context, objects objstore.Store, last seen) (seen, error) {
	d, err := repo.OpenDirect(ctx, objects, options(1))
	if err != nil {
		return seen{}, err
	}
	defer d.Close()
	root, now, err := auditRoot(ctx, objects, last)
	if err != nil {
		return seen{}, err
	}
	if err := auditPacks(ctx, d, root); err != nil {
		return seen{}, err
	}
	if err := auditRefs(ctx, d, root); err != nil {
		return seen{}, err
	}
	return now, nil
}

// auditRoot reads the root and the copies of all roots before it.
func auditRoot(ctx context.Context, objects objstore.Store, last seen) (*repo.Root, seen, error) {
	b, _, err := objstore.ReadAll(ctx, objects, "root", objstore.Range{}, repo.RootSizeMax)
	if err != nil {
		return nil, seen{}, err
	}
	root, err := repo.DecodeRoot(b)
	if err != nil {
		return nil, seen{}, err
	}
	now := seen{gen: root.Gen, hash: repo.HashRoot(b)}
	if now.gen < last.gen || now.gen == last.gen && now.hash != last.hash {
		return nil, seen{}, fmt.Errorf("the root is at %d %v, but was at %d %v", now.gen, now.hash, last.gen, last.hash)
	}
	r, want := root, now.hash
	for {
		copied, _, err := objstore.ReadAll(ctx, objects, fmt.Sprintf("roots/%016x-%v", r.Gen, r.Op), objstore.Range{}, repo.RootSizeMax)
		if last.collected && r.Gen < now.gen && errors.Is(err, objstore.ErrNotFound) {
			return root, now, nil
		}
		if err != nil {
			return nil, seen{}, err
		}
		if repo.HashRoot(copied) != want {
			return nil, seen{}, fmt.Errorf("the copy of root %d is another", r.Gen)
		}
		if r, err = repo.DecodeRoot(copied); err != nil {
			return nil, seen{}, err
		}
		if want = r.Prev; want.IsZero() {
			return root, now, nil
		}
		// The one before is known by the operations that this one remembers.
		if len(r.Ops) < 2 {
			return root, now, nil
		}
		before := r.Ops[len(r.Ops)-2]
		r = &repo.Root{Gen: before.Gen, Op: before.Op}
	}
}

// auditPacks decodes every segment and pack of the index, all chunks included.
func auditPacks(ctx context.Context, d *repo.Direct, root *repo.Root) error {
	var keys []string
	for _, s := range root.Segments {
		info, err := d.Packs().VerifySegment(ctx, s.Key)
		if err != nil {
			return err
		}
		if int64(info.Chunks) != s.Chunks {
			return fmt.Errorf("segment %s has %d chunks, the root says %d", s.Key, info.Chunks, s.Chunks)
		}
		keys = append(keys, s.Key)
	}
	snap, err := d.Packs().Snapshot(ctx, keys)
	if err != nil {
		return err
	}
	for p, err := range snap.Packs(ctx) {
		if err != nil {
			return err
		}
		f, err := d.Packs().VerifyPack(ctx, p.Key)
		if err != nil {
			return err
		}
		if now := (pack.PackInfo{Key: f.Key, Size: f.Size, Meta: f.Meta, Chunks: len(f.Entries), Sum: f.Sum}); now != p {
			return fmt.Errorf("pack %s is %+v, the index says %+v", p.Key, now, p)
		}
	}
	for at, err := range snap.Chunks(ctx) {
		if err != nil {
			return err
		}
		if _, err := snap.Get(ctx, at.Kind, at.ID); err != nil {
			return err
		}
	}
	return nil
}

// auditRefs walks all that names reach, and recomputes every digest and total.
func auditRefs(ctx context.Context, d *repo.Direct, root *repo.Root) error {
	r, err := d.ReadAny(ctx)
	if err != nil {
		return err
	}
	commits, chunks := map[commit.ID]bool{}, map[chunk.ID]bool{}
	visited := func(id chunk.ID) bool {
		was := chunks[id]
		chunks[id] = true
		return was
	}
	for name, rp := range root.Repos {
		for _, head := range heads(rp) {
			for e, err := range commit.Log(ctx, r, head, commit.LogOptions{}) {
				if err != nil {
					return fmt.Errorf("history of %s: %w", name, err)
				}
				if commits[e.ID] {
					break
				}
				commits[e.ID] = true
				if err := commit.CheckParents(ctx, r, e.Commit); err != nil {
					return err
				}
				if err := tree.Verify(ctx, r, e.Commit.Tree); err != nil {
					return err
				}
				err := tree.Visit(ctx, r, e.Commit.Tree, visited, func(k chunk.Kind, id chunk.ID) error {
					_, err := r.Get(ctx, k, id)
					return err
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func heads(r repo.Repo) []commit.ID {
	var ids []commit.ID
	add := func(id commit.ID) {
		if !id.IsZero() {
			ids = append(ids, id)
		}
	}
	for _, b := range r.Branches {
		add(b.Commit)
	}
	for _, b := range r.Specs {
		add(b.Commit)
	}
	for _, tag := range r.Tags {
		add(tag.Commit)
	}
	return ids
}

// sameFiles reads files of a store and compares them. Files that cannot be
// read are refused, not wrong.
func sameFiles(ctx context.Context, s repo.Store, files map[string]string) (refused int, err error) {
	for expr, want := range files {
		got, err := read(ctx, s, expr)
		switch {
		case err != nil:
			refused++
		case got != want:
			return refused, fmt.Errorf("%s reads as %d wrong bytes, %.40q", expr, len(got), got)
		}
	}
	return refused, nil
}

var errUndetected = errors.New("undetected")

// kindOf names the kind of an object by its key.
func kindOf(key string) string {
	kind, _, _ := strings.Cut(key, "/")
	return kind
}
