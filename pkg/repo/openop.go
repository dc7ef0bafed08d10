package repo

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ErrOpen is the error for a change of a branch that has writes which are not
// sealed. It wraps ErrConflict: nothing was changed.
var ErrOpen = fmt.Errorf("branch has writes that are not sealed yet: %w", ErrConflict)

// Seal makes the writes of a branch's open commit its next version. A branch
// without any stays as it is. It stands alone in its transaction.
type Seal struct{ Repo, Branch string }

// appendOpen adds a batch to the open commit of a branch, which it opens if
// there is none.
type appendOpen struct {
	Repo, Branch string
	Who          []string // principals whose writes it has
	Batch        OpenBatch
	Expect       *openAt // nil: whatever was written meanwhile
}

// openAt is a state of the growing end of a branch.
type openAt struct {
	Base commit.ID
	Gen  uint64 // of the last write; zero: none
}

// foldOpen replaces the first batches of an open commit by one, or folds them
// into its tree. Where they are not its first any more it does nothing.
type foldOpen struct {
	Repo, Branch string
	Base         commit.ID
	Old          *tree.Root // the open commit's tree, which must not have changed
	Below        tree.Root  // what Tree was made from: Old, or the base's tree
	From         []tree.ID  // the batches
	To           *OpenBatch // that come in their place, or
	Tree         *tree.Root // the tree with them
}

// sealOpen makes To the branch's commit: it has what was written up to Gen.
type sealOpen struct {
	Repo, Branch string
	Base         commit.ID
	Gen          uint64
	Writes       int64
	Tree         *tree.Root // what the batches are applied to
	To           commit.ID  // Base if nothing changed
}

func (Seal) op()       {}
func (appendOpen) op() {}
func (foldOpen) op()   {}
func (sealOpen) op()   {}

// openOnly reports whether a transaction does nothing but write to open
// commits: of such a root only the last few are remembered.
func openOnly(t Txn) bool {
	for _, op := range t.Ops {
		switch op.(type) {
		case appendOpen, foldOpen:
		default:
			return false
		}
	}
	return len(t.Ops) > 0
}

// sealed fails with ErrOpen if the branch has an open commit.
func (c *change) sealed(repo, branch string) error {
	if o, ok := c.root.Open[OpenKey(repo, branch)]; ok {
		return fmt.Errorf("%s@%s has %d of them: %w", repo, branch, o.Writes, ErrOpen)
	}
	return nil
}

// setOpen changes the map of open commits, of which the root gets its own.
func (c *change) setOpen(key string, o *OpenCommit) {
	if !c.ownOpen {
		c.root.Open, c.ownOpen = maps.Clone(c.root.Open), true
	}
	if o == nil {
		delete(c.root.Open, key)
		if len(c.root.Open) == 0 {
			c.root.Open = nil
		}
		return
	}
	if c.root.Open == nil {
		c.root.Open = map[string]OpenCommit{}
	}
	c.root.Open[key] = *o
	c.feature(openCommits)
}

// branch returns a branch that is there.
func (c *change) branch(repo, name string) (Branch, error) {
	r, ok := c.root.Repos[repo]
	if !ok {
		return Branch{}, fmt.Errorf("repo %.80q: %w", repo, ErrRepoNotFound)
	}
	b, ok := r.Branches[name]
	if !ok {
		return Branch{}, fmt.Errorf("branch %s@%.300s: %w", repo, name, ErrRefNotFound)
	}
	return b, nil
}

func (c *change) appendOpen(op appendOpen) error {
	b, err := c.branch(op.Repo, op.Branch)
	if err != nil {
		return err
	}
	for _, who := range op.Who {
		if err := allowed(op.Repo, op.Branch, b, auth.Principal{Name: who}); err != nil {
			return err
		}
	}
	key, now := OpenKey(op.Repo, op.Branch), commit.Stamp(c.env.Now)
	o, ok := c.root.Open[key]
	if e := op.Expect; e != nil && (e.Base != b.Commit || e.Gen != o.Gen) {
		return fmt.Errorf("%s was written to meanwhile: %w", key, ErrConflict)
	}
	if !ok {
		if len(c.root.Open) >= OpenMax {
			// A group that is built anew tells which of its branches is one too many.
			return fmt.Errorf("%d branches have writes that are not sealed: %w", OpenMax, ErrConflict)
		}
		o = OpenCommit{Base: b.Commit, Since: now, Last: now}
	}
	if len(o.Batches) >= OpenBatchesMax {
		return fmt.Errorf("%s has %d batches of writes, which nobody has merged: %w", key, len(o.Batches), ErrConflict)
	}
	o.Batches = append(slices.Clip(o.Batches), op.Batch)
	o.Writes += op.Batch.Writes
	o.Gen = c.root.Gen
	if now.After(o.Last) { // clocks of replicas differ
		o.Last = now
	}
	if len(op.Who) > 0 {
		o.By = op.Who[len(op.Who)-1]
	}
	c.setOpen(key, &o)
	return nil
}

func (c *change) foldOpen(op foldOpen) error {
	key := OpenKey(op.Repo, op.Branch)
	o, ok := c.root.Open[key]
	if !ok || o.Base != op.Base || !o.startsWith(op.From) {
		return nil
	}
	rest := o.Batches[len(op.From):]
	if op.To != nil {
		o.Batches = append([]OpenBatch{*op.To}, rest...)
	} else {
		if !sameTree(o.Tree, op.Old) {
			return nil
		}
		o.Tree, o.Batches = op.Tree, slices.Clone(rest)
	}
	c.setOpen(key, &o)
	return nil
}

func sameTree(a, b *tree.Root) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// sealOpen moves the branch. Writes that came after Gen stay open, on top of
// the new commit: each says what a path is, so that they may be applied once
// more to a tree that some of them are in.
func (c *change) sealOpen(op sealOpen) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	key := OpenKey(op.Repo, op.Branch)
	o, ok := c.root.Open[key]
	b := r.Branches[op.Branch]
	if !ok || o.Base != op.Base || b.Commit != op.Base {
		return fmt.Errorf("%s was sealed by another: %w", key, ErrConflict)
	}
	if o.Gen == op.Gen {
		c.setOpen(key, nil)
	} else {
		if o.Tree == nil {
			o.Tree = op.Tree
		}
		o.Base, o.Since = op.To, o.Last
		o.Writes = max(1, o.Writes-op.Writes)
		c.setOpen(key, &o)
	}
	if op.To == op.Base {
		return nil
	}
	b.Commit, b.Gen = op.To, c.root.Gen
	r.Branches[op.Branch] = b
	c.put(op.Repo, r)
	c.moved(op.Repo, op.Branch, op.To)
	return nil
}

// openOpsMax is how many operations on open commits a root remembers: as many
// as may come while the answer to one is awaited. They are the first to go.
const openOpsMax = 64

// remember returns the operations of a root after rec.
func remember(ops []OpRecord, rec OpRecord) []OpRecord {
	all := append(slices.Clip(ops), rec)
	open := 0
	for _, o := range all {
		if o.Open {
			open++
		}
	}
	if open > openOpsMax {
		first := slices.IndexFunc(all, func(o OpRecord) bool { return o.Open })
		all = slices.Delete(slices.Clone(all), first, first+1)
	}
	return all[max(0, len(all)-OpsMax):]
}
