package s3

import (
	"context"
	"crypto/md5"
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

// readWhole reads and closes a body.
func readWhole(rc io.ReadCloser) ([]byte, error) {
	defer rc.Close()
	return io.ReadAll(rc)
}

// matches reports whether b are the bytes of the version in info. Services that
// keep bytes and ETag apart may pair one object's bytes with the ETag of the
// next, and a compare-and-swap from such a pair would lose a commit. An ETag is
// the MD5 of the bytes, mostly; where it is not, bytes and ETag belong together
// if the ETag is still the same after the bytes were read, for dvx never writes
// the same bytes twice to one key that it replaces.
func (s *Store) matches(ctx context.Context, b []byte, info objstore.Info) (bool, error) {
	if string(info.Version) == fmt.Sprintf("%x", md5.Sum(b)) {
		return true, nil
	}
	now, err := s.Stat(ctx, info.Key)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return false, err
	}
	return err == nil && now.Version == info.Version, nil
}
