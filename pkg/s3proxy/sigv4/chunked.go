package sigv4

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	// minChunkBytes is S3's lower limit on every chunk of a body but the last.
	minChunkBytes = 8 << 10
	// maxChunkBytes bounds one chunk: S3's limit on an object sent at once.
	maxChunkBytes = 5 << 30
	// maxLineBytes bounds the line before a chunk and each line of a trailer; a
	// chunk's line has some 100 bytes.
	maxLineBytes = 1 << 10

	signatureParam   = "chunk-signature"
	trailerSignature = "x-amz-trailer-signature"
)

// ChunkOptions say what a chunked body has to be like.
type ChunkOptions struct {
	// Chain verifies each chunk; nil expects unsigned chunks.
	Chain *Chain
	// WithTrailer expects a trailer behind the last chunk, signed if the chunks
	// are.
	WithTrailer bool
	// Trailers are the names that the trailer must consist of, in lower case.
	Trailers []string
	// Size is the declared number of bytes of content.
	Size int64
}

// ChunkReader reads the content of a body in S3's aws-chunked form. It gives
// out content before the signature of its chunk has been checked: only io.EOF
// says that the body is whole and every signature right. Errors are of kind
// ErrChunk, ErrChunkSize, ErrIncomplete, ErrTrailer or ErrMismatch, or those
// of the underlying reader. It is used by one goroutine.
type ChunkReader struct {
	in   *bufio.Reader
	o    ChunkOptions
	sum  hash.Hash // of the chunk under way, if signed
	err  error
	left int64 // of the chunk under way
	read int64 // in all
	// signature is what the line before the chunk under way said.
	signature string
	small     bool // a chunk below the limit was seen; it must be the last one
	begun     bool
	trailer   map[string]string
}

// NewChunkReader returns a reader of the content in r.
func NewChunkReader(r io.Reader, o ChunkOptions) *ChunkReader {
	c := &ChunkReader{in: bufio.NewReaderSize(r, 32<<10), o: o, trailer: map[string]string{}}
	if o.Chain != nil {
		c.sum = sha256.New()
	}
	return c
}

// Trailer returns the value of a trailer named in lower case, once Read has
// returned io.EOF.
func (c *ChunkReader) Trailer(name string) (string, bool) {
	v, ok := c.trailer[name]
	return v, ok
}

// Read implements io.Reader.
func (c *ChunkReader) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	if c.left == 0 {
		if c.err = c.nextChunk(); c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.read += int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	c.err = cutShort(err)
	return n, c.err
}

// cutShort turns the end of a body that should have gone on into ErrIncomplete.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return failf(ErrIncomplete, "the body ends within its chunks")
	}
	return err
}

// nextChunk ends the chunk before and begins the next; io.EOF if that was the
// last.
func (c *ChunkReader) nextChunk() error {
	if c.begun {
		if err := c.endChunk(); err != nil {
			return err
		}
	}
	c.begun = true
	line, err := c.line(ErrChunk)
	if err != nil {
		return err
	}
	size, err := c.parseLine(line)
	switch {
	case err != nil:
		return err
	case size == 0:
		return c.end()
	case c.small:
		return failf(ErrChunkSize, "a chunk of fewer than %d bytes is not the last", minChunkBytes)
	case size > c.o.Size-c.read:
		return failf(ErrIncomplete, "more content than the %d bytes declared", c.o.Size)
	}
	c.small = size < minChunkBytes
	c.left = size
	return nil
}

// endChunk reads what follows a chunk's content, and checks its signature.
func (c *ChunkReader) endChunk() error {
	if err := c.lineEnd(ErrChunk); err != nil {
		return err
	}
	if c.o.Chain == nil {
		return nil
	}
	defer c.sum.Reset()
	return c.o.Chain.checkChunk(c.sum, c.signature)
}

// parseLine reads the line before a chunk: its size in hex digits, and its
// signature if the body is signed.
func (c *ChunkReader) parseLine(line string) (int64, error) {
	digits, extension, extended := strings.Cut(line, ";")
	size, err := strconv.ParseUint(digits, 16, 63)
	if err != nil || strings.Trim(digits, "0123456789abcdefABCDEF") != "" || size > maxChunkBytes {
		return 0, failf(ErrChunk, "chunk size %.20q", digits)
	}
	if c.o.Chain == nil {
		if extended {
			return 0, failf(ErrChunk, "an unsigned chunk has an extension")
		}
		return int64(size), nil
	}
	name, value, _ := strings.Cut(extension, "=")
	if name != signatureParam || !isLowerHex(value, sha256.Size*2) {
		return 0, failf(ErrChunk, "a signed chunk has no signature")
	}
	c.signature = value
	return int64(size), nil
}

// end reads what follows the last chunk's line. It returns io.EOF if all of
// the body was there and nothing more.
func (c *ChunkReader) end() error {
	if c.o.Chain != nil {
		if err := c.o.Chain.checkChunk(c.sum, c.signature); err != nil {
			return err
		}
	}
	var err error
	if c.o.WithTrailer {
		err = c.readTrailer()
	} else {
		err = c.lineEnd(ErrChunk)
	}
	if err != nil {
		return err
	}
	if c.read != c.o.Size {
		return failf(ErrIncomplete, "%d bytes of content, %d declared", c.read, c.o.Size)
	}
	switch _, err := c.in.ReadByte(); {
	case err == nil:
		return failf(ErrChunk, "the body goes on behind its last chunk")
	case !errors.Is(err, io.EOF):
		return err
	}
	return io.EOF
}

// readTrailer reads the trailer up to its empty line.
func (c *ChunkReader) readTrailer() error {
	var canonical strings.Builder
	signature := ""
	for {
		line, err := c.line(ErrTrailer)
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		_, again := c.trailer[name]
		switch {
		case !ok || again || signature != "":
			return failf(ErrTrailer, "line %.100q", line)
		case name == trailerSignature && c.o.Chain != nil:
			signature = value
		case !slices.Contains(c.o.Trailers, name):
			return failf(ErrTrailer, "%.100q was not announced", name)
		default:
			c.trailer[name] = value
			canonical.WriteString(name + ":" + value + "\n")
		}
	}
	for _, name := range c.o.Trailers {
		if _, ok := c.trailer[name]; !ok {
			return failf(ErrTrailer, "%.100q was announced and is missing", name)
		}
	}
	if c.o.Chain == nil {
		return nil
	}
	return c.o.Chain.checkTrailer(canonical.String(), signature)
}

// line reads a line that CR LF ends, without them. Some clients end the lines
// of a trailer with LF only.
func (c *ChunkReader) line(kind error) (string, error) {
	b, err := c.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || err == nil && len(b) > maxLineBytes:
		return "", failf(kind, "a line of more than %d bytes", maxLineBytes)
	case err != nil:
		return "", cutShort(err)
	}
	line, ok := strings.CutSuffix(string(b[:len(b)-1]), "\r")
	if !ok && !errors.Is(kind, ErrTrailer) || strings.ContainsRune(line, '\r') {
		return "", failf(kind, "a line does not end with CR LF")
	}
	return line, nil
}

// lineEnd reads the CR LF that has to be next.
func (c *ChunkReader) lineEnd(kind error) error {
	var b [2]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return cutShort(err)
	}
	if b != [2]byte{'\r', '\n'} {
		return failf(kind, "CR LF is missing")
	}
	return nil
}
