package commit

import "github.com/dvx-io/dvx/pkg/chunk"

// String returns the ID as 64 hex digits.
func (id ID) String() string { return chunk.ID(id).String() }

// Short returns the first 12 hex digits, for people.
func (id ID) Short() string { return chunk.ID(id).Short() }

// IsZero reports whether the ID names no commit.
func (id ID) IsZero() bool { return chunk.ID(id).IsZero() }

// MarshalText encodes the ID as hex.
func (id ID) MarshalText() ([]byte, error) { return chunk.ID(id).MarshalText() }

// UnmarshalText decodes 64 hex digits; anything else fails with fs.ErrInvalid.
func (id *ID) UnmarshalText(b []byte) error { return (*chunk.ID)(id).UnmarshalText(b) }

// ParseID reads 64 hex digits; anything else fails with fs.ErrInvalid.
func ParseID(s string) (ID, error) {
	id, err := chunk.ParseID(s)
	return ID(id), err
}
