package pack

import (
	"context"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// table is an index segment as a snapshot uses it: one whose bytes are at hand
// (*segment), or one that is asked over a network (*distant). It may be used
// concurrently.
type table interface {
	describe() SegmentInfo

	// locations returns every place of the chunk that the segment names. Nobody
	// has verified that there are no others, nor that they are right.
	locations(ctx context.Context, kind chunk.Kind, id *chunk.ID) ([]Location, error)

	// hasPack reports whether the segment names the pack.
	hasPack(ctx context.Context, key string) (bool, error)

	// near returns the segment if its bytes are at hand, else nil.
	near() *segment

	// whole brings all bytes of the segment here.
	whole(ctx context.Context) (*segment, error)

	// doubt is called when what the table said led nowhere. It fails with
	// chunk.ErrCorrupt if the segment is damaged, and reports whether it is worth
	// to ask again.
	doubt(ctx context.Context) (again bool, err error)
}
