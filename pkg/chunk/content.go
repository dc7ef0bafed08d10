package chunk

import (
	"fmt"
	"io/fs"
)

// Content names the bytes of a file. Equal bytes have equal Contents in all
// stores of equal [Params]; how the bytes arrived plays no part.
type Content struct {
	ID    ID    // zero for an empty file, a Data chunk at depth 0, else a List node or a Reference
	Size  int64 // bytes
	Depth uint8 // levels of List nodes above the Data chunks, 0 to DepthMax; or DepthReference
}

// DepthMax is the largest depth of a Content: with at least 64 entries in
// every list but the last, 8 levels hold more than any file has chunks.
const DepthMax = 8

// CheckContent fails with fs.ErrInvalid if no file can have the Content c:
// every decoder that reads one calls it. It does not look at the chunks.
func CheckContent(c Content) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("content: %s: %w", fmt.Sprintf(format, args...), fs.ErrInvalid)
	}
	switch {
	case c.Size < 0:
		return bad("size of %d bytes", c.Size)
	case c.Size == 0 && c != (Content{}):
		return bad("an empty file has id %s and depth %d instead of zeros", c.ID.Short(), c.Depth)
	case c.Size > 0 && c.ID.IsZero():
		return bad("%d bytes have no id", c.Size)
	case c.Depth == DepthReference:
		return nil
	case c.Depth > DepthMax:
		return bad("depth of %d exceeds %d", c.Depth, DepthMax)
	case c.Depth == 0 && c.Size > SizeMax:
		return bad("%d bytes in one chunk exceed %d", c.Size, SizeMax)
	case c.Depth > 0 && c.Size < 2:
		return bad("a list over %d byte", c.Size)
	}
	return nil
}
