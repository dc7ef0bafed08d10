package pack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// copies is a folder with copies of index segments, bounded in size. Any
// number of processes may share it: a file appears whole, and one that is
// removed stays for those who have mapped it.
type copies struct {
	dir   string // "" for none
	limit int64  // bytes
}

const (
	tempPrefix  = ".new-"
	tempPattern = tempPrefix + "*"

	// tempAge is the age, beside the newest file, from which a file that never
	// became a copy is taken for left behind.
	tempAge = time.Hour
)

// wholeObject is the range of all of an object.
var wholeObject = objstore.Range{}

func (c *copies) path(key string) string { return filepath.Join(c.dir, filepath.FromSlash(key)) }

// folder makes the folder of a segment's copy and returns it.
func (c *copies) folder(key string) (string, error) {
	dir := filepath.Dir(c.path(key))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cache of index segments: %w", err)
	}
	return dir, nil
}

// add makes a file of the segment's folder its copy, and room for it. If it
// can't, there is none.
func (c *copies) add(file, key string) {
	if os.Rename(file, c.path(key)) == nil {
		_ = c.trim(key) // the next one tries again
	}
}

// saveCopy makes a copy of a segment that is in memory. If it can't, there is
// none.
func (st *Store) saveCopy(key string, b []byte) {
	c := &st.copies
	if c.dir == "" {
		return
	}
	dir, err := c.folder(key)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync() // a copy that a power cut made of zeros has the right size
	}
	if errors.Join(err, f.Close()) != nil {
		_ = os.Remove(f.Name()) // trim does it otherwise
		return
	}
	c.add(f.Name(), key)
}

// dropCopy removes the copy of a segment, if there is one.
func (st *Store) dropCopy(key string) {
	if st.copies.dir != "" {
		_ = os.Remove(st.copies.path(key)) // it is not trusted if it stays
	}
}

// copyFile is a file in the folder.
type copyFile struct {
	path string
	size int64
	made time.Time
}

// trim removes the oldest copies but that of key until the rest is within the
// limit, and what is left of copies that were never finished.
func (c *copies) trim(key string) error {
	files, err := c.list()
	if err != nil || len(files) == 0 {
		return err
	}
	slices.SortFunc(files, func(a, b copyFile) int {
		return cmp.Or(a.made.Compare(b.made), strings.Compare(a.path, b.path))
	})
	newest := files[len(files)-1].made
	total := int64(0)
	for i := range files {
		total += files[i].size
	}
	var errs []error
	for _, f := range files {
		temp := strings.HasPrefix(filepath.Base(f.path), tempPrefix)
		if temp && newest.Sub(f.made) < tempAge || !temp && (total <= c.limit || f.path == c.path(key)) {
			continue
		}
		total -= f.size
		errs = append(errs, os.Remove(f.path))
		_ = os.Remove(filepath.Dir(f.path)) // fails unless it is empty
	}
	return errors.Join(errs...)
}

func (c *copies) list() ([]copyFile, error) {
	var files []copyFile
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err == nil {
			files = append(files, copyFile{path, info.Size(), info.ModTime()})
		}
		return ignoreGone(err)
	})
	return files, err
}

// ignoreGone returns err unless it is about a file that another process removed
// meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
