package repo

import (
	"fmt"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
)

// View is every name of a store as of one root. It is a value: nobody changes
// it after it was made.
type View struct {
	Gen   uint64                // the root's generation; strictly increasing
	Repos map[string]Repo       // by name
	Open  map[string]OpenCommit // by OpenKey: the branches that have writes which are not sealed

	Expires bool // a branch has or had a retention: old versions may be without their files
}

// Repo is a named, versioned directory: its names and where they point.
type Repo struct {
	Created     time.Time         `json:"created"`
	Description string            `json:"description,omitempty"`
	Default     string            `json:"default"` // default branch
	Branches    map[string]Branch `json:"branches,omitempty"`
	Tags        map[string]Tag    `json:"tags,omitempty"`
	Specs       map[string]Branch `json:"specs,omitempty"` // of a pipeline's repo: by branch, the commit that holds the spec
}

// Branch is a name that moves.
type Branch struct {
	Commit  commit.ID `json:"commit"`            // zero: nothing committed yet
	Gen     uint64    `json:"gen"`               // root generation of the last move
	Owner   string    `json:"owner,omitempty"`   // principal that made it
	Fork    string    `json:"fork,omitempty"`    // branch it was forked from
	Protect []string  `json:"protect,omitempty"` // principals that alone may move it; empty: everybody with the right to write
	Seal    *Sealing  `json:"seal,omitempty"`    // when its writes become a version; nil: as the writers say

	Keep *Retention `json:"keep,omitempty"` // which versions keep their files; nil: all
}

// CheckMover fails with ErrProtected for a principal who may not move the branch.
func (b Branch) CheckMover(who auth.Principal) error {
	if len(b.Protect) == 0 || slices.Contains(b.Protect, who.Name) {
		return nil
	}
	return fmt.Errorf("%v is not among its principals: %w", who, ErrProtected)
}

// Tag is a name that does not move.
type Tag struct {
	Commit  commit.ID `json:"commit"`
	Gen     uint64    `json:"gen"`
	Owner   string    `json:"owner,omitempty"`
	Message string    `json:"message,omitempty"`
}
