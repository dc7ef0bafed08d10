package sigv4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// The two examples of "Signature Calculations for the Authorization Header:
// Transferring Payload in Multiple Chunks" in the S3 API reference: 66,560
// bytes of "a" in chunks of 64 KiB.
const (
	chunkSeed    = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	chunkFirst   = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
	chunkSecond  = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
	chunkLast    = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
	trailSeed    = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
	trailFirst   = "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
	trailSecond  = "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
	trailLast    = "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
	trailTrailer = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
)

func exampleChain(t testing.TB, seed string) *Chain {
	t.Helper()
	at, err := time.Parse(TimeFormat, exampleTime)
	if err != nil {
		t.Fatal(err)
	}
	c := &Claim{At: at, Scope: Scope{"20130524", "us-east-1", "s3"}, signature: seed}
	return c.Chain(exampleSecret)
}

// signedBody writes a body as the examples have it.
func signedBody(first, second, last, trailer string) string {
	return fmt.Sprintf("10000;chunk-signature=%s\r\n%s\r\n400;chunk-signature=%s\r\n%s\r\n0;chunk-signature=%s\r\n%s\r\n",
		first, strings.Repeat("a", 65536), second, strings.Repeat("a", 1024), last, trailer)
}

func TestPublishedChunkedExample(t *testing.T) {
	const target = exampleURL + "/chunkObject.txt"
	for _, tt := range []struct {
		name, seed, mode, body, signed string
		headers                        []string
		o                              ChunkOptions
	}{
		{
			"signed", chunkSeed, StreamingSigned, signedBody(chunkFirst, chunkSecond, chunkLast, ""),
			"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			[]string{"Content-Length: 66824", "X-Amz-Decoded-Content-Length: 66560"},
			ChunkOptions{Size: 66560},
		},
		{
			"with trailer", trailSeed, StreamingSignedTrailer,
			signedBody(trailFirst, trailSecond, trailLast, "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"+trailTrailer+"\r\n"),
			"content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			[]string{"X-Amz-Decoded-Content-Length: 66560", "X-Amz-Trailer: x-amz-checksum-crc32c"},
			ChunkOptions{Size: 66560, WithTrailer: true, Trailers: []string{"x-amz-checksum-crc32c"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(t, "PUT", target, append(tt.headers,
				"X-Amz-Date: "+exampleTime, "X-Amz-Storage-Class: REDUCED_REDUNDANCY",
				"Content-Encoding: aws-chunked", "X-Amz-Content-Sha256: "+tt.mode,
				"Authorization: "+exampleAuth+"SignedHeaders="+tt.signed+",Signature="+tt.seed)...)
			r.Host = "s3.amazonaws.com"
			r.URL.Host, r.URL.Path = r.Host, "/examplebucket/chunkObject.txt"
			if err := check(r, exampleNow(t), exampleSecret); err != nil {
				t.Errorf("seed signature: %v", err)
			}
			tt.o.Chain = exampleChain(t, tt.seed)
			c := NewChunkReader(iotest.HalfReader(strings.NewReader(tt.body)), tt.o)
			got, err := io.ReadAll(c)
			if err != nil || string(got) != strings.Repeat("a", 66560) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if v, ok := c.Trailer("x-amz-checksum-crc32c"); ok != tt.o.WithTrailer || ok && v != "sOO8/Q==" {
				t.Errorf("trailer %q, %v", v, ok)
			}
		})
	}
}

func TestChunkedBodiesRefused(t *testing.T) {
	good := signedBody(chunkFirst, chunkSecond, chunkLast, "")
	unsigned := "2000\r\n" + strings.Repeat("b", 8192) + "\r\n1\r\nc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
	signed := func(size int64) ChunkOptions {
		return ChunkOptions{Chain: exampleChain(t, chunkSeed), Size: size}
	}
	plain := ChunkOptions{Size: 8193, WithTrailer: true, Trailers: []string{"x-amz-checksum-crc32"}}
	replace := func(s, old, new string) string {
		if !strings.Contains(s, old) {
			t.Errorf("nothing to replace: %q", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	zeros := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name, body string
		o          ChunkOptions
		want       error
	}{
		{"good", good, signed(66560), nil},
		{"good, unsigned", unsigned, plain, nil},
		{"good, trailer lines end with LF", replace(unsigned, "AA==\r\n\r\n", "AA==\n\r\n"), plain, nil},
		{"one byte changed", replace(good, "aaa", "aab"), signed(66560), ErrMismatch},
		{"first signature changed", replace(good, chunkFirst, zeros), signed(66560), ErrMismatch},
		{"last signature changed", replace(good, chunkLast, zeros), signed(66560), ErrMismatch},
		{"chunks swapped", replace(replace(good, chunkFirst, zeros), chunkSecond, chunkFirst), signed(66560), ErrMismatch},
		{"no last chunk", good[:strings.Index(good, "\r\n0;")+2], signed(66560), ErrIncomplete},
		{"cut in the first chunk", good[:5000], signed(66560), ErrIncomplete},
		{"cut before the end", good[:len(good)-1], signed(66560), ErrIncomplete},
		{"nothing", "", signed(0), ErrIncomplete},
		{"declared longer", good, signed(66561), ErrIncomplete},
		{"declared shorter", good, signed(66559), ErrIncomplete},
		{"goes on", good + "x", signed(66560), ErrChunk},
		{"trailer where there is none", replace(good, chunkLast+"\r\n\r\n", chunkLast+"\r\na:b\r\n\r\n"), signed(66560), ErrChunk},
		{"signature missing", replace(good, ";chunk-signature="+chunkFirst, ""), signed(66560), ErrChunk},
		{"signature too short", replace(good, chunkFirst, chunkFirst[1:]), signed(66560), ErrChunk},
		{"another extension", replace(good, "chunk-signature", "chunk-sig"), signed(66560), ErrChunk},
		{"no size", replace(good, "10000;", ";"), signed(66560), ErrChunk},
		{"negative size", replace(good, "10000;", "-10000;"), signed(66560), ErrChunk},
		{"size with a sign", replace(good, "10000;", "+10000;"), signed(66560), ErrChunk},
		{"size with a prefix", replace(good, "10000;", "0x10000;"), signed(66560), ErrChunk},
		{"size with an underscore", replace(good, "10000;", "1_0000;"), signed(66560), ErrChunk},
		{"size beyond 63 bits", replace(good, "10000;", "ffffffffffffffff;"), signed(66560), ErrChunk},
		{"size beyond the limit", replace(good, "10000;", "200000000;"), signed(1 << 40), ErrChunk},
		{"endless line", strings.Repeat("0", 5000) + "\r\n", signed(66560), ErrChunk},
		{"endless line without end", strings.Repeat("0", 40000), signed(66560), ErrChunk},
		{"bare LF", replace(good, chunkFirst+"\r\n", chunkFirst+"\n"), signed(66560), ErrChunk},
		{"CR in a line", replace(good, "10000;", "10000;\r"), signed(66560), ErrChunk},
		{"no CR LF behind a chunk", replace(good, "a\r\n400", "aXX400"), signed(66560), ErrChunk},
		{"signed though it should not be", good, plain, ErrChunk},
		{"unsigned though it should be", unsigned, signed(8193), ErrChunk},
		{"small chunk is not the last", replace(unsigned, "1\r\nc\r\n", "1\r\nc\r\n1\r\nd\r\n"), ChunkOptions{Size: 8194, WithTrailer: true, Trailers: plain.Trailers}, ErrChunkSize},
		{"trailer missing", replace(unsigned, "x-amz-checksum-crc32:AAAAAA==\r\n", ""), plain, ErrTrailer},
		{"trailer twice", replace(unsigned, "AA==\r\n", "AA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n"), plain, ErrTrailer},
		{"another trailer", replace(unsigned, "crc32:", "crc32c:"), plain, ErrTrailer},
		{"trailer without a colon", replace(unsigned, "crc32:", "crc32"), plain, ErrTrailer},
		{"trailer without its end", unsigned[:len(unsigned)-2], plain, ErrIncomplete},
		{"signature in an unsigned trailer", replace(unsigned, "AA==\r\n", "AA==\r\nx-amz-trailer-signature:"+zeros+"\r\n"), plain, ErrTrailer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Chain != nil {
				tt.o.Chain = exampleChain(t, chunkSeed)
			}
			_, err := io.Copy(io.Discard, NewChunkReader(strings.NewReader(tt.body), tt.o))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	broken := errors.New("broken")
	c := NewChunkReader(io.MultiReader(strings.NewReader(good[:100]), iotest.ErrReader(broken)), signed(66560))
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, broken) {
		t.Errorf("error of the reader below: got %v", err)
	}
}

func TestSignedTrailerRefused(t *testing.T) {
	const line = "x-amz-checksum-crc32c:sOO8/Q==\r\n"
	for name, trailer := range map[string]string{
		"no signature":       line,
		"wrong signature":    line + "x-amz-trailer-signature:" + strings.Repeat("0", 64) + "\r\n",
		"value changed":      "x-amz-checksum-crc32c:sOO8/A==\r\nx-amz-trailer-signature:" + trailTrailer + "\r\n",
		"signature is first": "x-amz-trailer-signature:" + trailTrailer + "\r\n" + line,
		"signature twice":    line + strings.Repeat("x-amz-trailer-signature:"+trailTrailer+"\r\n", 2),
		"nothing":            "",
	} {
		o := ChunkOptions{Chain: exampleChain(t, trailSeed), Size: 66560, WithTrailer: true, Trailers: []string{"x-amz-checksum-crc32c"}}
		body := signedBody(trailFirst, trailSecond, trailLast, trailer)
		if _, err := io.Copy(io.Discard, NewChunkReader(strings.NewReader(body), o)); !errors.Is(err, ErrMismatch) && !errors.Is(err, ErrTrailer) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestChunksAreJoined writes content in chunks and reads it back in pieces of
// any size.
func TestChunksAreJoined(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var want, body bytes.Buffer
		for range rapid.IntRange(0, 4).Draw(rt, "chunks") {
			chunk := bytes.Repeat([]byte{rapid.Byte().Draw(rt, "byte")}, rapid.IntRange(minChunkBytes, 20000).Draw(rt, "size"))
			fmt.Fprintf(&body, "%x\r\n%s\r\n", len(chunk), chunk)
			want.Write(chunk)
		}
		body.WriteString("0\r\n\r\n")
		c := NewChunkReader(iotest.OneByteReader(&body), ChunkOptions{Size: int64(want.Len()), WithTrailer: true})
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			rt.Fatalf("%d bytes, %v, want %d", len(got), err, want.Len())
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // Read returns it bare
			rt.Fatalf("behind the end: %d, %v", n, err)
		}
	})
}

func FuzzChunkReader(f *testing.F) {
	f.Add([]byte(signedBody(chunkFirst, chunkSecond, chunkLast, "")), int64(66560), true, false)
	f.Add([]byte(signedBody(trailFirst, trailSecond, trailLast, "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"+trailTrailer+"\r\n")), int64(66560), true, true)
	f.Add([]byte("1\r\nc\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n"), int64(1), false, true)
	f.Fuzz(func(t *testing.T, body []byte, size int64, signed, trailer bool) {
		o := ChunkOptions{Size: size, WithTrailer: trailer}
		if trailer {
			o.Trailers = []string{"x-amz-checksum-crc32c"}
		}
		if signed {
			o.Chain = exampleChain(t, chunkSeed)
		}
		got, err := io.ReadAll(NewChunkReader(bytes.NewReader(body), o))
		switch {
		case err == nil && int64(len(got)) != size:
			t.Fatalf("%d bytes taken for %d", len(got), size)
		case err == nil && signed && (size != 66560 || trailer):
			t.Fatalf("a body was accepted that nobody signed")
		case int64(len(got)) > max(size, 0):
			t.Fatalf("%d bytes given out of %d", len(got), size)
		}
	})
}
