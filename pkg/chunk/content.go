package chunk

// Content names the bytes of a file. Equal bytes have equal Contents in all
// stores of equal [Params]; how the bytes arrived plays no part.
type Content struct {
	ID    ID    // zero for an empty file, a Data chunk at depth 0, else a List node
	Size  int64 // bytes
	Depth uint8 // levels of List nodes above the Data chunks, 0 to DepthMax
}

// DepthMax is the largest depth of a Content: with at least 64 entries in
// every list but the last, 8 levels hold more than any file has chunks.
const DepthMax = 8
