package tree

import "github.com/dvx-io/dvx/pkg/chunk"

// String returns the ID as 64 hex digits.
func (id ID) String() string { return chunk.ID(id).String() }

// IsZero reports whether the ID names no directory.
func (id ID) IsZero() bool { return chunk.ID(id).IsZero() }

// MarshalText encodes the ID as hex.
func (id ID) MarshalText() ([]byte, error) { return chunk.ID(id).MarshalText() }

// UnmarshalText decodes 64 hex digits; anything else fails with fs.ErrInvalid.
func (id *ID) UnmarshalText(b []byte) error { return (*chunk.ID)(id).UnmarshalText(b) }

// String returns the ID as 64 hex digits.
func (id ContentID) String() string { return chunk.ID(id).String() }

// IsZero reports whether the ID names no directory.
func (id ContentID) IsZero() bool { return chunk.ID(id).IsZero() }

// MarshalText encodes the ID as hex.
func (id ContentID) MarshalText() ([]byte, error) { return chunk.ID(id).MarshalText() }

// UnmarshalText decodes 64 hex digits; anything else fails with fs.ErrInvalid.
func (id *ContentID) UnmarshalText(b []byte) error { return (*chunk.ID)(id).UnmarshalText(b) }
