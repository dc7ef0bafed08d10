package tree

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// CheckName fails with fs.ErrInvalid unless name can be an entry's name: 1 to
// NameSizeMax bytes of UTF-8 without NUL and "/", and neither "." nor "..".
// Whether a disk can hold such a name is asked of [CheckPortable].
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("empty name: %w", fs.ErrInvalid)
	case len(name) > NameSizeMax:
		return fmt.Errorf("name %.40q… of %d bytes exceeds the limit of %d: %w", name, len(name), NameSizeMax, fs.ErrInvalid)
	case name == "." || name == "..":
		return fmt.Errorf("name %q is reserved: %w", name, fs.ErrInvalid)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q is not UTF-8: %w", name, fs.ErrInvalid)
	}
	if i := strings.IndexAny(name, "/\x00"); i >= 0 {
		return fmt.Errorf("name %q holds %q: %w", name, name[i], fs.ErrInvalid)
	}
	return nil
}

// CheckPath fails with fs.ErrInvalid unless path is 1 to PathDepthMax valid
// names joined by "/" and at most PathSizeMax bytes. One "/" at the end, which
// says that the path names a directory, is allowed.
func CheckPath(path string) error {
	_, err := splitPath(path)
	return err
}

// splitPath returns the names of a path that obeys CheckPath.
func splitPath(path string) ([]string, error) {
	if len(path) > PathSizeMax {
		return nil, fmt.Errorf("path %.80q… of %d bytes exceeds the limit of %d: %w", path, len(path), PathSizeMax, fs.ErrInvalid)
	}
	names := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(names) > PathDepthMax {
		return nil, fmt.Errorf("path %.80q… of %d components exceeds the limit of %d: %w", path, len(names), PathDepthMax, fs.ErrInvalid)
	}
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return nil, fmt.Errorf("path %.200q: %w", path, err)
		}
	}
	return names, nil
}
