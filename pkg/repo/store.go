package repo

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// Store is a store as everything above sees it: names to read and move, and
// chunks within a scope. [Direct] works on the objects themselves, rpc.Client
// through a daemon; the code above is the same. It may be used concurrently.
type Store interface {
	// Config returns what was fixed when the store was made.
	Config() Config

	// View returns all names as of one root.
	View(ctx context.Context) (*View, error)

	// Watch returns once the root's generation is greater than after, with the
	// generation it saw. It may return early with after itself: callers look
	// again, they do not count on events.
	Watch(ctx context.Context, after uint64) (uint64, error)

	// Move applies operations that need no new chunks. See [Txn] for outcomes.
	Move(ctx context.Context, t Txn) (Result, error)

	// Reader opens the chunks reachable from a commit.
	Reader(ctx context.Context, s Scope) (chunk.Reader, error)

	// Session opens a place for new chunks, to be published on a branch.
	Session(ctx context.Context, s Scope) (Session, error)
}

// Scope says which part of a store a reader or session is for. Rights are
// checked on it; through a daemon nothing outside it can be read.
type Scope struct {
	Repo   string
	Branch string    // for a session: the branch to be moved; for a reader: optional
	Commit commit.ID // for a reader: the commit to be read
}

// Session keeps new chunks until a transaction publishes them. What was not
// published is never visible and is collected later.
type Session interface {
	chunk.Store

	// Publish flushes, checks that everything the moved refs reach is stored,
	// and applies t. It may be called again for further transactions.
	Publish(ctx context.Context, t Txn) (Result, error)

	// Close ends the session. It is safe to call after Publish, and more than once.
	Close() error
}

// Txn is a set of operations that are applied together or not at all.
//
// The same Op again returns the first outcome: a caller that does not know how
// a transaction ended repeats it.
type Txn struct {
	Op  OpID // chosen by the caller; NewOpID makes one
	Ops []Op // at least one
}

// Result is the outcome of a transaction that was applied.
type Result struct {
	Gen    uint64  // the root's generation with the transaction in it
	Replay bool    // an earlier attempt of the same operation is what was applied
	Moved  []Moved // the first MovedMax branches that it set, as it was applied
}

// The kinds of failure of a transaction. An error that is none of these, nor
// an io/fs kind, changed nothing either, except ErrUnknown.
var (
	// ErrConflict: a ref is not where the transaction expected it. Final:
	// nothing was changed, nor will be.
	ErrConflict = fmt.Errorf("ref moved meanwhile")
	// ErrUnknown: the transaction may have been applied. Repeat it with the same
	// operation ID to learn the outcome.
	ErrUnknown = fmt.Errorf("outcome of the transaction is unknown")
	// ErrProtected: the branch is protected and the principal may not move it.
	ErrProtected = fmt.Errorf("branch is protected: %w", fs.ErrPermission)
	// ErrRepoNotFound, ErrRefNotFound: there is no such repo, branch, tag or commit.
	ErrRepoNotFound = fmt.Errorf("repo not found: %w", fs.ErrNotExist)
	ErrRefNotFound  = fmt.Errorf("ref not found: %w", fs.ErrNotExist)
	// ErrNoStore: there is no store at that place.
	ErrNoStore = fmt.Errorf("no dvx store: %w", fs.ErrNotExist)
)

// Config is dvx.json: what is fixed when a store is made.
type Config struct {
	Format   int          `json:"format"` // 1
	Store    string       `json:"store"`  // UUID
	Chunker  chunk.Params `json:"chunker"`
	Hash     string       `json:"hash"`               // "blake3-256"
	Mode     string       `json:"mode"`               // "plain"; "keyed" and "encrypted" are reserved
	Features []string     `json:"features,omitempty"` // what a reader must know to open the store; unknown ones are refused

	// Unsummed is set for one that was written before there was a checksum.
	Unsummed bool `json:"-"`
}

// The values of Config that this release knows.
const (
	HashName  = "blake3-256"
	ModePlain = "plain"
)
