package vfs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// TestBulk writes files of all kinds of size, on disk past the cache and in
// memory, and reads them back.
func TestBulk(t *testing.T) {
	fsys, err := OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	var b Bulk
	for name, f := range map[string]FS{"disk": fsys, "memory": NewMem(MemOptions{})} {
		for _, size := range []int{0, 1, directMin - 1, directMin, directMin + 1, bulkBytes, bulkBytes + directAlign, 2*bulkBytes + 12345} {
			data := make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(data) // never fails
			rest := bytes.NewReader(data)
			file, err := f.OpenFile(strconv.Itoa(size), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Write(file, int64(size), func(p []byte) error { _, err := io.ReadFull(rest, p); return err }); err != nil {
				t.Fatalf("%s, %d bytes: %v", name, size, err)
			}
			if err := file.Sync(); err != nil {
				t.Fatal(err)
			}
			file.Close()
			if file, err = f.OpenFile(strconv.Itoa(size), os.O_RDONLY, 0); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.NewSectionReader(file, 0, int64(size)+1))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %d bytes: read back %d (%v)", name, size, len(got), err)
			}
			file.Close()
		}
	}
}

func TestBulkStops(t *testing.T) {
	fsys, err := OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	var b Bulk
	stop := errors.New("stop")
	for _, size := range []int64{1, directMin, 3 * bulkBytes} {
		f, err := fsys.OpenFile("f", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		left := 2
		err = b.Write(f, size, func([]byte) error {
			if left--; left < 0 || size < bulkBytes {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Errorf("%d bytes: %v", size, err)
		}
		f.Close()
	}
}
