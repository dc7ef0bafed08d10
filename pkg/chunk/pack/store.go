package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// ErrMissing is the kind of error for a pack or segment that should be in the
// store and is not. A reader of an old root opens a newer one and tries once
// more; if the error stays, the store is damaged. It wraps chunk.ErrCorrupt
// and not fs.ErrNotExist: a damaged file must not pass for an absent one.
var ErrMissing = fmt.Errorf("missing object: %w", chunk.ErrCorrupt)

// Options of New. The zero value works.
type Options struct {
	// PackSize is the size at which a pack is closed, in bytes. Default 16 MiB:
	// large enough that requests cost little beside the bytes, small enough
	// that repacking one is quick.
	PackSize int

	// CacheDir is a local folder for copies of index segments, for stores whose
	// objects are no local files; of one store only, since whoever writes a
	// store's segments decides what is found in them. Without it large segments
	// are read by ranges, however often they are asked.
	CacheDir string

	// CacheSize is how many bytes of copies CacheDir may hold. Default 4 GiB: the
	// index of 80 million chunks.
	CacheSize int64

	// SegmentMemory is how large a segment may be that is read as a whole where
	// files can't be mapped into memory, in bytes. Default 512 MiB: 10 million
	// chunks.
	SegmentMemory int64

	// NodeCache is how many bytes of metadata chunks are kept decoded. Default
	// 32 MiB: the nodes of some 100,000 directory entries. Negative for none.
	NodeCache int64

	// TempDir is where large merged segments are prepared, and where segments are
	// copied that must be read as a whole if there is no CacheDir. Default
	// os.TempDir.
	TempDir string

	// PendingMax is how many chunks a session holds in memory before it writes
	// an index segment on its own. Default 262,144: about 50 MiB, and 40
	// segments for ten million chunks, fewer than a root names.
	PendingMax int
}

func (o *Options) applyDefaults() error {
	defaultTo(&o.PackSize, 16<<20)
	defaultTo(&o.CacheSize, 4<<30)
	defaultTo(&o.SegmentMemory, 512<<20)
	defaultTo(&o.NodeCache, 32<<20)
	defaultTo(&o.PendingMax, 256<<10)
	if o.PackSize < 0 || o.PackSize > PackSizeMax || o.CacheSize < 0 || o.SegmentMemory < 0 || o.PendingMax < 0 {
		return fmt.Errorf("pack options %+v: a size is negative or above %d: %w", *o, PackSizeMax, fs.ErrInvalid)
	}
	return nil
}

func defaultTo[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Store reads and writes packs and index segments in an objstore.Store.
type Store struct {
	objects objstore.Store
	opts    Options
	codec   *codec
	nodes   *nodeCache
	files   fileCache
	scratch sync.Pool // of *[]byte

	copies copies
	credit atomic.Int64 // of ranged reads of segments, see worthCopying

	mu     sync.Mutex
	tables openTables
}

// New returns a Store over objects. The caller closes it.
func New(objects objstore.Store, o Options) (*Store, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, err
	}
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	st := &Store{objects: objects, opts: o, codec: c, nodes: newNodeCache(o.NodeCache)}
	st.copies = copies{o.CacheDir, o.CacheSize}
	st.scratch.New = func() any { return new([]byte) }
	if opener, ok := objects.(objstore.FileOpener); ok {
		st.files.opener = opener
	}
	return st, nil
}

// Close releases files and memory. Sessions must be closed before.
func (st *Store) Close() error {
	st.codec.close()
	return st.files.close()
}

// readRange returns exactly length bytes of an object.
func (st *Store) readRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b := make([]byte, length)
	if err := st.readInto(ctx, key, offset, b); err != nil {
		return nil, err
	}
	return b, nil
}

// readInto reads exactly as many bytes of an object as b has.
func (st *Store) readInto(ctx context.Context, key string, offset int64, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if ok, err := st.files.read(ctx, key, offset, b); ok {
		return err
	}
	rc, _, err := st.objects.Get(ctx, key, objstore.Range{Offset: offset, Length: int64(len(b))})
	if err != nil {
		return readError(key, err)
	}
	defer rc.Close()
	if _, err := io.ReadFull(rc, b); err != nil {
		return readError(key, fmt.Errorf("read %d bytes at %d: %w", len(b), offset, err))
	}
	return nil
}

// readError gives a failed read of an object that should exist its kind.
func readError(key string, err error) error {
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return fmt.Errorf("%s: %w", key, ErrMissing)
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s is too short: %w: %w", key, chunk.ErrCorrupt, err)
	default:
		return fmt.Errorf("%s: %w", key, err)
	}
}

// putTriesMax is how often an object of ours is written again while the
// outcome stays unknown: the write is idempotent. Waiting between tries is
// for the layer below.
const putTriesMax = 3

// putNew writes an object that nobody else writes. If it is there already, an
// earlier attempt of the same write succeeded, or it fails.
func (st *Store) putNew(ctx context.Context, key string, body *io.SectionReader) error {
	for try := 1; ; try++ {
		_, err := st.objects.Put(ctx, key, body, objstore.Condition{IfAbsent: true})
		switch objstore.OutcomeOf(err) {
		case objstore.OutcomeOK:
			return nil
		case objstore.OutcomePrecondition:
			return st.compare(ctx, key, body)
		case objstore.OutcomeUnknown:
			if try < putTriesMax && ctx.Err() == nil && objstore.DiskFailure(err) == nil {
				continue
			}
			return fmt.Errorf("write %s: %w", key, err)
		default:
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// compare fails with objstore.ErrPrecondition unless the object has the bytes
// of body.
func (st *Store) compare(ctx context.Context, key string, body *io.SectionReader) error {
	rc, info, err := st.objects.Get(ctx, key, objstore.Range{})
	if err != nil {
		return fmt.Errorf("write %s: it exists; compare: %w", key, err)
	}
	defer rc.Close()
	differs := fmt.Errorf("write %s: it exists with other bytes: %w", key, objstore.ErrPrecondition)
	if info.Size != body.Size() {
		return differs
	}
	const step = 64 << 10
	ours, theirs := make([]byte, step), make([]byte, step)
	for at := int64(0); at < body.Size(); at += step {
		n := min(step, body.Size()-at)
		if _, err := body.ReadAt(ours[:n], at); err != nil && err != io.EOF {
			return fmt.Errorf("write %s: compare: %w", key, err)
		}
		if _, err := io.ReadFull(rc, theirs[:n]); err != nil {
			return fmt.Errorf("write %s: compare: %w", key, err)
		}
		if !bytes.Equal(ours[:n], theirs[:n]) {
			return differs
		}
	}
	return nil
}
