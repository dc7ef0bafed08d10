package rpc

// pieceReader reads bytes that arrive in the messages of a stream.
type pieceReader struct {
	next func() ([]byte, error) // io.EOF at the end
	rest []byte                 // of the last message
}

// Read implements io.Reader.
func (r *pieceReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		var err error
		if r.rest, err = r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
