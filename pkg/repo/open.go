package repo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// OpenCommit is the growing end of a branch: writes that its readers see and
// that are not a version yet. What readers see is Tree (the base's own if it
// is nil) with the batches applied one after another. Sealing makes it the
// branch's next commit.
type OpenCommit struct {
	Base    commit.ID   // the branch's commit; zero if it is empty
	Tree    *tree.Root  // base's tree with the writes that were folded in; nil if none were
	Batches []OpenBatch // the writes since, oldest first: at most OpenBatchesMax
	Writes  int64       // since it was opened
	Since   time.Time   // of the first write
	Last    time.Time   // of the last write
	Gen     uint64      // of the root that the last write made
	By      string      // principal of the last write
}

// OpenBatch is a set of writes that were made together, as a directory: under
// "put" the files, links and markers that were written, each at its path, and
// under "del" an empty file or marker at each path that was removed.
type OpenBatch struct {
	Tree   tree.Root `json:"tree"`
	Writes int64     `json:"writes"` // paths
}

// Limits of open commits.
const (
	OpenMax        = 1024 // open commits of a store
	OpenBatchesMax = 64   // batches of one; writers merge them long before

	openCompact = 16   // batches from which a writer merges them
	openFold    = 4096 // writes from which it folds them into nodes
)

// OpenKey is how a root and a [View] name the open commit of a branch.
func OpenKey(repo, branch string) string { return repo + "@" + branch }

// splitOpenKey reads what OpenKey makes.
func splitOpenKey(key string) (repo, branch string) {
	repo, branch, _ = strings.Cut(key, "@")
	return repo, branch
}

// Trees returns the directories that the open commit is made of: everything
// that must be kept for it, besides its base.
func (o *OpenCommit) Trees() []tree.Root {
	var all []tree.Root
	if o.Tree != nil {
		all = append(all, *o.Tree)
	}
	for _, b := range o.Batches {
		all = append(all, b.Tree)
	}
	return all
}

// batchIDs returns the storage IDs of the batches.
func (o *OpenCommit) batchIDs() []tree.ID {
	ids := make([]tree.ID, len(o.Batches))
	for i, b := range o.Batches {
		ids[i] = b.Tree.ID
	}
	return ids
}

// pending returns how many writes the batches hold.
func (o *OpenCommit) pending() int64 {
	n := int64(0)
	for _, b := range o.Batches {
		n += b.Writes
	}
	return n
}

// startsWith reports whether the first batches are those of the given IDs.
func (o *OpenCommit) startsWith(ids []tree.ID) bool {
	return len(ids) <= len(o.Batches) && slices.Equal(ids, o.batchIDs()[:len(ids)])
}

// openWire is an OpenCommit in JSON.
type openWire struct {
	Base    commit.ID   `json:"base"`
	Tree    *tree.Root  `json:"tree,omitempty"`
	Batches []OpenBatch `json:"batches"`
	Writes  int64       `json:"writes"`
	Since   string      `json:"since"`
	Last    string      `json:"last"`
	Gen     uint64      `json:"gen"`
	By      string      `json:"by,omitempty"`
}

// MarshalJSON spells times as every format of dvx does.
func (o OpenCommit) MarshalJSON() ([]byte, error) {
	w := openWire{Base: o.Base, Tree: o.Tree, Batches: o.Batches, Writes: o.Writes, Gen: o.Gen, By: o.By}
	var err error
	if w.Since, err = commit.FormatTime(o.Since); err != nil {
		return nil, err
	}
	if w.Last, err = commit.FormatTime(o.Last); err != nil {
		return nil, err
	}
	if w.Batches == nil {
		w.Batches = []OpenBatch{}
	}
	return commit.CanonicalJSON(w)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *OpenCommit) UnmarshalJSON(b []byte) error {
	var w openWire
	if err := commit.StrictJSON(b, &w); err != nil {
		return err
	}
	since, err := commit.ParseTime(w.Since)
	if err != nil {
		return err
	}
	last, err := commit.ParseTime(w.Last)
	if err != nil {
		return err
	}
	*o = OpenCommit{Base: w.Base, Tree: w.Tree, Batches: w.Batches, Writes: w.Writes, Since: since, Last: last, Gen: w.Gen, By: w.By}
	return nil
}

// checkOpen holds the rules for open commits.
func (r *Root) checkOpen() error {
	if !slices.Contains(r.Features, openCommits) {
		if len(r.Open) > 0 || r.hasSealing() {
			return invalid("open commits without the feature %s", openCommits)
		}
		return nil
	}
	if len(r.Open) > OpenMax {
		return invalid("%d open commits exceed the limit of %d", len(r.Open), OpenMax)
	}
	for key, o := range r.Open {
		if err := r.checkOneOpen(key, &o); err != nil {
			return fmt.Errorf("open commit %.320q: %w", key, err)
		}
	}
	return nil
}

// hasSealing reports whether a branch says when it is sealed.
func (r *Root) hasSealing() bool {
	for _, repo := range r.Repos {
		for _, b := range repo.Branches {
			if b.Seal != nil {
				return true
			}
		}
	}
	return false
}

func (r *Root) checkOneOpen(key string, o *OpenCommit) error {
	repo, branch := splitOpenKey(key)
	b, ok := r.Repos[repo].Branches[branch]
	switch {
	case !ok:
		return invalid("there is no such branch")
	case o.Base != b.Commit:
		return invalid("base %v, the branch is at %v", o.Base.Short(), b.Commit.Short())
	case len(o.Batches) > OpenBatchesMax || len(o.Batches) == 0 && o.Tree == nil:
		return invalid("%d batches: want at most %d, and one or a tree", len(o.Batches), OpenBatchesMax)
	case o.Gen == 0 || o.Gen > r.Gen:
		return invalid("generation %d: want 1 to %d", o.Gen, r.Gen)
	case o.Writes < 1 || o.Last.Before(o.Since):
		return invalid("%d writes from %v to %v", o.Writes, o.Since, o.Last)
	}
	for _, t := range o.Trees() {
		if t.ID == (tree.ID{}) || t.Files < 0 || t.Bytes < 0 {
			return invalid("a directory without an ID or with negative totals")
		}
	}
	for _, x := range o.Batches {
		if x.Writes < 1 {
			return invalid("a batch of %d writes", x.Writes)
		}
	}
	return checkPrincipal(o.By)
}
