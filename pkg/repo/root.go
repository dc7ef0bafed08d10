package repo

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/commit"
)

// Format is the version of the formats of dvx.json and root that this release
// reads and writes.
const Format = 1

// Limits of a root; every decoder and writer holds them.
const (
	RootSizeMax     = 1 << 20 // bytes
	ConfigSizeMax   = 64 << 10
	SegmentsMax     = 64        // index segments
	OpsMax          = 256       // remembered operations
	MovedMax        = 16        // remembered refs of one operation
	AttachedMax     = 4096      // memo segments, and history segments
	GenMax          = 1<<53 - 1 // what every JSON reader can hold
	DescriptionMax  = 4096      // bytes
	ProtectMax      = 64        // principals of one branch
	TagMessageMax   = 4096      // bytes
	featuresMax     = 64
	featureSizeMax  = 64 // bytes
	openCommits     = "open-commits"
	refPagesFeature = "ref-pages"
)

// Hash is the BLAKE3-256 hash of a root's bytes.
type Hash [32]byte

// String returns the hash as 64 hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether there is none: the first root has no previous one.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText encodes the hash as hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText decodes 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func (h *Hash) UnmarshalText(b []byte) error {
	id, err := commit.ParseID(string(b))
	if err != nil {
		return err
	}
	*h = Hash(id)
	return nil
}

// HashRoot returns the hash by which a root names its predecessor's bytes.
func HashRoot(b []byte) Hash { return rootHash.sum(b) }

// hashContext is a derive-key context. The state after it never changes, and to
// derive it takes longer than to hash a root.
type hashContext func() *blake3.Hasher

var (
	rootHash      = newHashContext("dvx 2026-11 v1 root")
	rootSumHash   = newHashContext("dvx 2026-11 v1 root sum")
	configSumHash = newHashContext("dvx 2026-11 v1 config sum")
	beforeHash    = newHashContext("dvx 2026-11 v1 seal before")
)

func newHashContext(text string) hashContext {
	return sync.OnceValue(func() *blake3.Hasher { return blake3.NewDeriveKey(text) })
}

func (c hashContext) sum(b []byte) Hash {
	h := c().Clone()
	_, _ = h.Write(b) // never fails
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// Root is the store's one mutable object as a value. Whoever holds one does
// not change it: [Apply] makes the next.
type Root struct {
	Format    int                   `json:"format"`             // 1
	Store     string                `json:"store"`              // UUID, as in dvx.json
	Gen       uint64                `json:"gen"`                // 1 for the first root, one more for each
	Op        OpID                  `json:"op"`                 // the transaction that made this root
	Prev      Hash                  `json:"prev"`               // of the previous root's bytes; zero for the first
	Repos     map[string]Repo       `json:"repos"`              // by name
	Segments  []Segment             `json:"segments,omitempty"` // the index: at most SegmentsMax, oldest first
	Memo      []string              `json:"memo,omitempty"`     // keys of memo segments, oldest first
	History   []string              `json:"history,omitempty"`  // keys of history segments, oldest first
	Ops       []OpRecord            `json:"ops,omitempty"`      // the last OpsMax operations, oldest first
	Open      map[string]OpenCommit `json:"open,omitempty"`     // by OpenKey, with the feature "open-commits"
	RefPages  string                `json:"refPages,omitempty"` // reserved: where the names are if not here, with the feature "ref-pages"
	Floor     uint64                `json:"floor,omitempty"`    // sessions that started below it may publish no more
	Term      uint64                `json:"term,omitempty"`     // of the daemon that leads
	Leader    string                `json:"leader,omitempty"`   // its name
	Graveyard []Grave               `json:"graveyard,omitempty"`
	Pins      []Pin                 `json:"pins,omitempty"`
	Features  []string              `json:"features,omitempty"` // sorted; see [FeatureError]
}

// Segment names an index segment.
type Segment struct {
	Key    string `json:"key"`
	Chunks int64  `json:"chunks"` // entries
}

// OpRecord says what an operation did, so that its repetition is recognised.
type OpRecord struct {
	Op    OpID    `json:"op"`
	Gen   uint64  `json:"gen"`             // of the root that it made
	Open  bool    `json:"open,omitempty"`  // it did nothing but write to open commits
	Moved []Moved `json:"moved,omitempty"` // the first MovedMax branches that it set
}

// Moved is a branch with the commit to which an operation set it.
type Moved struct {
	Repo   string    `json:"repo"`
	Branch string    `json:"branch"`
	Commit commit.ID `json:"commit"`
}

// Grave names a list of objects that garbage collection has taken out of the
// index and will delete.
type Grave struct {
	Gen  uint64 `json:"gen"`
	List string `json:"list"` // key
}

// Pin keeps a commit that no ref reaches.
type Pin struct {
	Commit commit.ID `json:"commit"`
	Reason string    `json:"reason,omitempty"`
}

// View returns the names of r. The View shares r's maps.
func (r *Root) View() *View {
	return &View{Gen: r.Gen, Repos: r.Repos, Open: r.Open, Expires: slices.Contains(r.Features, retentionFeature)}
}

// FindOp returns what the operation op did, if it is among the last OpsMax.
func (r *Root) FindOp(op OpID) (OpRecord, bool) {
	for i := len(r.Ops) - 1; i >= 0; i-- {
		if r.Ops[i].Op == op {
			return r.Ops[i], true
		}
	}
	return OpRecord{}, false
}

// unbroken returns the index of the first of r's operations from which on none
// is left out.
func (r *Root) unbroken() int {
	i := max(0, len(r.Ops)-1)
	for i > 0 && r.Ops[i-1].Gen+1 == r.Ops[i].Gen {
		i--
	}
	return i
}

// RootPrefix is where copies of roots are kept.
const RootPrefix = "roots/"

// rootKey is where the copy of the root gen that op made is kept.
func rootKey(gen uint64, op OpID) string { return fmt.Sprintf("%s%016x-%v", RootPrefix, gen, op) }

// RootCopyKey returns the key of the copy of r.
func RootCopyKey(r *Root) string { return rootKey(r.Gen, r.Op) }

// Keys of the objects that every store has.
const (
	rootObject   = "root"
	configObject = "dvx.json"
)

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, fs.ErrInvalid)...)
}
