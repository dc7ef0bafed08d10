package worktree

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// The layout of the index; FORMAT.md draws it.
const (
	indexMagic    = "DVXINDEX"
	indexVersion  = 1
	indexHeadSize = len(indexMagic) + 4 + chunk.IDSize + 8 + 8
	entryTailSize = 8*4 + 1 + chunk.IDSize + 1
	indexSizeMax  = 8 << 30 // bytes: 50 million files of long paths
)

// The bits of an entry's flags.
const flagExec = 1

const indexContext = "dvx 2026-11 v1 worktree index"

// indexData is an index in memory: the entries lie there as they do on disk.
type indexData struct {
	params chunk.ID // which chunk parameters the contents belong to
	stamp  int64    // nanoseconds since 1970 by the disk's clock: all entries' files are older
	count  int
	pieces [][]byte // of entries; none crosses the end of one
}

// indexEntry says that the file at path had content when it had stat.
type indexEntry struct {
	path    string
	stat    Stat
	content chunk.Content
}

func (e *indexEntry) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, uint16(len(e.path)))
	b = append(b, e.path...)
	b = le.AppendUint64(b, uint64(e.stat.Size))
	b = le.AppendUint64(b, uint64(e.stat.Mtime))
	b = le.AppendUint64(b, uint64(e.stat.Ctime))
	b = le.AppendUint64(b, e.stat.Inode)
	flags := byte(0)
	if e.stat.Exec {
		flags |= flagExec
	}
	b = append(b, flags)
	b = append(b, e.content.ID[:]...)
	return append(b, e.content.Depth)
}

// decodeTail reads what follows an entry's path.
func (e *indexEntry) decodeTail(b []byte) error {
	le := binary.LittleEndian
	e.stat = Stat{
		Size: int64(le.Uint64(b)), Mtime: int64(le.Uint64(b[8:])), Ctime: int64(le.Uint64(b[16:])),
		Inode: le.Uint64(b[24:]), Exec: b[32]&flagExec != 0,
	}
	if b[32]&^flagExec != 0 {
		return fmt.Errorf("unknown flags %#x: %w", b[32], fs.ErrInvalid)
	}
	e.content = chunk.Content{ID: chunk.ID(b[33:]), Size: e.stat.Size, Depth: b[33+chunk.IDSize]}
	return chunk.CheckContent(e.content)
}

// writeTo writes the index as it is stored.
func (d *indexData) writeTo(w io.Writer) error {
	le := binary.LittleEndian
	head := []byte(indexMagic)
	head = le.AppendUint32(head, indexVersion)
	head = append(head, d.params[:]...)
	head = le.AppendUint64(head, uint64(d.stamp))
	head = le.AppendUint64(head, uint64(d.count))
	sum := blake3.NewDeriveKey(indexContext)
	both := io.MultiWriter(w, sum)
	if _, err := both.Write(head); err != nil {
		return err
	}
	for _, p := range d.pieces {
		if _, err := both.Write(p); err != nil {
			return err
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

func indexSum(b []byte) (sum chunk.ID) {
	h := blake3.NewDeriveKey(indexContext)
	_, _ = h.Write(b) // never fails
	h.Sum(sum[:0])
	return sum
}

// decodeIndex reads an index, whose entries stay in b. It fails with
// chunk.ErrCorrupt for what writeTo does not write.
func decodeIndex(b []byte) (*indexData, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("index: %s: %w", fmt.Sprintf(format, args...), chunk.ErrCorrupt)
	}
	if len(b) < indexHeadSize+chunk.IDSize || string(b[:len(indexMagic)]) != indexMagic {
		return nil, bad("no header")
	}
	body, sum := b[:len(b)-chunk.IDSize], b[len(b)-chunk.IDSize:]
	if indexSum(body) != chunk.ID(sum) {
		return nil, bad("wrong checksum")
	}
	le := binary.LittleEndian
	head := body[len(indexMagic):indexHeadSize]
	if v := le.Uint32(head); v != indexVersion {
		return nil, bad("version %d, this release knows %d", v, indexVersion)
	}
	d := &indexData{params: chunk.ID(head[4:])}
	d.stamp = int64(le.Uint64(head[4+chunk.IDSize:]))
	count := le.Uint64(head[4+chunk.IDSize+8:])
	d.pieces = [][]byte{body[indexHeadSize:]}
	var last []byte
	c := indexCursor{pieces: d.pieces}
	for ; c.next(); d.count++ {
		e, err := c.entry()
		switch {
		case err != nil:
			return nil, bad("%.200q: %v", c.path, err)
		case string(c.path) <= string(last):
			return nil, bad("%.200q after %.200q", c.path, last)
		case len(c.path) > tree.PathSizeMax:
			return nil, bad("path of %d bytes", len(c.path))
		case !e.stat.before(d.stamp):
			return nil, bad("%.200q is younger than the index", c.path)
		}
		last = c.path
	}
	if len(c.rest) > 0 {
		return nil, bad("cut off after %.200q", last)
	}
	if uint64(d.count) != count {
		return nil, bad("%d entries instead of %d", d.count, count)
	}
	return d, nil
}

// indexCursor goes through entries in their order.
type indexCursor struct {
	pieces [][]byte // after rest
	rest   []byte   // of the present piece, after the present entry
	raw    []byte   // the present entry; nil before the first and after the last
	path   []byte   // its path
}

// next goes to the next entry, if there is one that is whole.
func (c *indexCursor) next() bool {
	c.raw, c.path = nil, nil
	for len(c.rest) == 0 {
		if len(c.pieces) == 0 {
			return false
		}
		c.rest, c.pieces = c.pieces[0], c.pieces[1:]
	}
	if len(c.rest) < 2 {
		return false
	}
	n := 2 + int(binary.LittleEndian.Uint16(c.rest))
	if len(c.rest) < n+entryTailSize {
		return false
	}
	c.path = c.rest[2:n]
	c.raw, c.rest = c.rest[:n+entryTailSize], c.rest[n+entryTailSize:]
	return true
}

// entry decodes the present entry but for its path.
func (c *indexCursor) entry() (e indexEntry, err error) {
	err = e.decodeTail(c.raw[2+len(c.path):])
	return e, err
}
