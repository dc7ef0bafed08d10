package disk

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// syncFolderParent makes a store folder's own name durable.
func syncFolderParent(dir string) error {
	if runtime.GOOS == "windows" { // has no call for it
		return nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Dir(abs))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
