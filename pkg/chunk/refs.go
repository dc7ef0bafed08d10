package chunk

// ListRefs returns the chunks that a List node points to, in order and with
// repetitions. ErrCorrupt unless b is the one encoding of a sound node.
func ListRefs(b []byte) ([]ID, error) {
	n, err := decodeList(b)
	if err != nil {
		return nil, err
	}
	ids := make([]ID, len(n.Entries))
	for i, e := range n.Entries {
		ids[i] = e.ID
	}
	return ids, nil
}
