package tree

import (
	"fmt"
	"io/fs"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// version is the version of the node format, see FORMAT.md.
const version = 1

// Fields of a node.
const (
	nodeVersion = 1
	nodeLevel   = 2
	nodeItems   = 3
)

// Fields of an entry.
const (
	entryName    = 1
	entryKind    = 2
	entryExec    = 3
	entryContent = 4  // chunk ID of a file's or link's content
	entrySize    = 5  //
	entryDepth   = 6  //
	entryHash    = 7  // content ID of a directory
	entryFiles   = 8  // totals of a directory
	entryBytes   = 9  //
	entryDir     = 10 // storage ID of a directory
	entryMarker  = 11
	entryAttrs   = 12
)

// Fields of a pointer to a node.
const (
	ptrKey   = 1
	ptrCount = 2
	ptrHash  = 3
	ptrFiles = 4
	ptrBytes = 5
	ptrNode  = 6 // storage ID
)

// Fields of a marker.
const (
	markerContent = 1
	markerSize    = 2
	markerDepth   = 3
	markerAttrs   = 4
)

// form says which fields of a node are encoded.
type form bool

const (
	stored  form = false // all: what is kept, and what the storage ID covers
	visible form = true  // without storage IDs, markers and Attrs: what the content ID covers
)

// appendNode appends the node's encoding. The node must have passed check.
func appendNode(b []byte, n *node, f form) []byte {
	b = append(b, majorMap|3)
	b = appendUintField(b, nodeVersion, version)
	b = appendUintField(b, nodeLevel, uint64(n.level))
	b = appendHead(append(b, nodeItems), majorArray, uint64(len(n.items)))
	for i := range n.items {
		if n.level == 0 {
			b = appendEntry(b, &n.items[i].Entry, f)
		} else {
			b = appendPointer(b, &n.items[i], f)
		}
	}
	return b
}

func appendEntry(b []byte, e *Entry, f form) []byte {
	head := len(b)
	b = append(b, majorMap)
	b = appendTextField(b, entryName, e.Name)
	b = appendUintField(b, entryKind, uint64(e.Kind))
	fields := byte(2)
	if e.Exec {
		b = append(b, entryExec, itemTrue)
		fields++
	}
	if e.Kind == Dir {
		b = appendBytesField(b, entryHash, e.Dir.Content[:])
		fields++
		b, fields = appendTotal(b, fields, entryFiles, e.Dir.Files)
		b, fields = appendTotal(b, fields, entryBytes, e.Dir.Bytes)
	} else {
		b, fields = appendContent(b, fields, entryContent, e.Content)
	}
	if f == stored && e.Kind == Dir {
		b = appendBytesField(b, entryDir, e.Dir.ID[:])
		fields++
	}
	if f == stored && e.Marker != nil {
		b = appendMarker(append(b, entryMarker), e.Marker)
		fields++
	}
	if f == stored && !e.Attrs.IsZero() {
		b = appendAttrs(append(b, entryAttrs), &e.Attrs)
		fields++
	}
	b[head] |= fields
	return b
}

// appendContent appends a content as three fields from key on.
func appendContent(b []byte, fields, key byte, c chunk.Content) ([]byte, byte) {
	if c.Size == 0 {
		return b, fields
	}
	b = appendBytesField(b, key, c.ID[:])
	fields++
	b, fields = appendTotal(b, fields, key+1, c.Size)
	return appendTotal(b, fields, key+2, int64(c.Depth))
}

// appendTotal appends n as a field, or nothing if it is 0.
func appendTotal(b []byte, fields, key byte, n int64) ([]byte, byte) {
	if n == 0 {
		return b, fields
	}
	return appendUintField(b, key, uint64(n)), fields + 1
}

func appendMarker(b []byte, m *Marker) []byte {
	head := len(b)
	b, fields := appendContent(append(b, majorMap), 0, markerContent, m.Content)
	if !m.Attrs.IsZero() {
		b = appendAttrs(append(b, markerAttrs), &m.Attrs)
		fields++
	}
	b[head] |= fields
	return b
}

func appendPointer(b []byte, it *item, f form) []byte {
	head := len(b)
	b = append(b, majorMap)
	b = appendTextField(b, ptrKey, it.key)
	b = appendUintField(b, ptrCount, uint64(it.count))
	b = appendBytesField(b, ptrHash, it.Dir.Content[:])
	fields := byte(3)
	b, fields = appendTotal(b, fields, ptrFiles, it.Dir.Files)
	b, fields = appendTotal(b, fields, ptrBytes, it.Dir.Bytes)
	if f == stored {
		b = appendBytesField(b, ptrNode, it.Dir.ID[:])
		fields++
	}
	b[head] |= fields
	return b
}

// attrsSize returns how many bytes an entry's Attrs and its marker's take, or 0
// if they are what every write has, which always fits.
func attrsSize(e *Entry) int {
	n := 0
	if e.Marker == nil && e.Attrs.isPlain() {
		return 0
	}
	if !e.Attrs.IsZero() {
		n += len(appendAttrs(nil, &e.Attrs))
	}
	if e.Marker != nil && !e.Marker.Attrs.IsZero() {
		n += len(appendAttrs(nil, &e.Marker.Attrs))
	}
	return n
}

// CheckEntry fails with fs.ErrInvalid unless e can be an entry of a directory:
// a valid name, the fields of its kind and no others, and Attrs within their
// limits. It does not read what the entry points to.
func CheckEntry(e Entry) error {
	if err := checkEntry(&e); err != nil {
		return fmt.Errorf("entry %.200q: %w", e.Name, err)
	}
	if n := attrsSize(&e); n > AttrsSizeMax {
		return fmt.Errorf("entry %.200q: attributes of %d bytes exceed the limit of %d: %w", e.Name, n, AttrsSizeMax, fs.ErrInvalid)
	}
	return nil
}

// contentContext is the derive-key context of content IDs.
const contentContext = "dvx 2026-11 v1 directory content"

// contentHasher computes content IDs. It is for one goroutine.
type contentHasher struct{ h *blake3.Hasher }

// sum returns the content ID of a node. It works in buf, which it grows.
func (c *contentHasher) sum(n *node, buf []byte) (used []byte, id ContentID) {
	if c.h == nil {
		c.h = blake3.NewDeriveKey(contentContext)
	}
	buf = appendNode(buf[:0], n, visible)
	c.h.Reset()
	_, _ = c.h.Write(buf) // never fails
	c.h.Sum(id[:0])
	return buf, id
}
