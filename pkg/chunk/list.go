package chunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// The shape of lists; FORMAT.md explains it. A node has at least listMin
// entries unless it is the last of its level, and at most listMax; from
// listMin on it ends with the first entry whose ID is a boundary.
const (
	listVersion    = 1
	listMin        = 64
	listMax        = 4096
	listBits       = 9
	listEncodedMax = listMax*44 + 16 // bytes of the largest node
)

// listNode is one node of the list of a file's chunks.
type listNode struct {
	Version uint8       `cbor:"0,keyasint"`
	Level   uint8       `cbor:"1,keyasint"` // 1: the entries are Data chunks; else nodes of the level below
	Entries []listEntry `cbor:"2,keyasint"`

	ends []int64 // ends[i] is the sum of the sizes up to entry i
}

// listEntry is one child of a node with the plain bytes that it covers.
type listEntry struct {
	_    struct{} `cbor:",toarray"`
	ID   ID
	Size int64
}

// total returns the bytes that n covers.
func (n *listNode) total() int64 { return n.ends[len(n.ends)-1] }

// listCodec encodes and decodes in the deterministic form of RFC 8949 §4.2.
var listCodec = newListCodec()

type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newListCodec() codec {
	enc, err1 := cbor.CoreDetEncOptions().EncMode()
	dec, err2 := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
		MaxArrayElements:  listMax,
		MaxMapPairs:       16,
	}.DecMode()
	if err := errors.Join(err1, err2); err != nil {
		panic("dvx: bug: list codec: " + err.Error())
	}
	return codec{enc, dec}
}

// boundary reports whether a node may end after the child id.
func boundary(id ID) bool {
	return (uint(id[IDSize-2])<<8|uint(id[IDSize-1]))&(1<<listBits-1) == 0
}

// closes reports whether a node of n entries ends with the child id.
func closes(n int, id ID) bool {
	return n >= listMax || n >= listMin && boundary(id)
}

// encodeList returns the bytes of a node.
func encodeList(level uint8, entries []listEntry) ([]byte, error) {
	return listCodec.enc.Marshal(&listNode{Version: listVersion, Level: level, Entries: entries})
}

// decodeList reads a node. Whatever encodeList could not have made of valid
// entries fails with ErrCorrupt.
func decodeList(b []byte) (*listNode, error) {
	if len(b) > listEncodedMax {
		return nil, fmt.Errorf("list node of %d bytes exceeds %d: %w", len(b), listEncodedMax, ErrCorrupt)
	}
	n := &listNode{}
	if err := listCodec.dec.Unmarshal(b, n); err != nil {
		return nil, fmt.Errorf("list node: %w: %w", ErrCorrupt, err)
	}
	if err := n.check(); err != nil {
		return nil, fmt.Errorf("list node: %w: %w", ErrCorrupt, err)
	}
	again, err := encodeList(n.Level, n.Entries)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("list node: not in canonical form: %w", ErrCorrupt)
	}
	return n, nil
}

// check holds a node to the format's rules and sums its sizes.
func (n *listNode) check() error {
	switch {
	case n.Version != listVersion:
		return fmt.Errorf("version %d, not %d", n.Version, listVersion)
	case n.Level < 1 || n.Level > DepthMax:
		return fmt.Errorf("level %d is outside 1 to %d", n.Level, DepthMax)
	case len(n.Entries) == 0 || len(n.Entries) > listMax:
		return fmt.Errorf("%d entries are outside 1 to %d", len(n.Entries), listMax)
	}
	n.ends = make([]int64, len(n.Entries))
	var sum int64
	for i, e := range n.Entries {
		switch {
		case e.ID.IsZero():
			return fmt.Errorf("entry %d names nothing", i)
		case e.Size < 1 || n.Level == 1 && e.Size > SizeMax:
			return fmt.Errorf("entry %d covers %d bytes", i, e.Size)
		case e.Size > math.MaxInt64-sum:
			return errors.New("the sizes overflow")
		case i < len(n.Entries)-1 && closes(i+1, e.ID):
			return fmt.Errorf("the node does not end with entry %d", i)
		}
		sum += e.Size
		n.ends[i] = sum
	}
	return nil
}

// listBuilder turns the sequence of a file's chunks into its Content. What it
// makes depends on the sequence alone.
type listBuilder struct {
	store  Store
	size   int64
	levels [DepthMax + 1][]listEntry // not yet in a node; levels[0] are Data chunks
	height int                       // levels in use
}

// add appends a Data chunk.
func (b *listBuilder) add(ctx context.Context, e listEntry) error {
	if e.Size > math.MaxInt64-b.size {
		return errors.New("the stream is too long for a file")
	}
	b.size += e.Size
	return b.push(ctx, 0, e)
}

// push appends a child at a level and closes the node that it completes.
func (b *listBuilder) push(ctx context.Context, level int, e listEntry) error {
	if level > DepthMax {
		return fmt.Errorf("the stream needs more than %d levels of lists", DepthMax)
	}
	b.height = max(b.height, level+1)
	b.levels[level] = append(b.levels[level], e)
	if !closes(len(b.levels[level]), e.ID) {
		return nil
	}
	return b.close(ctx, level)
}

// close stores the entries of a level as a node.
func (b *listBuilder) close(ctx context.Context, level int) error {
	entries := b.levels[level]
	raw, err := encodeList(uint8(level)+1, entries)
	if err != nil {
		return err
	}
	id, err := b.store.Put(ctx, List, raw)
	if err != nil {
		return err
	}
	var sum int64
	for _, e := range entries {
		sum += e.Size
	}
	b.levels[level] = entries[:0]
	return b.push(ctx, level+1, listEntry{ID: id, Size: sum})
}

// finish closes what is open, until one node is left, and names it.
func (b *listBuilder) finish(ctx context.Context) (Content, error) {
	if b.height == 0 {
		return Content{}, nil
	}
	for level := 0; ; level++ {
		open := b.levels[level]
		if level == b.height-1 && len(open) == 1 {
			return Content{ID: open[0].ID, Size: b.size, Depth: uint8(level)}, nil
		}
		if len(open) == 0 {
			continue
		}
		if err := b.close(ctx, level); err != nil {
			return Content{}, err
		}
	}
}
