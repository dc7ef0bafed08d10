package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"

	"github.com/klauspost/compress/zstd"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// Layout of a segment, described in FORMAT.md.
const (
	magic      = "dvxhist\x01"
	headerSize = len(magic) + 6*4
	sumSize    = chunk.IDSize
)

// Limits of a segment. The decoder checks them before it allocates.
const (
	LineSizeMax    = 1 << 20  // bytes of one record
	SectionSizeMax = 64 << 20 // plain bytes of a section; a writer starts another segment
	sumContext     = "dvx 2026-11 v1 history segment\n"
)

// section is one of a segment's two blocks of records.
type section struct {
	count int
	plain []byte
}

func (s *section) add(line []byte) {
	s.plain = append(append(s.plain, line...), '\n')
	s.count++
}

// Encode returns a segment of the records, in their order. It fails with
// fs.ErrInvalid if a record is unsound or the segment would be too large.
func Encode(records []Record) ([]byte, error) {
	var jobs, attempts section
	for _, r := range records {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("encode history: %w", err)
		}
		line, err := commit.CanonicalJSON(r)
		if err != nil {
			return nil, fmt.Errorf("encode history: %w", err)
		}
		if len(line) > LineSizeMax {
			return nil, fmt.Errorf("encode history: record of %d bytes exceeds the limit of %d: %w", len(line), LineSizeMax, fs.ErrInvalid)
		}
		if r.Attempt != nil {
			attempts.add(line)
		} else {
			jobs.add(line)
		}
	}
	if len(jobs.plain) > SectionSizeMax || len(attempts.plain) > SectionSizeMax {
		return nil, fmt.Errorf("encode history: %d and %d bytes of records exceed the limit of %d: write several segments: %w",
			len(jobs.plain), len(attempts.plain), SectionSizeMax, fs.ErrInvalid)
	}
	return assemble(jobs, attempts)
}

func assemble(jobs, attempts section) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("encode history: %w", err)
	}
	defer func() { _ = enc.Close() }()
	a, b := enc.EncodeAll(jobs.plain, nil), enc.EncodeAll(attempts.plain, nil)
	out := make([]byte, 0, headerSize+len(a)+len(b)+sumSize)
	out = append(out, magic...)
	for _, n := range []int{jobs.count, len(jobs.plain), len(a), attempts.count, len(attempts.plain), len(b)} {
		out = binary.BigEndian.AppendUint32(out, uint32(n)) //nolint:gosec // all are below SectionSizeMax, far from overflow
	}
	out = append(append(out, a...), b...)
	sum := checksum(out)
	return append(out, sum[:]...), nil
}

// checksum is the last field of a segment: over everything before it.
func checksum(body []byte) chunk.ID {
	return chunk.Data.Sum(append([]byte(sumContext), body...))
}

// Segment is a decoded segment. The attempts stay compressed until asked for.
type Segment struct {
	Jobs     []Job   // as written, oldest first; one ID may occur more than once
	Events   []Event // oldest first
	attempts []byte  // compressed
	count    int
	size     int
}

// Decode reads what [Encode] writes and verifies all of it but the attempts,
// which [Segment.Attempts] verifies. Anything else fails with
// chunk.ErrCorrupt.
func Decode(b []byte) (*Segment, error) {
	n, a, p, err := split(b)
	if err != nil {
		return nil, fmt.Errorf("decode history: %w: %w", err, chunk.ErrCorrupt)
	}
	s := &Segment{attempts: p, count: n[3], size: n[4]}
	err = eachLine(a, n[0], n[1], func(r Record) error {
		switch {
		case r.Job != nil:
			s.Jobs = append(s.Jobs, *r.Job)
		case r.Event != nil:
			s.Events = append(s.Events, *r.Event)
		default:
			return fmt.Errorf("an attempt among the jobs: %w", fs.ErrInvalid)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decode history: %w: %w", err, chunk.ErrCorrupt)
	}
	return s, nil
}

// Attempts visits the attempts in their order until visit fails.
func (s *Segment) Attempts(visit func(Attempt) error) error {
	var stop error
	err := eachLine(s.attempts, s.count, s.size, func(r Record) error {
		if r.Attempt == nil {
			return fmt.Errorf("a record among the attempts that is none: %w", fs.ErrInvalid)
		}
		stop = visit(*r.Attempt)
		return stop
	})
	switch {
	case stop != nil:
		return stop
	case err != nil:
		return fmt.Errorf("decode history: attempts: %w: %w", err, chunk.ErrCorrupt)
	}
	return nil
}

// Records returns everything in the segment: jobs, events, then attempts.
func (s *Segment) Records() ([]Record, error) {
	out := make([]Record, 0, len(s.Jobs)+len(s.Events)+s.count)
	for i := range s.Jobs {
		out = append(out, Record{Job: &s.Jobs[i]})
	}
	for i := range s.Events {
		out = append(out, Record{Event: &s.Events[i]})
	}
	err := s.Attempts(func(a Attempt) error {
		out = append(out, Record{Attempt: &a})
		return nil
	})
	return out, err
}

// split checks the frame of a segment and returns the six numbers of its
// header and its two compressed sections.
func split(b []byte) (n [6]int, jobs, attempts []byte, err error) {
	if len(b) < headerSize+sumSize || string(b[:len(magic)]) != magic {
		return n, nil, nil, fmt.Errorf("no history segment of version 1: %w", fs.ErrInvalid)
	}
	body := b[:len(b)-sumSize]
	if sum := checksum(body); !bytes.Equal(sum[:], b[len(body):]) {
		return n, nil, nil, fmt.Errorf("checksum differs: %w", fs.ErrInvalid)
	}
	for i := range n {
		n[i] = int(binary.BigEndian.Uint32(b[len(magic)+4*i:]))
	}
	rest := body[headerSize:]
	if n[2]+n[5] != len(rest) || n[1] > SectionSizeMax || n[4] > SectionSizeMax || n[0] > n[1] || n[3] > n[4] {
		return n, nil, nil, fmt.Errorf("header %v does not fit %d bytes of records: %w", n, len(rest), fs.ErrInvalid)
	}
	return n, rest[:n[2]], rest[n[2]:], nil
}

// eachLine decompresses a section and visits its records.
func eachLine(packed []byte, count, size int, visit func(Record) error) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(max(size, 8<<20))), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return err
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(packed, nil)
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	if len(plain) != size {
		return fmt.Errorf("%d bytes of records, the header says %d: %w", len(plain), size, fs.ErrInvalid)
	}
	for len(plain) > 0 {
		line, rest, ok := bytes.Cut(plain, []byte("\n"))
		if !ok || len(line) > LineSizeMax {
			return fmt.Errorf("a record that does not end: %w", fs.ErrInvalid)
		}
		if count--; count < 0 {
			break
		}
		if err := visitLine(line, visit); err != nil {
			return err
		}
		plain = rest
	}
	if count != 0 {
		return fmt.Errorf("number of records differs from the header by %d: %w", -count, fs.ErrInvalid)
	}
	return nil
}

func visitLine(line []byte, visit func(Record) error) error {
	var r Record
	if err := commit.StrictJSON(line, &r); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	again, err := commit.CanonicalJSON(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, line) {
		return fmt.Errorf("record %.80q is not in canonical form: %w", line, fs.ErrInvalid)
	}
	return visit(r)
}
