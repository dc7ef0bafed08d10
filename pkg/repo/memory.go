package repo

import (
	"errors"
	"fmt"
)

// Mark is a root that was seen.
type Mark struct {
	Store string `json:"store"` // UUID
	Gen   uint64 `json:"gen"`
	Op    OpID   `json:"op"`  // that made it
	Sum   Hash   `json:"sum"` // of its bytes, see [HashRoot]
}

// Memory is what a client remembers of a store, so that one which was set back
// or replaced behind its back does not pass for the same. It may be used
// concurrently.
type Memory interface {
	// Seen returns the newest root of a store (its UUID) that was remembered,
	// false if there is none.
	Seen(store string) (Mark, bool)
	// Remember keeps m unless a newer one of the same store is kept. It is best
	// effort.
	Remember(m Mark)
	// String says where it is kept, for who wants it forgotten.
	String() string
}

// ErrRollback is the error for a store whose root is older than one that was
// seen, or is not its successor: somebody has set it back, restored a copy, or
// put another in its place.
var ErrRollback = errors.New("the store is not the one that was here before")

// check fails with ErrRollback if l does not follow a mark that m had before l
// was read: later it may know of roots that came after l. The zero Mark is none.
func (seen Mark) check(m Memory, l *loaded) error {
	r := l.root
	switch {
	case seen.Gen == 0:
		return nil
	case r.Gen < seen.Gen:
		return fmt.Errorf("its root is of generation %d, and %d was seen: it was set back, or is an old copy; if that is meant, remove %s: %w",
			r.Gen, seen.Gen, m, ErrRollback)
	case r.Gen == seen.Gen && l.sum != seen.Sum:
		return forked(m, seen)
	}
	for _, rec := range r.Ops {
		if rec.Gen == seen.Gen && rec.Op != seen.Op {
			return forked(m, seen)
		}
	}
	return nil
}

func forked(m Memory, seen Mark) error {
	return fmt.Errorf("its history does not have generation %d as it was seen: another store, or another history, was put in its place; if that is meant, remove %s: %w",
		seen.Gen, m, ErrRollback)
}
