package chunk

import (
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"

	"github.com/zeebo/blake3"
)

// IDSize is the length of an ID in bytes.
const IDSize = 32

// ID names a chunk by its content: BLAKE3-256 in derive-key mode with a
// context per [Kind], so that bytes of one kind can't pass for another. The
// zero ID names nothing (an empty file has no chunk).
type ID [IDSize]byte

// String returns the ID as 64 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first 12 hex digits, for people.
func (id ID) Short() string { return hex.EncodeToString(id[:6]) }

// IsZero reports whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText encodes the ID as hex.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText decodes 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func (id *ID) UnmarshalText(text []byte) error {
	v, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// ParseID reads 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*IDSize {
		return id, fmt.Errorf("chunk id %.80q: want %d hex digits: %w", s, 2*IDSize, fs.ErrInvalid)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id, fmt.Errorf("chunk id %q: %q is not a lower-case hex digit: %w", s, c, fs.ErrInvalid)
		}
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err
}

// Kind says what a chunk holds. It is part of what an ID covers.
type Kind uint8

// The kinds of chunk. The numbers are in pack footers and index segments:
// they are never reused.
const (
	Data   Kind = 1 // bytes of a file
	List   Kind = 2 // a node of the list of a large file's chunks
	Node   Kind = 3 // a node of a directory
	Commit Kind = 4 // a commit
	Gone   Kind = 5 // says of a directory that it was given up: its bytes are the directory's ID
)

// contexts holds the derive-key contexts of version 1 of the formats.
var contexts = [...]string{
	Data:   "dvx 2026-11 v1 chunk data",
	List:   "dvx 2026-11 v1 chunk list",
	Node:   "dvx 2026-11 v1 directory node",
	Commit: "dvx 2026-11 v1 commit",
	Gone:   "dvx 2026-11 v1 gone",
}

// Valid reports whether k is a kind of this format version.
func (k Kind) Valid() bool { return k >= Data && k <= Gone }

// Meta reports whether chunks of kind k describe data rather than hold it;
// they are kept in packs of their own.
func (k Kind) Meta() bool { return k != Data }

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case List:
		return "list"
	case Node:
		return "node"
	case Commit:
		return "commit"
	case Gone:
		return "gone"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// hashers hold the state after the context of each kind, and never change: to
// derive it takes longer than to hash a small chunk.
var hashers = func() (h [len(contexts)]*blake3.Hasher) {
	for k := Data; k.Valid(); k++ {
		h[k] = blake3.NewDeriveKey(contexts[k])
	}
	return h
}()

// NewHash returns a hash whose sum, of [IDSize] bytes, is the ID of the chunk of
// kind k that was written to it. It panics if k is not a valid kind.
func (k Kind) NewHash() hash.Hash {
	if !k.Valid() {
		panic(fmt.Sprintf("dvx: bug: chunk.NewHash of %v", k))
	}
	return hashers[k].Clone()
}

// Sum returns the ID of a chunk of kind k with the given plain bytes. It
// panics if k is not a valid kind.
func (k Kind) Sum(plain []byte) ID {
	if !k.Valid() {
		panic(fmt.Sprintf("dvx: bug: chunk.Sum of %v", k))
	}
	h := hashers[k].Clone()
	_, _ = h.Write(plain) // never fails
	var id ID
	h.Sum(id[:0])
	return id
}
