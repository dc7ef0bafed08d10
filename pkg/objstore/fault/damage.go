package fault

import (
	"bytes"
	"io"
)

// damage reads a whole body and spoils it.
func damage(rc io.ReadCloser, e Effect) (io.ReadCloser, error) {
	b, err := io.ReadAll(rc)
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	if e.FlipBit && len(b) > 0 {
		b[len(b)/2] ^= 1 << (len(b) % 8)
	}
	if e.Truncate {
		b = b[:len(b)/2]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
