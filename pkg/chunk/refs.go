package chunk

// Ref is a chunk as metadata points to it.
type Ref struct {
	Kind Kind
	ID   ID
}

// Ref returns the chunk that the content begins with: false for an empty file.
func (c Content) Ref() (Ref, bool) {
	switch {
	case c.Size == 0:
		return Ref{}, false
	case c.Depth == 0:
		return Ref{Data, c.ID}, true
	default:
		return Ref{List, c.ID}, true
	}
}

// ListRefs returns the chunks that a List node points to, in order and with
// repetitions: none for a Reference. ErrCorrupt unless b is the one encoding of
// a sound node or Reference.
func ListRefs(b []byte) ([]Ref, error) {
	n, err := decodeList(b)
	if err != nil {
		if _, rerr := DecodeReference(b); rerr == nil {
			return nil, nil // to nothing in the store
		}
		return nil, err
	}
	kind := Data
	if n.Level > 1 {
		kind = List
	}
	refs := make([]Ref, len(n.Entries))
	for i, e := range n.Entries {
		refs[i] = Ref{kind, e.ID}
	}
	return refs, nil
}
