package s3proxy

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// maxPutBytes is S3's limit on what one request may bring.
const maxPutBytes = 5 << 30

// claimedSum is the checksum that a request says its body has.
type claimedSum struct {
	algorithm algorithm
	value     string // "" if it comes in the trailer
}

// object returns the body of a request that brings an object or a part, which
// must say how long it is.
func (x *exchange) object() (*Content, error) {
	if x.r.ContentLength <= 0 && x.r.Header.Get("Content-Length") == "" && !isStreaming(x.caller.payload) {
		return nil, fail(codeMissingLength)
	}
	x.greet()
	return x.content(x.r.Header)
}

// greet sends the 100 Continue that a client expects before an empty body.
// net/http sends one before any other body, when it is first read; botocore
// takes the final answer in its place, but is out of step with the connection
// from then on.
func (x *exchange) greet() {
	if x.expectsGreeting() {
		x.w.ResponseWriter.WriteHeader(http.StatusContinue)
		x.w.greeted = true
	}
}

// expectsGreeting reports whether the client waits for what greet sends.
func (x *exchange) expectsGreeting() bool {
	return x.r.ContentLength == 0 && x.r.ProtoMajor == 1 && x.r.ProtoMinor == 1 && !x.w.greeted &&
		strings.EqualFold(x.r.Header.Get("Expect"), "100-continue")
}

// content returns the body of a request as what a backend stores. Nothing of
// it has been read; everything that h says of it is checked on the way.
func (x *exchange) content(h http.Header) (*Content, error) {
	size, err := x.contentLength()
	if err != nil {
		return nil, err
	}
	sum, err := claimedChecksum(h)
	if err != nil {
		return nil, err
	}
	var in io.Reader = &watchedReader{r: x.r.Body, w: x.w, limit: x.opts.Stall}
	var trailer func(string) (string, bool)
	if isStreaming(x.caller.payload) {
		chunks, err := x.chunks(in, size)
		if err != nil {
			return nil, err
		}
		in, trailer = chunks, chunks.Trailer
	} else if x.r.Header.Get("X-Amz-Trailer") != "" {
		return nil, failf(codeInvalidRequest, "x-amz-trailer needs a streaming payload with a trailer")
	}
	c := contentOf(in, size)
	if sigv4.IsHash(x.caller.payload) {
		want, _ := hex.DecodeString(x.caller.payload)
		c.expect(c.sum(SHA256), want, fail(codeBadPayloadHash))
	}
	if err := c.expectContentMD5(h); err != nil {
		return nil, err
	}
	c.claim(sum, trailer)
	return c, nil
}

// claim has the checksum compared that a request said its body has.
func (c *Content) claim(sum claimedSum, trailer func(string) (string, bool)) {
	a := sum.algorithm
	switch {
	case a.name == "":
		return
	case sum.value != "":
		c.expectChecksum(a, func() (string, error) { return sum.value, nil })
	default:
		c.expectChecksum(a, func() (string, error) {
			v, ok := trailer(a.header())
			if !ok || !a.valid(v) {
				return "", invalidChecksum(a)
			}
			return v, nil
		})
	}
	c.wanted = a.name
}

// contentLength returns how many bytes of content the headers announce.
func (x *exchange) contentLength() (int64, error) {
	size := x.r.ContentLength
	if isStreaming(x.caller.payload) {
		v := x.r.Header.Get("X-Amz-Decoded-Content-Length")
		if v == "" {
			return 0, fail(codeMissingLength)
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return 0, failf(codeInvalidArgument, "x-amz-decoded-content-length is not a length")
		}
		size = n
	}
	switch {
	case size < 0:
		return 0, fail(codeMissingLength)
	case size > maxPutBytes:
		f := fail(codeEntityTooLarge)
		f.fields = []field{{"ProposedSize", strconv.FormatInt(size, 10)}, {"MaxSizeAllowed", strconv.Itoa(maxPutBytes)}}
		return 0, f
	}
	return size, nil
}

func isStreaming(payload string) bool { return !sigv4.IsHash(payload) && payload != sigv4.Unsigned }

// chunks returns a reader of a body in aws-chunked form.
func (x *exchange) chunks(in io.Reader, size int64) (*sigv4.ChunkReader, error) {
	o := sigv4.ChunkOptions{Size: size}
	switch x.caller.payload {
	case sigv4.StreamingSigned:
		o.Chain = x.caller.chain
	case sigv4.StreamingSignedTrailer:
		o.Chain, o.WithTrailer = x.caller.chain, true
	case sigv4.StreamingUnsignedTrailer:
		o.WithTrailer = true
	}
	if v := x.r.Header.Get("X-Amz-Trailer"); v != "" {
		if !o.WithTrailer {
			return nil, failf(codeInvalidRequest, "x-amz-trailer needs a streaming payload with a trailer")
		}
		for name := range strings.SplitSeq(v, ",") {
			o.Trailers = append(o.Trailers, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	return sigv4.NewChunkReader(in, o), nil
}

// expectContentMD5 has the MD5 compared that a request's headers give.
func (c *Content) expectContentMD5(h http.Header) error {
	if h["Content-Md5"] == nil {
		return nil
	}
	want, err := base64.StdEncoding.Strict().DecodeString(h.Get("Content-Md5"))
	if err != nil || len(want) != md5.Size {
		return fail(codeInvalidDigest)
	}
	c.expect(c.md5, want, fail(codeBadDigest))
	return nil
}

const checksumPrefix = "X-Amz-Checksum-"

// claimedChecksum returns the one checksum that headers announce, its algorithm
// "" if there is none.
func claimedChecksum(h http.Header) (claimedSum, error) {
	var found []claimedSum
	for name := range h {
		alg, ok := strings.CutPrefix(name, checksumPrefix)
		if !ok || alg == "Mode" || alg == "Algorithm" || alg == "Type" {
			continue
		}
		a, known := findAlgorithm(alg)
		switch {
		case !known:
			return claimedSum{}, failf(codeInvalidRequest, "The algorithm type you specified in x-amz-checksum- header is invalid.")
		case !a.valid(h.Get(name)):
			return claimedSum{}, invalidChecksum(a)
		}
		found = append(found, claimedSum{a, h.Get(name)})
	}
	for name := range strings.SplitSeq(h.Get("X-Amz-Trailer"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		a, known := findAlgorithm(strings.TrimPrefix(name, strings.ToLower(checksumPrefix)))
		if !known || name != a.header() {
			return claimedSum{}, failf(codeInvalidRequest, "The value specified in the x-amz-trailer header is not supported")
		}
		found = append(found, claimedSum{algorithm: a})
	}
	if len(found) > 1 {
		return claimedSum{}, failf(codeInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	return matchSDKAlgorithm(h, found)
}

// matchSDKAlgorithm returns the checksum that was found, if it is of the
// algorithm that the SDK says it sends.
func matchSDKAlgorithm(h http.Header, found []claimedSum) (claimedSum, error) {
	named := h.Get("X-Amz-Sdk-Checksum-Algorithm")
	a, known := findAlgorithm(named)
	switch {
	case named != "" && !known:
		return claimedSum{}, unsupportedAlgorithm()
	case named != "" && len(found) == 0:
		return claimedSum{}, failf(codeInvalidRequest, "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case len(found) == 0:
		return claimedSum{}, nil
	case named != "" && a.name != found[0].algorithm.name:
		return claimedSum{}, failf(codeInvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return found[0], nil
}

func invalidChecksum(a algorithm) error {
	return failf(codeInvalidRequest, "Value for %s header is invalid.", a.header())
}

func unsupportedAlgorithm() error {
	return failf(codeInvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
}

// document reads a body that is an XML document, all that was said of it
// checked. An absent one is empty.
func (x *exchange) document() ([]byte, error) { return x.documentAs(x.r.Header) }

// documentAs is document for a body of which h says what has to hold.
func (x *exchange) documentAs(h http.Header) ([]byte, error) {
	if x.r.ContentLength < 0 && !isStreaming(x.caller.payload) {
		x.r.ContentLength = 0
		in := &watchedReader{r: x.r.Body, w: x.w, limit: x.opts.Stall}
		b, err := io.ReadAll(io.LimitReader(in, maxBodyBytes+1))
		if err != nil {
			return nil, err
		}
		x.r.ContentLength, x.r.Body = int64(len(b)), io.NopCloser(bytes.NewReader(b))
	}
	c, err := x.content(h)
	if err != nil {
		return nil, err
	}
	if c.Size() > maxBodyBytes {
		return nil, fail(codeTooLarge)
	}
	b := make([]byte, c.Size())
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, noEOF(err)
	}
	var one [1]byte
	if _, err := c.Read(one[:]); err != io.EOF { //nolint:errorlint // Content returns it bare
		return nil, err
	}
	return b, nil
}

// checkBody reads the body of a request that needs none and compares it with
// what was signed.
func (x *exchange) checkBody() error {
	if isStreaming(x.caller.payload) {
		return failf(codeInvalidArgument, "A streaming payload is not valid for this operation.")
	}
	sum := sha256.New()
	if x.r.Body != nil && x.r.Body != http.NoBody {
		in := &watchedReader{r: x.r.Body, w: x.w, limit: x.opts.Stall}
		n, err := io.Copy(sum, io.LimitReader(in, maxBodyBytes+1))
		switch {
		case err != nil:
			return err
		case n > maxBodyBytes:
			return fail(codeTooLarge)
		}
	}
	if sigv4.IsHash(x.caller.payload) && hex.EncodeToString(sum.Sum(nil)) != x.caller.payload {
		return fail(codeBadPayloadHash)
	}
	return nil
}
