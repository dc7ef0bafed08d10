package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"weak"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// segmentCache finds the segments that some snapshot still uses.
type segmentCache map[string]weak.Pointer[segment]

// verifyEagerMax is the size up to which a segment is verified as a whole when
// it is opened: a millisecond. Of a larger one only the head is, and the rest
// before a chunk is said to be absent; wrong places are found by the hashes
// of what is read there.
const verifyEagerMax = 4 << 20

// cachedSegment returns a segment that is open already, or nil.
func (st *Store) cachedSegment(key string) *segment {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.segments[key].Value()
}

// keepSegment makes s the open segment of its key.
func (st *Store) keepSegment(s *segment) *segment {
	st.mu.Lock()
	defer st.mu.Unlock()
	if won := st.segments[s.key].Value(); won != nil {
		return won
	}
	for key, p := range st.segments {
		if p.Value() == nil {
			delete(st.segments, key)
		}
	}
	if st.segments == nil {
		st.segments = segmentCache{}
	}
	st.segments[s.key] = weak.Make(s)
	return s
}

// loadSegment opens a segment: in place if it is a local file, else from the
// cache folder, else in memory, where it may take limit bytes.
func (st *Store) loadSegment(ctx context.Context, key string, limit int64) (*segment, error) {
	if s := st.cachedSegment(key); s != nil {
		return s, nil
	}
	if _, _, err := ParseKey(key); err != nil {
		return nil, err
	}
	s, err := st.openLocal(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		s, err = st.openCopy(ctx, key)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		s, err = st.openInMemory(ctx, key, limit)
	}
	if err != nil {
		return nil, err
	}
	if len(s.data) <= verifyEagerMax {
		if err := s.verifyAll(); err != nil {
			return nil, err
		}
	}
	return st.keepSegment(s), nil
}

// openLocal maps the segment's own file.
func (st *Store) openLocal(ctx context.Context, key string) (*segment, error) {
	if st.files.opener == nil {
		return nil, errors.ErrUnsupported
	}
	f, err := st.files.opener.OpenFile(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, errors.ErrUnsupported
	}
	if err != nil {
		return nil, readError(key, err)
	}
	return openMapped(key, f)
}

// openMapped maps a file, which it closes.
func openMapped(key string, f *os.File) (*segment, error) {
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("index segment %s: %w", key, err)
	}
	size := info.Size()
	if size < int64(segmentHeaderSize+segmentTrailerSize) || size != int64(int(size)) {
		return nil, corrupt("index segment %s has %d bytes", key, size)
	}
	data, unmap, err := mapFile(f, int(size))
	if err != nil {
		return nil, err
	}
	s, err := openSegment(key, data)
	if err != nil {
		unmap(data)
		return nil, err
	}
	s.mapped = true
	runtime.AddCleanup(s, unmap, data)
	return s, nil
}

// openCopy maps the copy of the segment in the cache folder, and makes it if
// it is not there. A copy that is damaged is made again.
func (st *Store) openCopy(ctx context.Context, key string) (*segment, error) {
	if st.opts.CacheDir == "" {
		return nil, errors.ErrUnsupported
	}
	path := filepath.Join(st.opts.CacheDir, filepath.FromSlash(key))
	if f, err := os.Open(path); err == nil {
		s, err := openMapped(key, f)
		if err == nil {
			err = s.verifyAll()
		}
		if err == nil || errors.Is(err, errors.ErrUnsupported) {
			return s, err
		}
	}
	if err := st.copySegment(ctx, key, path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("index segment %s: %w", key, err)
	}
	return openMapped(key, f)
}

// copySegment downloads a segment to path. A crash leaves the old file or the
// new one.
func (st *Store) copySegment(ctx context.Context, key, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cache of index segments: %w", err)
	}
	rc, _, err := st.objects.Get(ctx, key, objstore.Range{})
	if err != nil {
		return readError(key, err)
	}
	defer rc.Close()
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("cache of index segments: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name()) // the first error counts
		}
	}()
	_, err = io.Copy(temp, rc)
	if err = errors.Join(err, temp.Close()); err != nil {
		return readError(key, err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("cache of index segments: %w", err)
	}
	return nil
}

// openInMemory reads the segment.
func (st *Store) openInMemory(ctx context.Context, key string, limit int64) (*segment, error) {
	info, err := st.objects.Stat(ctx, key)
	if err != nil {
		return nil, readError(key, err)
	}
	if info.Size > limit {
		return nil, fmt.Errorf("index segment %s of %d bytes exceeds what may be held in memory (%d bytes left): set a cache folder: %w", key, info.Size, limit, fs.ErrInvalid)
	}
	data, err := st.readRange(ctx, key, 0, info.Size)
	if err != nil {
		return nil, err
	}
	s, err := openSegment(key, data)
	if err != nil {
		return nil, err
	}
	return s, nil
}
