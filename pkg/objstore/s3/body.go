package s3

import (
	"errors"
	"fmt"
	"io"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// cutBody returns a reader of range r of an object of size bytes. A partial
// body starts where r does; otherwise the service ignored the range and sent
// everything. The returned reader is never nil.
func cutBody(key string, rc io.ReadCloser, size int64, r objstore.Range, partial bool) (io.ReadCloser, error) {
	start, length, err := r.Resolve(size)
	if err != nil {
		return rc, err
	}
	if !partial && start > 0 {
		if _, err := io.CopyN(io.Discard, rc, start); err != nil {
			return rc, fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, err)
		}
	}
	return &body{key: key, rc: rc, left: length}, nil
}

// body reads the given number of bytes and gives a kind to what goes wrong.
type body struct {
	key  string
	rc   io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.rc.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case err == nil || b.left == 0:
		return n, nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("get %s: body broke off, %d bytes missing: %w: %w", b.key, b.left, objstore.ErrUnknownOutcome, err)
}

// Close implements io.Closer.
func (b *body) Close() error { return b.rc.Close() }
