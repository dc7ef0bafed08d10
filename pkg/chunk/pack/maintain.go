package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// MergeSegments writes one segment with all that the segments of the given
// keys name, and returns its key. session is the caller's; n is a number below
// 2^31 that it has not used for a segment of MergeSegments or IndexPacks
// before. The segments are verified in full first.
func (st *Store) MergeSegments(ctx context.Context, session string, n int, in []string) (key string, err error) {
	if len(in) == 0 {
		return "", fmt.Errorf("merge no index segments: %w", fs.ErrInvalid)
	}
	key = mergedKey(session, n)
	if _, _, err := ParseKey(key); err != nil {
		return "", err
	}
	snap, err := st.Snapshot(ctx, in)
	if err != nil {
		return "", err
	}
	segs, err := snap.whole(ctx)
	if err != nil {
		return "", err
	}
	m, err := newMerger(segs, nil)
	if err != nil {
		return "", fmt.Errorf("merge index segments: %w", err)
	}
	return key, st.putSegment(ctx, key, segs, m.writeTo)
}

// putSegment writes a segment that is at most as large as segs together.
func (st *Store) putSegment(ctx context.Context, key string, segs []*segment, write func(io.Writer) error) error {
	size := int64(0)
	for _, s := range segs {
		size += int64(len(s.data))
	}
	if size > mergeMemoryMax {
		return st.putSegmentFile(ctx, key, write)
	}
	var out bytes.Buffer
	if err := write(&out); err != nil {
		return fmt.Errorf("merge index segments: %w", err)
	}
	return st.putNew(ctx, key, objstore.Bytes(out.Bytes()))
}

// mergeMemoryMax is the size up to which a merged segment is prepared in
// memory.
const mergeMemoryMax = 32 << 20

// putSegmentFile prepares a segment in a temporary file.
func (st *Store) putSegmentFile(ctx context.Context, key string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(st.opts.TempDir, "dvx-merge-*")
	if err != nil {
		return fmt.Errorf("merge index segments: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := write(f); err != nil {
		return fmt.Errorf("merge index segments: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("merge index segments: %w", err)
	}
	return st.putNew(ctx, key, io.NewSectionReader(f, 0, size))
}

// IndexPacks writes one segment for the packs of the given footers, and
// returns its key: with ReadFooter it makes a lost index again. For session and
// n see MergeSegments.
func (st *Store) IndexPacks(ctx context.Context, session string, n int, footers []Footer) (key string, err error) {
	key = mergedKey(session, n)
	if _, _, err := ParseKey(key); err != nil {
		return "", err
	}
	data, err := encodeSegment(footers)
	if err != nil {
		return "", err
	}
	if _, err := openSegment(key, data); err != nil { // footers may be made up
		return "", fmt.Errorf("index packs: %w", err)
	}
	return key, st.putNew(ctx, key, objstore.Bytes(data))
}

// footerGuess is how much of a pack's end ReadFooter reads at first: the
// footer of a pack of 1,300 chunks.
const footerGuess = 64 << 10

// ReadFooter reads the footer of a pack, mostly in one request. It verifies
// the footer, not the bodies.
func (st *Store) ReadFooter(ctx context.Context, key string) (Footer, error) {
	f, err := st.readFooter(ctx, key)
	if err != nil {
		return Footer{}, fmt.Errorf("pack %s: %w", key, err)
	}
	f.Key = key
	return f, nil
}

func (st *Store) readFooter(ctx context.Context, key string) (Footer, error) {
	tail, info, err := objstore.ReadAll(ctx, st.objects, key, objstore.Range{Offset: -footerGuess}, footerGuess)
	if err != nil {
		return Footer{}, readError(key, err)
	}
	count, err := decodeTrailer(tail[max(0, len(tail)-trailerSize):], info.Size)
	if err != nil {
		return Footer{}, err
	}
	need := packLength(0, count)
	if need > len(tail) {
		if tail, err = st.readRange(ctx, key, info.Size-int64(need), int64(need)); err != nil {
			return Footer{}, err
		}
	}
	return decodeFooter(tail[len(tail)-need:], info.Size)
}

// VerifyPack reads a whole pack and verifies every byte of it: checksums,
// footer and each chunk.
func (st *Store) VerifyPack(ctx context.Context, key string) (Footer, error) {
	b, _, err := objstore.ReadAll(ctx, st.objects, key, objstore.Range{}, PackSizeMax)
	if err != nil {
		return Footer{}, readError(key, err)
	}
	f, err := decodePack(b, st.codec)
	if err != nil {
		return Footer{}, fmt.Errorf("pack %s: %w", key, err)
	}
	f.Key = key
	return f, nil
}

// VerifySegment reads an index segment and verifies every byte of it: of the
// store's own object, not of a copy in the cache folder.
func (st *Store) VerifySegment(ctx context.Context, key string) (SegmentInfo, error) {
	if _, _, err := ParseKey(key); err != nil {
		return SegmentInfo{}, err
	}
	s, err := st.mapOwn(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		s, err = st.fetchOwn(ctx, key)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return SegmentInfo{}, err
	}
	return s.describe(), nil
}

// fetchOwn reads a segment from the store, whatever copies there are.
func (st *Store) fetchOwn(ctx context.Context, key string) (*segment, error) {
	t, err := st.openDistant(ctx, key)
	if err != nil {
		return nil, err
	}
	if s := t.near(); s != nil {
		return s, nil
	}
	return t.whole(ctx)
}
