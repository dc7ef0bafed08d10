package tree

import (
	"encoding/binary"

	"github.com/zeebo/blake3"
)

// Key returns what the entry is sorted by: its name, and for a directory its
// name and "/". Keys of one directory are unique; names need not be, since
// S3 allows a file a beside a directory a/.
func (e *Entry) Key() string {
	if e.Kind == Dir {
		return e.Name + "/"
	}
	return e.Name
}

// keyContext is the derive-key context of the hash that places node ends.
const keyContext = "dvx 2026-11 v1 directory boundary"

// keyHash is the hash of a key. Its first 8 bytes place the natural ends, the
// other 24, three per level, the forced ones.
type keyHash [32]byte

// ends reports whether a node at level ends naturally after the key: where
// the hash begins with level+1 zero bytes.
func (h *keyHash) ends(level int) bool {
	for i := range level + 1 {
		if h[i] != 0 {
			return false
		}
	}
	return true
}

// rank is the key's place in the choice of forced ends at level: a run that is
// too long is split after the key of the lowest rank. Every level has bytes of
// its own, so that names chosen to split badly at one level do not at the next.
func (h *keyHash) rank(level int) uint32 {
	return binary.BigEndian.Uint32(h[7+3*level:]) & 0xffffff
}

// keyHasher computes keyHashes. It is for one goroutine.
type keyHasher struct{ h *blake3.Hasher }

func (k *keyHasher) sum(key string) (h keyHash) {
	if k.h == nil {
		k.h = blake3.NewDeriveKey(keyContext)
	}
	k.h.Reset()
	_, _ = k.h.WriteString(key) // never fails
	k.h.Sum(h[:0])
	return h
}
