package pack

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// codec turns chunks into stored bytes and back. It may be used concurrently.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// windowMax is the largest zstd window that is accepted, in bytes.
const windowMax = 8 << 20

func newCodec() (*codec, error) {
	n := runtime.GOMAXPROCS(0)
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(n),
		zstd.WithEncoderCRC(false), // every chunk has its BLAKE3
		zstd.WithWindowSize(4<<20),
		zstd.WithLowerEncoderMem(true),
		zstd.WithZeroFrames(true))
	if err != nil {
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
	return &codec{enc, dec}, nil
}

func (c *codec) close() {
	_ = c.enc.Close() // there is no stream to end
	c.dec.Close()
}

// compressMin is the shortest chunk that is worth a try, in bytes: below it a
// frame's header eats what it gains.
const compressMin = 64

// A chunk of at least probeMin bytes is compressed only if one of its probes,
// probeSize bytes each, scattered evenly, gains something: a try at all of it
// costs ten times as much.
const (
	probeMin  = 256 << 10
	probeSize = 16 << 10
	probes    = 4
)

// encode returns plain compressed, or itself where that gains less than 3 %.
// The result may lie in scratch, which it grows.
func (c *codec) encode(plain []byte, scratch *[]byte) ([]byte, Encoding) {
	if len(plain) < compressMin || len(plain) >= probeMin && !c.probe(plain, scratch) {
		return plain, Raw
	}
	packed := c.enc.EncodeAll(plain, slices.Grow((*scratch)[:0], c.enc.MaxEncodedSize(len(plain))))
	*scratch = packed
	if !pays(len(packed), len(plain)) {
		return plain, Raw
	}
	return packed, Zstd
}

func pays(packed, plain int) bool { return packed*100 <= plain*97 }

// probe reports whether parts of plain can be compressed.
func (c *codec) probe(plain []byte, scratch *[]byte) bool {
	for i := range probes {
		part := plain[(len(plain)-probeSize)/(probes-1)*i:][:probeSize]
		*scratch = c.enc.EncodeAll(part, slices.Grow((*scratch)[:0], c.enc.MaxEncodedSize(probeSize)))
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
