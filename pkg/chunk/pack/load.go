package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"weak"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// openTables finds the segments that some snapshot still uses.
type openTables struct {
	near    map[string]weak.Pointer[segment]
	distant map[string]weak.Pointer[distant]
}

// find returns the open segment of a key, or nil.
func (o *openTables) find(key string) table {
	if s := o.near[key].Value(); s != nil {
		return s
	}
	if d := o.distant[key].Value(); d != nil {
		return d
	}
	return nil
}

// keep makes t the open segment of its key, unless there is one, and returns
// the one that there is.
func (o *openTables) keep(t table) table {
	key := t.describe().Key
	if won := o.find(key); won != nil {
		return won
	}
	if o.near == nil {
		o.near, o.distant = map[string]weak.Pointer[segment]{}, map[string]weak.Pointer[distant]{}
	}
	sweep(o.near)
	sweep(o.distant)
	switch t := t.(type) {
	case *segment:
		o.near[key] = weak.Make(t)
	case *distant:
		o.distant[key] = weak.Make(t)
	}
	return t
}

func sweep[T any](m map[string]weak.Pointer[T]) {
	for key, p := range m {
		if p.Value() == nil {
			delete(m, key)
		}
	}
}

// findOpen returns a segment that is open already, or nil.
func (st *Store) findOpen(key string) table {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.tables.find(key)
}

func (st *Store) keepOpen(t table) table {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.tables.keep(t)
}

// verifyEagerMax is the size up to which a segment is verified as a whole when
// it is opened: a fraction of a millisecond. A larger one is before a chunk is
// said to be absent; wrong places are found by the hashes of what is read
// there.
const verifyEagerMax = 256 << 10

// openTable opens a segment: in place if it is a local file, else its copy in
// the cache folder, else at a distance.
func (st *Store) openTable(ctx context.Context, key string) (table, error) {
	if t := st.findOpen(key); t != nil {
		return t, nil
	}
	if _, _, err := ParseKey(key); err != nil {
		return nil, err
	}
	t, err := st.openNear(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		t, err = st.openCopy(key)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		t, err = st.openDistant(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	return st.keepOpen(t), nil
}

// openNear maps the segment's own file. errors.ErrUnsupported if it is none.
func (st *Store) openNear(ctx context.Context, key string) (table, error) {
	s, err := st.mapOwn(ctx, key)
	if err != nil {
		return nil, err
	}
	return s, s.verifySmall()
}

func (st *Store) mapOwn(ctx context.Context, key string) (*segment, error) {
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

// verifySmall verifies a segment that is no larger than verifyEagerMax.
func (s *segment) verifySmall() error {
	if len(s.data) > verifyEagerMax {
		return nil
	}
	return s.verifyAll()
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

// fetch brings a segment here as a whole, verified: into memory if it is small,
// else into the cache folder, or a file that nobody else sees.
func (st *Store) fetch(ctx context.Context, h *segmentHead) (*segment, error) {
	var s *segment
	var err error
	if h.size() <= wholeMax {
		var b []byte
		if b, err = st.readRange(ctx, h.key, 0, h.size()); err == nil {
			s, err = openSegment(h.key, b)
		}
	} else {
		s, err = st.download(ctx, h)
	}
	if err == nil {
		err = s.verifyAll()
	}
	if err == nil && s.segmentHead != *h {
		err = corrupt("index segment %s has changed", h.key)
	}
	if err != nil {
		st.dropCopy(h.key)
		return nil, err
	}
	if h.size() <= wholeMax {
		st.saveCopy(h.key, s.data)
	}
	return s, nil
}

// download copies a segment to a file and maps it.
func (st *Store) download(ctx context.Context, h *segmentHead) (*segment, error) {
	dir := st.opts.TempDir
	if st.copies.dir != "" {
		var err error
		if dir, err = st.copies.folder(h.key); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return nil, fmt.Errorf("copy index segment %s: %w", h.key, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // it has another name by then, or is not wanted
	if err := st.copyTo(ctx, h.key, f); err != nil {
		_ = f.Close() // the first error counts
		return nil, err
	}
	if st.copies.dir != "" {
		st.copies.add(f.Name(), h.key)
	}
	s, err := openMapped(h.key, f)
	if errors.Is(err, errors.ErrUnsupported) {
		return st.readWhole(ctx, h)
	}
	return s, err
}

// copyTo copies an object to a file.
func (st *Store) copyTo(ctx context.Context, key string, f *os.File) error {
	rc, _, err := st.objects.Get(ctx, key, wholeObject)
	if err != nil {
		return readError(key, err)
	}
	defer rc.Close()
	if _, err := io.Copy(f, rc); err != nil {
		return readError(key, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("copy index segment %s: %w", key, err)
	}
	return nil
}

// readWhole reads a segment into memory, where nothing can be mapped.
func (st *Store) readWhole(ctx context.Context, h *segmentHead) (*segment, error) {
	if h.size() > st.opts.SegmentMemory {
		return nil, fmt.Errorf("index segment %s of %d bytes exceeds what may be held in memory, %d bytes: %w",
			h.key, h.size(), st.opts.SegmentMemory, errors.ErrUnsupported)
	}
	b, err := st.readRange(ctx, h.key, 0, h.size())
	if err != nil {
		return nil, err
	}
	return openSegment(h.key, b)
}

// copyCredit is what one ranged read of a segment counts for when it is weighed
// against fetching the whole of one, in bytes: what comes over a network in the
// time that a request takes.
const copyCredit = 128 << 10

// worthCopying counts one more ranged read, and reports whether there were so
// many that a segment of size bytes could have been fetched.
func (st *Store) worthCopying(size int64) bool {
	if st.copies.dir == "" || size > st.copies.limit/2 {
		return false
	}
	if st.credit.Add(copyCredit) < size {
		return false
	}
	st.credit.Add(-size)
	return true
}

// openCopy opens a segment's copy in the cache folder. errors.ErrUnsupported if
// there is none.
func (st *Store) openCopy(key string) (table, error) {
	if st.copies.dir == "" {
		return nil, errors.ErrUnsupported
	}
	f, err := os.Open(st.copies.path(key))
	if err != nil {
		return nil, errors.ErrUnsupported
	}
	s, err := openMapped(key, f)
	if err == nil {
		err = s.verifySmall()
	}
	if errors.Is(err, chunk.ErrCorrupt) {
		st.dropCopy(key)
	}
	if err != nil {
		return nil, errors.ErrUnsupported
	}
	d := &distant{segmentHead: s.segmentHead, st: st}
	d.copied.Store(s)
	return d, nil
}

// openNew opens a segment that was just written and is no local file: in the
// cache folder if it is large.
func (st *Store) openNew(key string, data []byte) (*segment, error) {
	st.saveCopy(key, data)
	if len(data) > wholeMax {
		if t, err := st.openCopy(key); err == nil {
			return t.near(), nil
		}
	}
	return openSegment(key, data)
}
