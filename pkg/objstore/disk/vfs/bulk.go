package vfs

import (
	"sync"
	"unsafe"
)

// Writes past the system's cache must begin at, come from and have multiples
// of the disk's block, which is at most directAlign bytes.
const (
	directAlign = 4096
	directMin   = 1 << 20 // smaller files are better off in the cache
)

// bulkBytes is the size of one write: large enough to be cheap, small enough
// that who gives up does so soon.
const bulkBytes = 4 << 20

// Bulk writes new files. It keeps its buffers from one to the next; the zero
// Bulk is ready to use, by any number of goroutines.
type Bulk struct {
	buffers sync.Pool // of *[]byte, aligned to directAlign
}

func (b *Bulk) buffer() *[]byte {
	if buf, ok := b.buffers.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, bulkBytes+directAlign)
	skip := -int(uintptr(unsafe.Pointer(&buf[0]))) & (directAlign - 1)
	buf = buf[skip:][:bulkBytes]
	return &buf
}

// Fill gives the next bytes of a file: all of p.
type Fill func(p []byte) error

// Write writes size bytes, which fill gives, to the new and empty f. Large
// files go past the system's cache where that can be done.
func (b *Bulk) Write(f File, size int64, fill Fill) error {
	if size < directMin {
		return writeAll(f, make([]byte, min(size, bulkBytes)), size, fill)
	}
	buf := b.buffer()
	defer b.buffers.Put(buf)
	d, ok := f.(interface{ direct(on bool) error })
	if !ok || d.direct(true) != nil {
		return writeAll(f, *buf, size, fill)
	}
	whole := size &^ (directAlign - 1)
	for done := int64(0); done < whole; {
		p := (*buf)[:min(bulkBytes, whole-done)]
		if err := fill(p); err != nil {
			return err
		}
		n, err := f.Write(p)
		if done == 0 && n == 0 && err != nil { // some file systems refuse only now
			if derr := d.direct(false); derr != nil {
				return err
			}
			_, err = f.Write(p)
		}
		if err != nil {
			return err
		}
		done += int64(len(p))
	}
	if err := d.direct(false); err != nil {
		return err
	}
	return writeAll(f, *buf, size-whole, fill)
}

// writeAll writes size bytes through buf.
func writeAll(f File, buf []byte, size int64, fill Fill) error {
	for size > 0 {
		p := buf[:min(size, int64(len(buf)))]
		if err := fill(p); err != nil {
			return err
		}
		if _, err := f.Write(p); err != nil {
			return err
		}
		size -= int64(len(p))
	}
	return nil
}
