package worker

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// salvageMax is how many entries of a folder are looked at for what can be used
// again: above it, the folder is emptied.
const salvageMax = 256

// errClash reports that what was left from the last task is in the way of this
// one's.
var errClash = errors.New("what was left is in the way")

// salvage is what the last task left of its inputs and the next one uses:
// folders, and files that are filled anew under other names. To make a file and
// to remove one costs a file system more than all else that is done for a small
// datum.
type salvage struct {
	files []string        // plain ones, below the folder in, with slashes
	dirs  map[string]bool // false: not used again yet
	order []string        // the same, parents first
}

// collect makes everything below the folder p writable and notes it; what can't
// be used again is removed. It reports false if there is too much.
func (s *salvage) collect(root *os.Root, p string) (bool, error) {
	if err := root.Chmod(filepath.FromSlash(p), 0o755); err != nil {
		return false, err
	}
	f, err := root.Open(filepath.FromSlash(p))
	if err != nil {
		return false, err
	}
	entries, err := f.ReadDir(salvageMax)
	_ = f.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if len(entries)+len(s.files)+len(s.order) >= salvageMax {
		return false, nil
	}
	for _, e := range entries {
		at := path.Join(p, e.Name())
		switch {
		case e.IsDir():
			s.dirs[at] = false
			s.order = append(s.order, at)
			if ok, err := s.collect(root, at); !ok || err != nil {
				return ok, err
			}
		case e.Type().IsRegular():
			s.files = append(s.files, at)
		default:
			if err := root.Remove(filepath.FromSlash(at)); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// file takes a file that was left, the one at p if there is one, and returns it
// open under the name p, with what was in it; nil if there is none that can be
// used.
func (s *salvage) file(root *os.Root, p string) (*os.File, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // as documented
	}
	if _, ok := s.dirs[p]; ok {
		return nil, errClash
	}
	if len(s.files) == 0 {
		return nil, nil //nolint:nilnil // as documented
	}
	last := len(s.files) - 1
	for i, at := range s.files {
		if at == p {
			s.files[i], s.files[last] = s.files[last], p
		}
	}
	at := s.files[last]
	s.files = s.files[:last]
	if at != p {
		if _, err := root.Lstat(filepath.FromSlash(p)); err == nil {
			return nil, errClash // in another spelling
		}
		if err := root.Rename(filepath.FromSlash(at), filepath.FromSlash(p)); err != nil {
			return nil, err
		}
	}
	f, err := root.OpenFile(filepath.FromSlash(p), os.O_WRONLY|openFlags, 0)
	if errors.Is(err, fs.ErrPermission) { // who is not root can't write to what is read-only
		if err = root.Chmod(filepath.FromSlash(p), 0o600); err == nil {
			f, err = root.OpenFile(filepath.FromSlash(p), os.O_WRONLY|openFlags, 0)
		}
	}
	if err == nil && pristine(f) {
		return f, nil
	}
	if f != nil {
		_ = f.Close()
	}
	return nil, root.Remove(filepath.FromSlash(p)) // a file of another kind than we make
}

// dir reports whether a folder was left at p, which is used again.
func (s *salvage) dir(p string) (bool, error) {
	if s == nil {
		return false, nil
	}
	for _, at := range s.files {
		if at == p {
			return false, errClash
		}
	}
	if _, ok := s.dirs[p]; !ok {
		return false, nil
	}
	s.dirs[p] = true
	return true, nil
}

// drop removes what was not used again.
func (s *salvage) drop(root *os.Root) error {
	if s == nil {
		return nil
	}
	for _, at := range s.files {
		if err := root.Remove(filepath.FromSlash(at)); err != nil {
			return err
		}
	}
	for i := len(s.order) - 1; i >= 0; i-- {
		if at := s.order[i]; !s.dirs[at] {
			if err := root.Remove(filepath.FromSlash(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// salvageOf returns what lies in folders below root, nil if it is too much, or
// can't be used.
func salvageOf(root *os.Root, names []string) *salvage {
	s := &salvage{dirs: map[string]bool{}}
	for _, name := range names {
		if ok, err := s.collect(root, name); !ok || err != nil {
			return nil
		}
	}
	return s
}
