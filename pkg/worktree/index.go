package worktree

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Index remembers the contents of a working copy's files, so that a file that
// looks as it did is not read again. It is a cache: losing it costs time.
//
// Two changes of a file within one tick of the disk's clock look alike. So a
// file is remembered only if it last changed before the scan that read it
// began, by the disk's own clock; all others are read again next time. That
// holds also for who sets a file's time of modification back, since it shows
// as a change. It does not hold for who goes on to write through a mapping into
// memory while a scan runs: Linux tells of the first such write to a page, and
// not of further ones until it has written the page to disk, half a minute
// later.
//
// An Index is for one goroutine, and for one call of this package at a time.
type Index struct {
	dir     string // the working copy
	data    indexData
	note    string
	changed bool // not as it is on disk

	at    indexCursor // where find looked last
	last  string      // for this path
	asked bool
}

const indexName = "index"

// OpenIndex reads the index of the working copy at dir, for contents cut as p
// says. A missing index is empty; one that is damaged, or belongs to other
// parameters, is too, and Note says why. It fails only if the disk does.
func OpenIndex(dir string, p chunk.Params) (*Index, error) {
	params, err := paramsID(p)
	if err != nil {
		return nil, err
	}
	x := &Index{dir: dir, data: indexData{params: params}, changed: true}
	b, err := readSmall(filepath.Join(dir, FolderName, indexName), indexSizeMax)
	if errors.Is(err, fs.ErrNotExist) {
		return x, nil
	}
	if err != nil && !errors.Is(err, fs.ErrInvalid) {
		return nil, fmt.Errorf("read index of working copy: %w", err)
	}
	data, err := decodeIndex(b)
	switch {
	case err != nil:
		x.note = fmt.Sprintf("the working copy's %v; every file is read again", err)
	case data.params != params:
		x.note = "the working copy's index belongs to a store that cuts files elsewhere; every file is read again"
	default:
		x.data, x.changed = *data, false
	}
	return x, nil
}

// paramsID returns a digest of chunk parameters.
func paramsID(p chunk.Params) (chunk.ID, error) {
	if err := p.Validate(); err != nil {
		return chunk.ID{}, err
	}
	b, err := json.Marshal(p)
	return indexSum(b), err
}

// Note says why the index that was on disk is not used, "" if it is.
func (x *Index) Note() string { return x.note }

// Len returns the number of files that the index remembers.
func (x *Index) Len() int { return x.data.count }

// Save writes the index, unless it is on disk as it is. Of two processes that
// save at once one comes last. It is not synced: a crash costs time only.
func (x *Index) Save() error {
	if !x.changed {
		return nil
	}
	folder := filepath.Join(x.dir, FolderName)
	lock, err := acquire(filepath.Join(folder, indexName+".lock"), true)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	err = replaceFile(filepath.Join(folder, indexName), func(f *os.File) error { return x.data.writeTo(f) })
	if err != nil {
		return fmt.Errorf("save index of working copy: %w", err)
	}
	x.changed = false
	return nil
}

// now returns the time by the clock of the disk that holds the working copy,
// in nanoseconds since 1970.
func (x *Index) now() (int64, error) {
	f, err := os.OpenFile(filepath.Join(x.dir, FolderName, "clock"), os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return 0, fmt.Errorf("ask the disk for the time: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt([]byte{'\n'}, 0); err != nil {
		return 0, fmt.Errorf("ask the disk for the time: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("ask the disk for the time: %w", err)
	}
	return info.ModTime().UnixNano(), nil
}

// find returns the content that the index knows for a file that looks like s.
// It is quick if paths are asked for in their order.
func (x *Index) find(path string, s Stat) (chunk.Content, bool) {
	if x == nil {
		return chunk.Content{}, false
	}
	if !x.asked || path < x.last {
		x.at = indexCursor{pieces: x.data.pieces}
		x.at.next()
	}
	x.asked, x.last = true, path
	for x.at.raw != nil && string(x.at.path) < path {
		x.at.next()
	}
	if string(x.at.path) != path || x.at.raw == nil {
		return chunk.Content{}, false
	}
	e, err := x.at.entry()
	seen := s
	seen.Exec = e.stat.Exec // the entry is about the content
	return e.content, err == nil && e.stat == seen
}

// indexUpdate replaces what an index says of the paths for which within is true
// by what it is given, in order of path. What changed at or after stamp is
// left out. While nothing differs from what the index says it makes nothing new.
type indexUpdate struct {
	x      *Index
	stamp  int64
	within func(path string) bool
	old    indexCursor
	same   int // bytes at the start of the old entries that stay
	count  int
	pieces [][]byte // once something differs
	scrap  []byte
}

// pieceSize is the size of the pieces in which an index grows.
const pieceSize = 1 << 20

func (x *Index) update(stamp int64, within func(path string) bool) *indexUpdate {
	u := &indexUpdate{x: x, stamp: stamp, within: within, old: indexCursor{pieces: x.data.pieces}}
	u.old.next()
	return u
}

// put adds an entry.
func (u *indexUpdate) put(e *indexEntry) {
	u.keepBefore(e.path)
	known := u.old.raw != nil && string(u.old.path) == e.path
	if e.stat.before(u.stamp) {
		u.scrap = e.appendTo(u.scrap[:0])
		u.add(u.scrap, known && string(u.old.raw) == string(u.scrap))
	} else if known {
		u.differ()
	}
	if known {
		u.old.next()
	}
}

// keepBefore goes on to path: what is on the way and not within stays.
func (u *indexUpdate) keepBefore(path string) {
	for u.old.raw != nil && string(u.old.path) < path {
		u.pass()
	}
}

// pass keeps the old entry, or leaves it out.
func (u *indexUpdate) pass() {
	if u.within(string(u.old.path)) {
		u.differ()
	} else {
		u.add(u.old.raw, true)
	}
	u.old.next()
}

// add adds an entry; same says that it is the old one where the old index has
// it.
func (u *indexUpdate) add(raw []byte, same bool) {
	u.count++
	if same && u.pieces == nil {
		u.same += len(raw)
		return
	}
	u.differ()
	last := len(u.pieces) - 1
	if p := u.pieces[last]; cap(p)-len(p) < len(raw) {
		u.pieces = append(u.pieces, make([]byte, 0, pieceSize))
		last++
	}
	u.pieces[last] = append(u.pieces[last], raw...)
}

// differ begins new pieces, with what stayed so far.
func (u *indexUpdate) differ() {
	if u.pieces != nil {
		return
	}
	left := u.same
	for _, p := range u.x.data.pieces {
		if left == 0 {
			break
		}
		n := min(left, len(p))
		u.pieces = append(u.pieces, p[:n:n])
		left -= n
	}
	u.pieces = append(u.pieces, make([]byte, 0, pieceSize))
}

// finish makes the update what the index says.
func (u *indexUpdate) finish() {
	for u.old.raw != nil {
		u.pass()
	}
	if u.pieces == nil {
		return // what the old index had, all of it and nothing else
	}
	x := u.x
	x.data.pieces, x.data.count = u.pieces, u.count
	x.data.stamp = max(x.data.stamp, u.stamp)
	x.asked, x.changed = false, true
}

// updateAll is update with entries in any order, of which the first of a path
// counts.
func (x *Index) updateAll(stamp int64, seen []indexEntry, within func(path string) bool) {
	slices.SortStableFunc(seen, func(a, b indexEntry) int { return cmp.Compare(a.path, b.path) })
	u := x.update(stamp, within)
	for i := range seen {
		if i == 0 || seen[i].path != seen[i-1].path {
			u.put(&seen[i])
		}
	}
	u.finish()
}
