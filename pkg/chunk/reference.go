package chunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"unicode/utf8"
)

// DepthReference is the depth of a Content whose bytes are not in the store:
// its ID is of a List chunk that holds a [Reference].
const DepthReference = DepthMax + 1

// Reference names an object in a bucket that is none of the store's, as it was
// when it was imported: another object under its key is another one.
type Reference struct {
	Version uint8  `cbor:"0,keyasint"`           // of the encoding, 1
	Bucket  string `cbor:"3,keyasint"`           // 1 to 255 bytes
	Key     string `cbor:"4,keyasint"`           // 1 to 1,024 bytes
	ETag    string `cbor:"5,keyasint"`           // without quotes, 1 to 255 bytes
	ID      string `cbor:"6,keyasint,omitempty"` // of the version, up to 1,024 bytes; "" if the bucket keeps none
	Size    int64  `cbor:"7,keyasint"`           // bytes, at least 1
}

// String returns the object's URL.
func (r Reference) String() string { return "s3://" + r.Bucket + "/" + r.Key }

const (
	referenceVersion    = 1
	referenceEncodedMax = 4096
	referenceBlock      = 2 << 20 // bytes of an object that are fetched at once
)

// ErrReference: the object that a file refers to is gone, or is another one by
// now. The bytes that were imported can't be had from there any more.
var ErrReference = errors.New("not the object that was imported")

// Outside reads the objects that References name. It may be used concurrently.
type Outside interface {
	// ReadOutside returns size bytes from offset of the object that r names, or
	// fails with ErrReference if it is not there any more.
	ReadOutside(ctx context.Context, r Reference, offset, size int64) ([]byte, error)
}

type outsideKey struct{}

// WithOutside returns a context in which files that are references can be read:
// a Content is opened far from where the credentials for its bytes are known,
// and each reader uses his own.
func WithOutside(ctx context.Context, o Outside) context.Context {
	return context.WithValue(ctx, outsideKey{}, o)
}

func (r *Reference) check() error {
	text := func(what, s string, least, most int) error {
		if len(s) < least || len(s) > most || !utf8.ValidString(s) {
			return fmt.Errorf("reference with a %s of %d bytes, want %d to %d of UTF-8: %w", what, len(s), least, most, fs.ErrInvalid)
		}
		return nil
	}
	if r.Version != referenceVersion || r.Size < 1 {
		return fmt.Errorf("reference of version %d to %d bytes: %w", r.Version, r.Size, fs.ErrInvalid)
	}
	return errors.Join(text("bucket", r.Bucket, 1, 255), text("key", r.Key, 1, 1024), text("etag", r.ETag, 1, 255), text("version", r.ID, 0, 1024))
}

// EncodeReference returns the one encoding of r, whose Version is set. It fails
// with fs.ErrInvalid if a field is beyond its limits.
func EncodeReference(r Reference) ([]byte, error) {
	r.Version = referenceVersion
	if err := r.check(); err != nil {
		return nil, err
	}
	return listCodec.enc.Marshal(&r)
}

// DecodeReference reads a reference. ErrCorrupt unless b is what
// EncodeReference returns for it.
func DecodeReference(b []byte) (Reference, error) {
	var r Reference
	if len(b) > referenceEncodedMax {
		return r, fmt.Errorf("reference of %d bytes exceeds %d: %w", len(b), referenceEncodedMax, ErrCorrupt)
	}
	if err := listCodec.dec.Unmarshal(b, &r); err != nil {
		return Reference{}, fmt.Errorf("reference: %w: %w", ErrCorrupt, err)
	}
	if err := r.check(); err != nil {
		return Reference{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if again, err := EncodeReference(r); err != nil || !bytes.Equal(again, b) {
		return Reference{}, fmt.Errorf("reference: not in canonical form: %w", ErrCorrupt)
	}
	return r, nil
}

// PutReference stores a reference, and returns the Content of a file that has
// the object's bytes.
func PutReference(ctx context.Context, s Store, r Reference) (Content, error) {
	b, err := EncodeReference(r)
	if err != nil {
		return Content{}, err
	}
	id, err := s.Put(ctx, List, b)
	return Content{ID: id, Size: r.Size, Depth: DepthReference}, err
}

// LoadReference reads the reference that a Content of depth DepthReference is.
func LoadReference(ctx context.Context, r Reader, c Content) (Reference, error) {
	b, err := r.Get(ctx, List, c.ID)
	if err != nil {
		return Reference{}, err
	}
	ref, err := DecodeReference(b)
	if err == nil && ref.Size != c.Size {
		err = fmt.Errorf("of %d bytes instead of %d: %w", ref.Size, c.Size, ErrCorrupt)
	}
	if err != nil {
		return Reference{}, fmt.Errorf("%v %s: %w", List, c.ID.Short(), err)
	}
	return ref, nil
}

// block returns the place of the block of an object that covers off.
func (r *ContentReader) block(off int64) extent {
	start := off - off%referenceBlock
	return extent{start: start, size: min(referenceBlock, r.content.Size-start)}
}

// fetchOutside fetches a block of the object that the content refers to.
func (r *ContentReader) fetchOutside(e extent) ([]byte, error) {
	r.refOnce.Do(func() { r.ref, r.refErr = LoadReference(r.ctx, r.src, r.content) })
	if r.refErr != nil {
		return nil, r.refErr
	}
	o, ok := r.ctx.Value(outsideKey{}).(Outside)
	if !ok {
		return nil, fmt.Errorf("read %s: objects of other buckets are not read here: %w", r.ref, fs.ErrPermission)
	}
	b, err := o.ReadOutside(r.ctx, r.ref, e.start, e.size)
	if err == nil && int64(len(b)) != e.size {
		err = fmt.Errorf("%d bytes of %s instead of %d: %w", len(b), r.ref, e.size, ErrReference)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}
