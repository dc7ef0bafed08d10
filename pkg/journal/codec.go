package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
)

// RecordBytesMax is the most bytes of one record. With its envelope a record
// stays below 64 KiB.
const RecordBytesMax = 63 << 10

// Layout of a record and of the marks; FORMAT.md draws them.
const (
	recordMagic   = "DVXJREC1"
	recordContext = "dvx 2026-11 v1 journal record"
	recordHead    = 24 // bytes before the data

	marksMagic   = "DVXJMRK1"
	marksContext = "dvx 2026-11 v1 journal marks"
	marksBytes   = 32 + sumBytes

	sumBytes = 32
	keyBytes = 9
	keyKind  = 'r'
)

// sum returns the digest of b under a context.
func sum(context string, b []byte) []byte {
	h := blake3.NewDeriveKey(context)
	_, _ = h.Write(b) // never fails
	return h.Sum(make([]byte, 0, sumBytes))
}

// encodeKey returns the database's key of a record. Keys sort as numbers do.
func encodeKey(seq Seq) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyKind}, uint64(seq))
}

// decodeKey reads a key.
func decodeKey(key []byte) (Seq, error) {
	if len(key) != keyBytes || key[0] != keyKind {
		return 0, fmt.Errorf("key %x is none of the journal's: %w", key, ErrDamaged)
	}
	return Seq(binary.BigEndian.Uint64(key[1:])), nil
}

// encodeRecord returns a record in its envelope. It must be within the limits.
func encodeRecord(r Record) []byte {
	b := make([]byte, 0, recordHead+len(r.Data)+sumBytes)
	b = append(b, recordMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Seq))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Data)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, r.Data...)
	return append(b, sum(recordContext, b)...)
}

// decodeRecord reads a record. Its data is part of b.
func decodeRecord(b []byte) (Record, error) {
	bad := func(what string) (Record, error) {
		return Record{}, fmt.Errorf("record: %s: %w", what, ErrDamaged)
	}
	switch {
	case len(b) < recordHead+sumBytes:
		return bad("too short")
	case len(b) > recordHead+RecordBytesMax+sumBytes:
		return bad("too long")
	case string(b[:8]) != recordMagic:
		return bad("wrong magic")
	case int64(binary.LittleEndian.Uint32(b[16:])) != int64(len(b)-recordHead-sumBytes):
		return bad("length does not fit")
	case binary.LittleEndian.Uint32(b[20:]) != 0:
		return bad("reserved bytes are not zero")
	}
	seq := Seq(binary.LittleEndian.Uint64(b[8:]))
	if seq == 0 {
		return bad("number 0")
	}
	end := len(b) - sumBytes
	if !bytes.Equal(sum(recordContext, b[:end]), b[end:]) {
		return bad("wrong sum")
	}
	return Record{Seq: seq, Data: b[recordHead:end:end]}, nil
}

// marks say what a journal holds: the records above trimmed, up to high.
type marks struct {
	gen     uint64 // counts the times that marks were written, from 1
	high    Seq    // every record up to here was acknowledged, or may have been
	trimmed Seq    // every record up to here was dropped; at most high
}

// encodeMarks returns the bytes of m.
func encodeMarks(m marks) []byte {
	b := make([]byte, 0, marksBytes)
	b = append(b, marksMagic...)
	b = binary.LittleEndian.AppendUint64(b, m.gen)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.high))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.trimmed))
	return append(b, sum(marksContext, b)...)
}

// decodeMarks reads marks.
func decodeMarks(b []byte) (marks, error) {
	if len(b) != marksBytes || string(b[:8]) != marksMagic || !bytes.Equal(sum(marksContext, b[:32]), b[32:]) {
		return marks{}, fmt.Errorf("marks: %w", ErrDamaged)
	}
	m := marks{
		gen:     binary.LittleEndian.Uint64(b[8:]),
		high:    Seq(binary.LittleEndian.Uint64(b[16:])),
		trimmed: Seq(binary.LittleEndian.Uint64(b[24:])),
	}
	if m.gen == 0 || m.trimmed > m.high {
		return marks{}, fmt.Errorf("marks: trimmed %d of %d at generation %d: %w", m.trimmed, m.high, m.gen, ErrDamaged)
	}
	return m, nil
}
