package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// makeFolder makes a store's folder and those above it that are missing, unless
// it is there, and makes the names of all that it made durable by sync, as well
// as the folder's own: who made that may have died before.
func makeFolder(dir string, sync func(dir string) error) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(abs)
	switch info, err := os.Stat(abs); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("make folder %s: %w", abs, syscall.ENOTDIR)
	case err == nil:
		if err := sync(parent); !errors.Is(err, fs.ErrPermission) { // a folder that may not be opened is not ours, nor are its names
			return err
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != abs {
		if err := makeFolder(parent, sync); err != nil {
			return err
		}
	}
	if err := os.Mkdir(abs, permDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return sync(parent)
}

// syncFolder makes the names in a folder outside of a store durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" { // has no call for it
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
