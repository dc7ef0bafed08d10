package s3proxy

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

// Content is the content of an object or part on its way to a backend. Read
// returns io.EOF only if everything that the client said of it holds: its
// length, the hash or the signatures of its pieces, Content-MD5, checksums. It
// is used by one goroutine.
type Content struct {
	size   int64
	in     io.Reader
	read   int64
	err    error
	checks []func() error // run at the end
	md5    hash.Hash
	sums   map[Algorithm]hash.Hash
	wanted Algorithm // what Checksum returns, or ""
}

// contentOf returns a Content of exactly size bytes from r.
func contentOf(r io.Reader, size int64) *Content {
	return &Content{size: size, in: r, md5: md5.New(), sums: map[Algorithm]hash.Hash{}}
}

// ContentOf returns a Content of the size bytes that r has, with a checksum of
// algorithm a unless that is "".
func ContentOf(r io.Reader, size int64, a Algorithm) *Content {
	c := contentOf(r, size)
	c.want(a)
	return c
}

// Size returns the number of bytes, or -1 if only the end will tell.
func (c *Content) Size() int64 { return c.size }

// MD5 returns the MD5 of the content once Read has returned io.EOF.
func (c *Content) MD5() [md5.Size]byte { return [md5.Size]byte(c.md5.Sum(nil)) }

// ETag returns the MD5 in hex digits.
func (c *Content) ETag() string { return hex.EncodeToString(c.md5.Sum(nil)) }

// Checksum returns the checksum to store with the content once Read has
// returned io.EOF, or zero.
func (c *Content) Checksum() Checksum {
	h := c.sums[c.wanted]
	if h == nil {
		return Checksum{}
	}
	return Checksum{Algorithm: c.wanted, Value: base64.StdEncoding.EncodeToString(h.Sum(nil))}
}

// want has a checksum of algorithm a computed and returned.
func (c *Content) want(a Algorithm) {
	c.wanted = a
	c.sum(a)
}

// sum has a checksum of algorithm a computed.
func (c *Content) sum(name Algorithm) hash.Hash {
	a, ok := findAlgorithm(string(name))
	if ok && c.sums[name] == nil {
		c.sums[name] = a.new()
	}
	return c.sums[name]
}

// expect fails the content with err unless h ends at want.
func (c *Content) expect(h hash.Hash, want []byte, err error) {
	c.checks = append(c.checks, func() error {
		if !bytes.Equal(h.Sum(nil), want) {
			return err
		}
		return nil
	})
}

// expectChecksum has a checksum compared with what value returns at the end.
func (c *Content) expectChecksum(a algorithm, value func() (string, error)) {
	h := c.sum(a.name)
	c.checks = append(c.checks, func() error {
		v, err := value()
		if err == nil && v != base64.StdEncoding.EncodeToString(h.Sum(nil)) {
			err = badChecksum(a)
		}
		return err
	})
}

func badChecksum(a algorithm) error {
	return failf(codeBadDigest, "The %s you specified did not match the calculated checksum.", a.name)
}

// Read implements io.Reader.
func (c *Content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.in.Read(p)
	c.read += int64(n)
	c.md5.Write(p[:n])
	for _, h := range c.sums {
		h.Write(p[:n])
	}
	switch {
	case c.size >= 0 && c.read > c.size:
		err = fail(codeIncompleteBody)
	case errors.Is(err, io.EOF):
		err = c.end()
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fail(codeIncompleteBody)
	}
	c.err = err
	return n, err
}

// end returns io.EOF if all that was said of the content holds.
func (c *Content) end() error {
	if c.size >= 0 && c.read != c.size {
		return fail(codeIncompleteBody)
	}
	for _, check := range c.checks {
		if err := check(); err != nil {
			return err
		}
	}
	return io.EOF
}

// wantDefault has the checksum computed that S3 stores if a client sends none.
func (c *Content) wantDefault() {
	if c.wanted == "" {
		c.want(CRC64NVME)
	}
}

// failure returns what was wrong with the content, or nil if nothing was found.
func (c *Content) failure() error {
	if c.err == nil || errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}
