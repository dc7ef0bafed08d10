package tree

import (
	"bytes"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// decodeNode reads a node and fails with chunk.ErrCorrupt unless b is the one
// encoding of a node that obeys every rule.
func decodeNode(b []byte) (*node, error) {
	p := &parser{b: b}
	n := &node{}
	seen := p.fields(nodeItems, func(key uint64) {
		switch key {
		case nodeVersion:
			if v := p.head(majorUint); p.err == nil && v != version {
				p.fail("version %d is not supported, a newer dvx may read it", v)
			}
		case nodeLevel:
			n.level = int(p.uint(LevelMax))
		case nodeItems:
			p.items(n)
		}
	})
	p.need("node", seen, 1<<nodeVersion|1<<nodeLevel|1<<nodeItems, ^uint32(0))
	if err := p.end(); err != nil {
		return nil, err
	}
	if err := n.check(); err != nil {
		return nil, fmt.Errorf("%w: %v", errFormat, err)
	}
	return n, nil
}

// items reads a node's items. Memory is bounded by the input: no item takes
// less than itemSizeMin bytes.
func (p *parser) items(n *node) {
	const itemSizeMin = 6
	count := p.length(majorArray, NodeEntriesMax)
	if count*itemSizeMin > len(p.b)-p.off {
		p.fail("%d items in %d bytes", count, len(p.b)-p.off)
		return
	}
	n.items = make([]item, count)
	for i := range n.items {
		if n.level == 0 {
			p.entry(&n.items[i])
		} else {
			p.pointer(&n.items[i])
		}
		if p.err != nil {
			return
		}
	}
}

// fieldsOf lists the fields that entries of each kind must and may have.
var fieldsOf = [...]struct{ must, may uint32 }{
	File:    {must: 1<<entryName | 1<<entryKind, may: 1<<entryExec | 1<<entryContent | 1<<entrySize | 1<<entryDepth | 1<<entryAttrs},
	Symlink: {must: 1<<entryName | 1<<entryKind | 1<<entryContent | 1<<entrySize, may: 1<<entryDepth | 1<<entryAttrs},
	Dir: {
		must: 1<<entryName | 1<<entryKind | 1<<entryHash | 1<<entryDir,
		may:  1<<entryFiles | 1<<entryBytes | 1<<entryMarker | 1<<entryAttrs,
	},
}

func (p *parser) entry(it *item) {
	e := &it.Entry
	attrs := 0
	seen := p.fields(entryAttrs, func(key uint64) {
		switch key {
		case entryName:
			e.Name = p.text(NameSizeMax)
		case entryKind:
			e.Kind = Kind(p.uint(uint64(Dir)))
		case entryExec:
			e.Exec = p.isTrue()
		case entryContent:
			e.Content.ID = p.sum()
		case entrySize:
			e.Content.Size = p.positive()
		case entryDepth:
			e.Content.Depth = p.depth()
		case entryHash:
			e.Dir.Content = ContentID(p.sum())
		case entryFiles:
			e.Dir.Files = p.positive()
		case entryBytes:
			e.Dir.Bytes = p.positive()
		case entryDir:
			e.Dir.ID = ID(p.sum())
		case entryMarker:
			e.Marker = p.marker(&attrs)
		case entryAttrs:
			e.Attrs = p.sizedAttrs(&attrs)
		}
	})
	if p.err == nil && e.Kind == 0 {
		p.fail("entry without a kind")
		return
	}
	p.need("entry", seen, fieldsOf[e.Kind].must, fieldsOf[e.Kind].must|fieldsOf[e.Kind].may)
	it.key, it.count = e.Key(), 1
}

// sizedAttrs reads Attrs and adds their size to *size, which must not pass
// the limit.
func (p *parser) sizedAttrs(size *int) Attrs {
	start := p.off
	a := p.attrs()
	if *size += p.off - start; *size > AttrsSizeMax {
		p.fail("attributes of %d bytes exceed the limit of %d", *size, AttrsSizeMax)
	}
	return a
}

func (p *parser) marker(size *int) *Marker {
	m := &Marker{}
	p.fields(markerAttrs, func(key uint64) {
		switch key {
		case markerContent:
			m.Content.ID = p.sum()
		case markerSize:
			m.Content.Size = p.positive()
		case markerDepth:
			m.Content.Depth = p.depth()
		case markerAttrs:
			m.Attrs = p.sizedAttrs(size)
		}
	})
	return m
}

func (p *parser) depth() uint8 {
	n := p.uint(chunk.DepthReference)
	if n == 0 {
		p.fail("zero is not left out")
	}
	return uint8(n)
}

func (p *parser) pointer(it *item) {
	const must = 1<<ptrKey | 1<<ptrCount | 1<<ptrHash | 1<<ptrNode
	seen := p.fields(ptrNode, func(key uint64) {
		switch key {
		case ptrKey:
			it.key = p.text(NameSizeMax + 1)
		case ptrCount:
			it.count = p.positive()
		case ptrHash:
			it.Dir.Content = ContentID(p.sum())
		case ptrFiles:
			it.Dir.Files = p.positive()
		case ptrBytes:
			it.Dir.Bytes = p.positive()
		case ptrNode:
			it.Dir.ID = ID(p.sum())
		}
	})
	p.need("pointer", seen, must, must|1<<ptrFiles|1<<ptrBytes)
}

// CheckNode fails with chunk.ErrCorrupt unless b is the one encoding of a
// directory node: what a receiver asks of nodes before it stores them. It
// decodes b and compares the result's encoding with b. What the node points to
// is checked by [Verify].
func CheckNode(b []byte) error {
	n, err := decodeNode(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(appendNode(make([]byte, 0, len(b)), n, stored), b) {
		return fmt.Errorf("%w: not the canonical encoding", errFormat)
	}
	return nil
}
