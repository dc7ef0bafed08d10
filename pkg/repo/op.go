package repo

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
)

// OpID is a 128-bit operation ID (a UUIDv7 where nothing better is known): the
// same operation ID never takes effect twice.
type OpID [16]byte

// String returns 32 lower-case hex digits.
func (o OpID) String() string { return hex.EncodeToString(o[:]) }

// uuid returns the ID in the form of a UUID.
func (o OpID) uuid() string {
	s := o.String()
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// time returns when a UUIDv7 was made, for any other ID the time of its first
// 48 bits all the same.
func (o OpID) time() time.Time {
	var ms int64
	for _, b := range o[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}

// isUUIDv7 reports whether the ID says when it was made.
func (o OpID) isUUIDv7() bool { return o[6]>>4 == 7 && o[8]>>6 == 2 }

// Time returns when the ID was made, and false if it does not say. The clock
// was that of its maker.
func (o OpID) Time() (time.Time, bool) { return o.time().UTC(), o.isUUIDv7() }

// IsZero reports whether there is none.
func (o OpID) IsZero() bool { return o == OpID{} }

// ParseOpID reads 32 lower-case hex digits, with or without the dashes of a
// UUID; anything else fails with fs.ErrInvalid.
func ParseOpID(s string) (OpID, error) {
	var id OpID
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return OpID{}, fmt.Errorf("operation id %.80q: want 32 lower-case hex digits: %w", s, fs.ErrInvalid)
	}
	copy(id[:], b)
	return id, nil
}

// NewOpID returns a UUIDv7: the time in milliseconds, then 74 bits from rand.
func NewOpID(now time.Time, rand io.Reader) (OpID, error) {
	var id OpID
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return OpID{}, fmt.Errorf("new operation id: %w", err)
	}
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// MarshalText encodes the ID as hex.
func (o OpID) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText decodes 32 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func (o *OpID) UnmarshalText(b []byte) error {
	v, err := ParseOpID(string(b))
	if err != nil {
		return err
	}
	*o = v
	return nil
}

// Op is one change of names. The implementations below are all there are.
type Op interface{ op() }

// CreateRepo makes a repo with an empty branch. fs.ErrExist if it is there.
type CreateRepo struct {
	Repo        string
	Branch      string // the default branch, "main" if empty
	Description string
}

// DeleteRepo removes a repo with all its names. The versions stay reachable in
// the kept roots until garbage collection.
type DeleteRepo struct {
	Repo string
	// Seen, if not zero, is the generation of the root by which it was decided:
	// ErrConflict if a branch, tag or spec of the repo was made or moved since.
	Seen uint64
}

// CreateBranch makes a branch. fs.ErrExist if it is there.
type CreateBranch struct {
	Repo, Branch string
	From         commit.ID // zero for an empty branch
	Fork         string    // the branch it was forked from, if any: environments fall back to it
}

// MoveBranch sets a branch from one commit to another. ErrConflict if the
// branch is not at Expect.
type MoveBranch struct {
	Repo, Branch string
	Expect       commit.ID // zero: the branch is empty, or does not exist and is to be made
	To           commit.ID
	Force        bool // allow a commit that does not descend from Expect
}

// DeleteBranch removes a branch that is at Expect.
type DeleteBranch struct {
	Repo, Branch string
	Expect       commit.ID
}

// CreateTag names a commit for good. fs.ErrExist if the tag is there.
type CreateTag struct {
	Repo, Tag string
	Commit    commit.ID
}

// DeleteTag removes a tag.
type DeleteTag struct{ Repo, Tag string }

// MoveSpec sets the spec of the pipeline whose output is Repo, on the branch
// (environment) Branch. The repo is made if it is not there. ErrConflict if
// the spec is not at Expect. The principal becomes its owner, on whose rights
// the pipeline runs.
type MoveSpec struct {
	Repo, Branch string
	Expect       commit.ID // zero: there is none yet
	To           commit.ID // zero removes the pipeline; its outputs stay
}

// Protect names the principals that alone may move or delete a branch; an
// empty list lifts the protection.
type Protect struct {
	Repo, Branch string
	Principals   []string
}

func (CreateRepo) op()   {}
func (DeleteRepo) op()   {}
func (CreateBranch) op() {}
func (MoveBranch) op()   {}
func (DeleteBranch) op() {}
func (CreateTag) op()    {}
func (DeleteTag) op()    {}
func (MoveSpec) op()     {}
func (Protect) op()      {}
