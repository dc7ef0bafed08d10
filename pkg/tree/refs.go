package tree

import "github.com/dvx-io/dvx/pkg/chunk"

// NodeRefs returns the chunks that a directory node points to: nodes below it,
// roots of directories, contents of files, links and markers. Fails with
// chunk.ErrCorrupt unless b is the one encoding of a sound node.
func NodeRefs(b []byte) ([]chunk.ID, error) {
	n, err := decodeNode(b)
	if err != nil {
		return nil, err
	}
	ids := make([]chunk.ID, 0, len(n.items))
	for i := range n.items {
		it := &n.items[i]
		if it.isPointer() || it.Kind == Dir {
			ids = append(ids, chunk.ID(it.Dir.ID))
		} else if it.Content.Size > 0 {
			ids = append(ids, it.Content.ID)
		}
		if it.Marker != nil && it.Marker.Content.Size > 0 {
			ids = append(ids, it.Marker.Content.ID)
		}
	}
	return ids, nil
}
