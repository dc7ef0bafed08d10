package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// clear leaves dir an empty, writable folder, whatever it was: a folder with
// read-only folders in it, a link, a file, nothing. It follows no link.
func clear(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clear %s: %w", dir, err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("clear %s: %w", dir, err)
		}
		return os.Chmod(dir, 0o755)
	}
	if info.Mode().Perm() != 0o755 {
		if err := os.Chmod(dir, 0o755); err != nil {
			return fmt.Errorf("clear %s: %w", dir, err)
		}
	}
	if err := empty(dir); err != nil {
		return fmt.Errorf("clear %s: %w", dir, err)
	}
	return nil
}

// removeWhole removes a name with all that is below it, read-only folders too.
// It follows no link.
func removeWhole(name string) error {
	if os.RemoveAll(name) == nil {
		return nil
	}
	if err := clear(name); err != nil {
		return err
	}
	return os.Remove(name)
}

// restTime is how long a folder must have been left alone before its version
// is remembered: longer than the tick of any file system's clock, within which
// a second change would not show.
const restTime = 3 * time.Second

// stillness remembers a folder as it was left, to see that no name in it has
// changed without reading it.
type stillness struct{ version FileVersion }

// holds reports whether the folder is as it was noted.
func (s *stillness) holds(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && s.version.Changed != 0 && VersionOf(info) == s.version
}

// note remembers the folder, unless it was changed just now.
func (s *stillness) note(dir string, now time.Time) {
	s.version = FileVersion{}
	info, err := os.Lstat(dir)
	if err != nil {
		return
	}
	if v := VersionOf(info); v.Changed != 0 && now.Sub(time.Unix(0, v.Changed)) >= restTime {
		s.version = v
	}
}

// empty removes everything in the folder dir.
func empty(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close()
	if err != nil || len(names) == 0 {
		return err
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(dir, name)))
	}
	if failed == nil {
		return nil
	}
	// Only its owner's folders can be emptied, and only writable ones.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := unlock(root); err != nil {
		return err
	}
	for _, name := range names {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// unlock makes all folders below root writable.
func unlock(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	_ = d.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := unlockDir(root, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func unlockDir(root *os.Root, e fs.DirEntry) error {
	if err := root.Chmod(e.Name(), 0o700); err != nil {
		return err
	}
	sub, err := root.OpenRoot(e.Name())
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }()
	return unlock(sub)
}
