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
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Index remembers the contents of a working copy's files, so that a file that
// looks as it did is not read again. It is a cache: losing it costs time.
//
// Two changes of a file within one tick of the disk's clock look alike. So a
// file is remembered only if it was last modified before the scan that read it
// began, by the disk's own clock; all others are read again next time.
//
// An Index is for one goroutine, and for one call of this package at a time.
type Index struct {
	dir  string // the working copy
	data indexData
	note string
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
	x := &Index{dir: dir, data: indexData{params: params}}
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
		x.data = *data
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
func (x *Index) Len() int { return len(x.data.entries) }

// Save writes the index. Of two processes that save at once one comes last.
func (x *Index) Save() error {
	folder := filepath.Join(x.dir, FolderName)
	lock, err := acquire(filepath.Join(folder, indexName+".lock"), true)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := replaceFile(filepath.Join(folder, indexName), encodeIndex(&x.data)); err != nil {
		return fmt.Errorf("save index of working copy: %w", err)
	}
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
func (x *Index) find(path string, s Stat) (chunk.Content, bool) {
	if x == nil {
		return chunk.Content{}, false
	}
	i, ok := slices.BinarySearchFunc(x.data.entries, path, func(e indexEntry, path string) int { return strings.Compare(e.path, path) })
	if !ok {
		return chunk.Content{}, false
	}
	e := &x.data.entries[i]
	seen := s
	seen.Exec = e.stat.Exec // the entry is about the content
	return e.content, e.stat == seen
}

// update replaces what the index says of the paths for which within is true by
// the files seen, of which those are left out that were modified at or after
// stamp.
func (x *Index) update(stamp int64, seen []indexEntry, within func(path string) bool) {
	keep := make([]indexEntry, 0, len(seen))
	for _, e := range seen {
		if e.stat.Mtime < stamp {
			keep = append(keep, e)
		}
	}
	for _, e := range x.data.entries {
		if !within(e.path) {
			keep = append(keep, e)
		}
	}
	slices.SortFunc(keep, func(a, b indexEntry) int { return cmp.Compare(a.path, b.path) })
	x.data.entries = slices.CompactFunc(keep, func(a, b indexEntry) bool { return a.path == b.path })
	x.data.stamp = max(x.data.stamp, stamp)
}
