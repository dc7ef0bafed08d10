package memo

import (
	"fmt"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// String returns the key as 64 lower-case hex digits.
func (k Key) String() string { return chunk.ID(k).String() }

// Short returns the first 12 hex digits, for people.
func (k Key) Short() string { return chunk.ID(k).Short() }

// IsZero reports whether the key names no work.
func (k Key) IsZero() bool { return k == Key{} }

// MarshalText encodes the key as hex.
func (k Key) MarshalText() ([]byte, error) { return chunk.ID(k).MarshalText() }

// UnmarshalText decodes 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func (k *Key) UnmarshalText(text []byte) error {
	v, err := ParseKey(string(text))
	if err != nil {
		return err
	}
	*k = v
	return nil
}

// ParseKey reads 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func ParseKey(s string) (Key, error) {
	id, err := chunk.ParseID(s)
	if err != nil {
		return Key{}, fmt.Errorf("memo key: %w", err)
	}
	return Key(id), nil
}

// hashers hold the state after the derive-key context of each use, of version 1
// of the formats, and never change: to derive it takes longer than to hash.
var (
	keyHasher     = blake3.NewDeriveKey("dvx 2026-11 v1 memo key")
	partHasher    = blake3.NewDeriveKey("dvx 2026-11 v1 memo part")
	recordHasher  = blake3.NewDeriveKey("dvx 2026-11 v1 memo segment record")
	segmentHasher = blake3.NewDeriveKey("dvx 2026-11 v1 memo segment")
)

// sum hashes the pieces, one after the other, within the context of a hasher.
func sum(context *blake3.Hasher, pieces ...[]byte) (id [chunk.IDSize]byte) {
	h := context.Clone()
	for _, p := range pieces {
		_, _ = h.Write(p) // never fails
	}
	h.Sum(id[:0])
	return id
}
