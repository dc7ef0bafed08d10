package tree

import (
	"context"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Adopt returns a directory with the content of fresh in which every entry
// that old has too, with equal content, is as in old: Attrs and markers that
// belong to unchanged content are kept. The files and links that old does not
// have, or has with other content, get the Attrs stamp, or keep those that
// they have in fresh if stamp is nil. Both directories must be in s. The cost
// follows the differences, which are held in memory.
func Adopt(ctx context.Context, s chunk.Store, old, fresh Root, stamp *Attrs) (Root, error) {
	if old.Content == fresh.Content {
		return old, nil
	}
	var edits []Edit
	for c, err := range Diff(ctx, s, old, s, fresh, DiffOptions{Expand: stamp != nil}) {
		if err != nil {
			return Root{}, err
		}
		e := c.Edit()
		if stamp != nil && e.Op == Put && e.Entry.Kind != Dir {
			e.Entry.Attrs = *stamp
		}
		edits = append(edits, e)
	}
	return Apply(ctx, s, old, edits)
}
