package worktree

import (
	"encoding/binary"
	"fmt"
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
	entrySizeMin  = 2 + 1 + entryTailSize
	indexSizeMax  = 8 << 30 // bytes: 50 million files of long paths
)

// The bits of an entry's flags.
const flagExec = 1

const indexContext = "dvx 2026-11 v1 worktree index"

// indexData is an index as it is stored.
type indexData struct {
	params  chunk.ID // which chunk parameters the contents belong to
	stamp   int64    // nanoseconds since 1970 by the disk's clock: all entries' files are older
	entries []indexEntry
}

// indexEntry says that the file at path had content when it had stat.
type indexEntry struct {
	path    string
	stat    Stat
	content chunk.Content
}

func encodeIndex(d *indexData) []byte {
	le := binary.LittleEndian
	b := []byte(indexMagic)
	b = le.AppendUint32(b, indexVersion)
	b = append(b, d.params[:]...)
	b = le.AppendUint64(b, uint64(d.stamp))
	b = le.AppendUint64(b, uint64(len(d.entries)))
	for i := range d.entries {
		e := &d.entries[i]
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
		b = append(b, e.content.Depth)
	}
	sum := indexSum(b)
	return append(b, sum[:]...)
}

func indexSum(b []byte) (sum chunk.ID) {
	h := blake3.NewDeriveKey(indexContext)
	_, _ = h.Write(b) // never fails
	h.Sum(sum[:0])
	return sum
}

// decodeIndex reads an index. It fails with chunk.ErrCorrupt for what
// encodeIndex does not write.
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
	head, text := body[len(indexMagic):indexHeadSize], string(body)
	if v := le.Uint32(head); v != indexVersion {
		return nil, bad("version %d, this release knows %d", v, indexVersion)
	}
	d := &indexData{params: chunk.ID(head[4:])}
	d.stamp = int64(le.Uint64(head[4+chunk.IDSize:]))
	count := le.Uint64(head[4+chunk.IDSize+8:])
	at := indexHeadSize
	if count > uint64(len(body)-at)/uint64(entrySizeMin) {
		return nil, bad("%d entries in %d bytes", count, len(body))
	}
	d.entries = make([]indexEntry, 0, count)
	last := ""
	for range count {
		if len(body)-at < entrySizeMin {
			return nil, bad("cut off after %q", last)
		}
		size := int(le.Uint16(body[at:]))
		at += 2
		if len(body)-at < size+entryTailSize {
			return nil, bad("cut off after %q", last)
		}
		e := indexEntry{path: text[at : at+size]} // shares one string with all others
		at += size
		if err := e.decodeTail(body[at : at+entryTailSize]); err != nil {
			return nil, bad("%.200q: %v", e.path, err)
		}
		at += entryTailSize
		switch {
		case e.path <= last:
			return nil, bad("%.200q after %.200q", e.path, last)
		case len(e.path) > tree.PathSizeMax:
			return nil, bad("path of %d bytes", len(e.path))
		case e.stat.Mtime >= d.stamp:
			return nil, bad("%.200q is younger than the index", e.path)
		}
		last = e.path
		d.entries = append(d.entries, e)
	}
	if at != len(body) {
		return nil, bad("%d bytes after the last entry", len(body)-at)
	}
	return d, nil
}

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
