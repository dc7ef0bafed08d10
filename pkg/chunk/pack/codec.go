package pack

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// codec turns chunks into stored bytes and back. It may be used concurrently.
type codec struct {
	fast   *zstd.Encoder
	dense  *zstd.Encoder // for data of denseMin bytes and more
	dec    *zstd.Decoder
	misses atomic.Uint32 // chunks in a row that looked incompressible, and were if tried
}

// windowMax is the largest zstd window that is accepted, in bytes.
const windowMax = 8 << 20

func newCodec() (*codec, error) {
	n := runtime.GOMAXPROCS(0)
	fast, err1 := newEncoder(zstd.SpeedFastest, n)
	dense, err2 := newEncoder(zstd.SpeedDefault, n)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("open zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(n),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(windowMax),
		zstd.WithDecoderMaxMemory(chunk.MetaSizeMax),
		zstd.WithDecodeAllCapLimit(true)) // the declared plain length is the cap
	if err != nil {
		return nil, fmt.Errorf("open zstd decoder: %w", err)
	}
	return &codec{fast: fast, dense: dense, dec: dec}, nil
}

func newEncoder(level zstd.EncoderLevel, n int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(n),
		zstd.WithEncoderCRC(false), // every chunk has its BLAKE3
		zstd.WithWindowSize(4<<20),
		zstd.WithLowerEncoderMem(true),
		zstd.WithZeroFrames(true))
}

func (c *codec) close() {
	_, _ = c.fast.Close(), c.dense.Close() // there is no stream to end
	c.dec.Close()
}

// compressMin is the shortest chunk that is worth a try, in bytes: below it a
// frame's header eats what it gains.
const compressMin = 64

// denseMin is the length of data from which the slower of two levels is used, in
// bytes: it gains 5 %, for a third more time; of shorter chunks there are too
// many. Metadata is mostly hashes, and a commit that writes little of it should
// not first touch the megabytes of memory that the slower level works in.
const denseMin = 32 << 10

// A chunk of at least probeMin bytes of which no probe, of probeSize bytes
// each, scattered evenly, can be compressed may still repeat itself over some
// distance: archives do. So it is tried all the same, unless that has just been
// in vain missesMax times in a row; then one in retryEach is.
const (
	probeMin  = 256 << 10
	probeSize = 16 << 10
	probes    = 4
	missesMax = 32
	retryEach = 4
)

// encode returns a chunk of a kind compressed, or itself where that gains less
// than 3 %. The result may lie in scratch, which it grows.
func (c *codec) encode(kind chunk.Kind, plain []byte, scratch *[]byte) ([]byte, Encoding) {
	if len(plain) < compressMin {
		return plain, Raw
	}
	doubtful := len(plain) >= probeMin && !c.probe(plain, scratch)
	if doubtful {
		if n := c.misses.Add(1); n > missesMax && n%retryEach != 0 {
			return plain, Raw
		}
	}
	enc := c.fast
	if len(plain) >= denseMin && !kind.Meta() {
		enc = c.dense
	}
	packed := enc.EncodeAll(plain, slices.Grow((*scratch)[:0], enc.MaxEncodedSize(len(plain))))
	*scratch = packed
	if !pays(len(packed), len(plain)) {
		return plain, Raw
	}
	if doubtful {
		c.misses.Store(0)
	}
	return packed, Zstd
}

func pays(packed, plain int) bool { return packed*100 <= plain*97 }

// probe reports whether parts of plain can be compressed.
func (c *codec) probe(plain []byte, scratch *[]byte) bool {
	for i := range probes {
		part := plain[(len(plain)-probeSize)/(probes-1)*i:][:probeSize]
		*scratch = c.fast.EncodeAll(part, slices.Grow((*scratch)[:0], c.fast.MaxEncodedSize(probeSize)))
		if pays(len(*scratch), probeSize) {
			return true
		}
	}
	return false
}

// decode returns the plain bytes of e, verified, from its stored bytes. They
// are in dst if its capacity suffices, or are stored itself. The error is of
// kind chunk.ErrCorrupt.
func (c *codec) decode(e *Entry, stored, dst []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, corrupt("entry: %v", err)
	}
	if len(stored) != int(e.Stored) {
		return nil, corrupt("%d stored bytes instead of %d", len(stored), e.Stored)
	}
	plain := stored
	if e.Encoding == Zstd {
		if cap(dst) < int(e.Plain) {
			dst = make([]byte, 0, e.Plain)
		}
		var err error
		if plain, err = c.dec.DecodeAll(stored, dst[:0:e.Plain]); err != nil {
			return nil, corrupt("decompress: %v", err)
		}
		if len(plain) != int(e.Plain) {
			return nil, corrupt("decompressed to %d bytes instead of %d", len(plain), e.Plain)
		}
	}
	if e.Kind.Sum(plain) != e.ID {
		return nil, corrupt("the bytes do not match the id")
	}
	return plain, nil
}
