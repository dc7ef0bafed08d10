package chunk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"

	"github.com/restic/chunker"
)

// Params says where a store cuts streams. They are recorded in dvx.json when
// the store is made and never change.
type Params struct {
	Algorithm  string `json:"algorithm"`  // "rabin": restic/chunker
	Polynomial string `json:"polynomial"` // lower-case hex, irreducible, public
	MinSize    int    `json:"minSize"`    // bytes
	Bits       int    `json:"bits"`       // a boundary is where this many low bits of the fingerprint are 0; the mean chunk is about MinSize + 2^Bits
	MaxSize    int    `json:"maxSize"`    // bytes, at most SizeMax
}

const (
	algorithmRabin = "rabin" // the only algorithm of this version
	windowSize     = 64      // bytes under the Rabin fingerprint; a chunk can't be shorter
	degree         = 53      // of the polynomial: the largest that the fingerprint's tables allow
	bitsMax        = 23      // 2^23 is SizeMax: more bits would never find a boundary before it
	polynomial1    = "230390db11c723"
)

// DefaultParams returns the parameters of new stores, the same for every
// store, so that equal bytes have equal IDs everywhere. docs/BENCHMARKS.md has
// the measurement behind the sizes; FORMAT.md says how the polynomial was
// drawn.
func DefaultParams() Params {
	return Params{
		Algorithm:  algorithmRabin,
		Polynomial: polynomial1,
		MinSize:    1 << 20,
		Bits:       19,
		MaxSize:    SizeMax,
	}
}

// Validate fails with fs.ErrInvalid if p can't cut streams: every store is
// opened through it.
func (p Params) Validate() error {
	_, err := p.check()
	return err
}

// check validates p and returns its polynomial.
func (p Params) check() (chunker.Pol, error) {
	bad := func(format string, args ...any) (chunker.Pol, error) {
		return 0, fmt.Errorf("chunk parameters: %s: %w", fmt.Sprintf(format, args...), fs.ErrInvalid)
	}
	n, err := strconv.ParseUint(p.Polynomial, 16, 64)
	pol := chunker.Pol(n)
	switch {
	case p.Algorithm != algorithmRabin:
		return bad("algorithm %.40q is not known, %q is", p.Algorithm, algorithmRabin)
	case err != nil || strconv.FormatUint(n, 16) != p.Polynomial:
		return bad("polynomial %.40q is not a number in lower-case hex", p.Polynomial)
	case p.Polynomial != polynomial1 && (pol.Deg() != degree || !pol.Irreducible()): // the proof takes a millisecond: too long for each small file
		return bad("polynomial %s is not irreducible of degree %d", p.Polynomial, degree)
	case p.MinSize < windowSize:
		return bad("minimum of %d bytes is below %d", p.MinSize, windowSize)
	case p.Bits < 1 || p.Bits > bitsMax:
		return bad("%d bits are outside 1 to %d", p.Bits, bitsMax)
	case p.MaxSize <= p.MinSize || p.MaxSize > SizeMax:
		return bad("maximum of %d bytes is outside %d to %d", p.MaxSize, p.MinSize+1, SizeMax)
	}
	return pol, nil
}

// Splitter cuts a stream into chunks. The chunks in order are the stream, and
// none is empty. Where it cuts is a function of the bytes since the last cut:
// how the reader delivered them plays no part, and a Splitter started at a cut
// finds the same cuts after it. It is for one goroutine.
type Splitter interface {
	// Next returns the next chunk, in buf if its capacity suffices (MaxSize
	// always does), or io.EOF after the last. After any error but io.EOF the
	// stream must be given up.
	Next(buf []byte) ([]byte, error)
}

// New returns a Splitter over r. It fails as Validate does.
func (p Params) New(r io.Reader) (Splitter, error) {
	pol, err := p.check()
	if err != nil {
		return nil, err
	}
	s := &splitter{rabin: p.newRabin(pol)}
	s.reset(r)
	return s, nil
}

// splitter is the Rabin splitter. It can be used for one stream after another.
type splitter struct {
	*rabin
	src  source
	read []byte // from the stream, not yet in a chunk
	eof  bool
}

// readStep is how many bytes a splitter asks for at once.
const readStep = 512 << 10

// reset points the splitter at a new stream.
func (s *splitter) reset(r io.Reader) {
	s.src, s.read, s.eof = source{r: r}, s.read[:0], false
}

func (s *splitter) Next(buf []byte) ([]byte, error) {
	if s.src.failed != nil {
		return nil, s.src.failed
	}
	from := s.min
	for {
		end := cutter{s.rabin}.next(s.read, 0, from)
		if end < 0 && s.eof {
			end = len(s.read)
		}
		if end == 0 {
			return nil, io.EOF
		}
		if end > 0 {
			buf = append(buf[:0], s.read[:end]...)
			s.read = s.read[:copy(s.read, s.read[end:])]
			return buf, nil
		}
		from = max(from, len(s.read)+1)
		if err := s.more(); err != nil {
			return nil, err
		}
	}
}

// more reads on.
func (s *splitter) more() error {
	at := len(s.read)
	s.read = slices.Grow(s.read, readStep)
	n, err := io.ReadFull(&s.src, s.read[at:at+readStep])
	s.read = s.read[:at+n]
	switch {
	case s.src.failed != nil:
		return s.src.failed
	case err != nil: // io.EOF or io.ErrUnexpectedEOF
		s.eof = true
	}
	return nil
}

// source stands between a stream and io.ReadFull, after which an
// io.ErrUnexpectedEOF of the stream's own can't be told from its end: a broken
// download would pass for a shorter file. source remembers the first failure
// and reports it as itself.
type source struct {
	r      io.Reader
	failed error
	empty  int
}

// emptyReadsMax is how often a reader may return nothing, without an error,
// in a row; io.Reader discourages it at all.
const emptyReadsMax = 100

func (s *source) Read(p []byte) (int, error) {
	if s.failed != nil {
		return 0, errSource
	}
	n, err := s.r.Read(p)
	if n > 0 || err != nil || len(p) == 0 {
		s.empty = 0
	} else if s.empty++; s.empty >= emptyReadsMax {
		err = io.ErrNoProgress
	}
	if err != nil && err != io.EOF {
		cause := err
		if errors.Is(err, io.EOF) { // wrapped, so it is a failure and no end
			cause = fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, err.Error())
		}
		s.failed = fmt.Errorf("read the stream to cut: %w", cause)
		return n, errSource
	}
	return n, err
}

// errSource stops the reading; the caller sees what the source remembers.
var errSource = errors.New("source failed")
