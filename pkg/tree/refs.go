package tree

import "github.com/dvx-io/dvx/pkg/chunk"

// NodeRefs returns the chunks that a directory node points to: nodes below it,
// roots of directories, contents of files, links and markers. Fails with
// chunk.ErrCorrupt unless b is the one encoding of a sound node.
func NodeRefs(b []byte) ([]chunk.Ref, error) {
	n, err := decodeNode(b)
	if err != nil {
		return nil, err
	}
	refs := make([]chunk.Ref, 0, len(n.items))
	add := func(c chunk.Content) {
		if ref, ok := c.Ref(); ok {
			refs = append(refs, ref)
		}
	}
	for i := range n.items {
		it := &n.items[i]
		if it.isPointer() || it.Kind == Dir {
			refs = append(refs, chunk.Ref{Kind: chunk.Node, ID: chunk.ID(it.Dir.ID)})
		} else {
			add(it.Content)
		}
		if it.Marker != nil {
			add(it.Marker.Content)
		}
	}
	return refs, nil
}
