//go:build !unix

package pack

import (
	"errors"
	"os"
)

// mapFile is not supported here: segments are read into memory.
func mapFile(*os.File, int) ([]byte, func([]byte), error) {
	return nil, nil, errors.ErrUnsupported
}

// forget has nothing to do where nothing is mapped.
func forget([]byte, int, int) {}
