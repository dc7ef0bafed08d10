package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// chainMax is how many copies of roots a check follows back: more than a root
// remembers operations, so every one of these is looked at.
const chainMax = 300

// checkChain follows the copies of roots back from the root, by their hashes.
// It ends where retention has removed them.
func (c *checker) checkChain(ctx context.Context) error {
	want, key := repo.Hash{}, repo.RootCopyKey(c.root)
	expect, err := repo.EncodeRoot(c.root)
	if err != nil {
		return err
	}
	at := c.root
	for n := range chainMax {
		var b []byte
		err := c.f.again(ctx, key, func() (err error) {
			b, _, err = objstore.ReadAll(ctx, c.objects, key, objstore.Range{}, repo.RootSizeMax)
			return err
		})
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			if n == 0 {
				c.f.add(noCopy(c.root))
			}
			return nil
		case err == nil && n == 0 && !bytes.Equal(b, expect):
			err = fmt.Errorf("it is not what the root is: %w", chunk.ErrCorrupt)
		case err == nil && n > 0 && repo.HashRoot(b) != want:
			err = fmt.Errorf("generation %d names another predecessor: %w", at.Gen, chunk.ErrCorrupt)
		}
		var r *repo.Root
		if err == nil {
			r, err = repo.DecodeRoot(b)
		}
		if err != nil {
			c.f.add(Finding{Severity: severityOf(err), Kind: BadRootCopy, Object: key, Detail: err.Error()})
			return nil
		}
		at, want = r, r.Prev
		if key = previousCopy(r); key == "" {
			return nil
		}
	}
	return nil
}

// noCopy is the finding that a root has no copy. Collection keeps the current
// one's; but a backup of a root that only wrote to open commits may have come
// too late for its copy.
func noCopy(r *repo.Root) Finding {
	f := Finding{Severity: Damage, Kind: BadRootCopy, Object: repo.RootCopyKey(r), Detail: "the copy of the root itself is not there"}
	if op, ok := r.FindOp(r.Op); ok && op.Open {
		f.Severity = Notice
		f.Detail += "; it only wrote to open commits, and such copies are kept for " + openRootsFor.String()
	}
	return f
}

// previousCopy returns the key of the copy of the root before r, if r says
// which operation made it.
func previousCopy(r *repo.Root) string {
	for _, o := range r.Ops {
		if o.Gen == r.Gen-1 {
			return repo.RootCopyKey(&repo.Root{Gen: o.Gen, Op: o.Op})
		}
	}
	return ""
}

// place is where a version has a name.
type place struct {
	repo, ref string
	commit    commit.ID
}

// specsPrefix is before the branch of a pipeline's spec; no ref has a colon.
const specsPrefix = "spec:"

// places lists the names of a root.
func places(root *repo.Root) []place {
	var all []place
	add := func(repo, ref string, id commit.ID) {
		if !id.IsZero() {
			all = append(all, place{repo, ref, id})
		}
	}
	for name, r := range root.Repos {
		for ref, b := range r.Branches {
			add(name, ref, b.Commit)
		}
		for ref, t := range r.Tags {
			add(name, ref, t.Commit)
		}
		for ref, s := range r.Specs {
			add(name, specsPrefix+ref, s.Commit)
		}
	}
	for _, p := range root.Pins {
		add("", "pin", p.Commit)
	}
	return all
}

// checkNames looks whether the versions that have names are indexed.
func (c *checker) checkNames() error {
	for _, p := range places(c.root) {
		id := chunk.ID(p.commit)
		if _, _, ok := c.inv.Find(chunk.Commit, &id); !ok {
			c.f.add(Finding{
				Severity: Damage, Kind: MissingChunk, Repo: p.repo, Ref: p.ref, Commit: p.commit,
				Chunk: "commit " + id.String(), Detail: errAbsent.Error(),
			})
		}
	}
	return nil
}
