package s3

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/dvx-io/dvx/pkg/objstore"
)

const checksumHeader = "x-amz-checksum-sha256"

// Put implements objstore.Store. The body is read twice: for its digest, then
// for the request. A large one is sent in parts.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if err := objstore.CheckPut(key, body, c); err != nil {
		return objstore.Info{}, err
	}
	if err := begin(ctx, "put", key); err != nil {
		return objstore.Info{}, err
	}
	if body.Size() > 2*s.partBytes {
		return s.putParts(ctx, key, body, c)
	}
	return s.putWhole(ctx, key, body, body, c)
}

// putWhole sends a body in one request, with the checksums of original, which
// it is. A service that refuses the checksum header by name did nothing: the
// request is then made anew without it.
func (s *Store) putWhole(ctx context.Context, key string, body, original *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	byMD5 := s.byMD5.Load()
	sums, err := digest(original, byMD5)
	if err != nil {
		return objstore.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	o := minio.PutObjectOptions{DisableContentSha256: true} // of the streamed kind: the digest is known
	if !byMD5 {
		o.UserMetadata = map[string]string{checksumHeader: sums.base64()}
	}
	setCondition(&o, c)
	size := body.Size()
	ui, err := s.client.PutObject(ctx, s.bucket, s.prefix+key, io.NewSectionReader(body, 0, size), size, sums.md5, sums.hex(), o)
	if err != nil {
		if !byMD5 && refusesChecksum(err) {
			s.byMD5.Store(true)
			return s.putWhole(ctx, key, body, original, c)
		}
		return objstore.Info{}, s.putError(key, err, c)
	}
	if !byMD5 && ui.ChecksumSHA256 != sums.base64() {
		s.byMD5.Store(true) // it took no notice; this body's digest was in the signature
	}
	return objstore.Info{Key: key, Size: size, Version: objstore.Version(ui.ETag), ModTime: ui.LastModified}, nil
}

// PutDamaged sends a body other than the one that its checksums were made of,
// as if it had been damaged on the way. The probe sees by it whether the
// service would notice: it must answer with an error and store nothing.
func (s *Store) PutDamaged(ctx context.Context, key string) error {
	if err := begin(ctx, "put", key); err != nil {
		return err
	}
	original, damaged := objstore.Bytes([]byte("what was sent")), objstore.Bytes([]byte("what was kept"))
	_, err := s.putWhole(ctx, key, damaged, original, objstore.Condition{})
	return err
}

func setCondition(o *minio.PutObjectOptions, c objstore.Condition) {
	switch {
	case c.IfAbsent:
		o.SetMatchETagExcept("*")
	case c.IfVersion != "":
		o.SetMatchETag(string(c.IfVersion))
	}
}

// putError maps the answer to a write.
func (s *Store) putError(key string, err error, c objstore.Condition) error {
	err = s.mapError("put", key, err)
	if c.IfVersion != "" && errors.Is(err, objstore.ErrNotFound) { // how Amazon refuses If-Match on an absent key
		err = fmt.Errorf("put %s: the key does not exist: %w", key, objstore.ErrPrecondition)
	}
	return err
}

// refusesChecksum reports whether a service that is older than the checksum
// headers says so.
func refusesChecksum(err error) bool {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return false
	}
	message := strings.ToLower(resp.Message)
	switch resp.StatusCode {
	case http.StatusNotImplemented:
		return strings.Contains(message, "checksum") || strings.Contains(message, "header")
	case http.StatusBadRequest:
		return (resp.Code == "InvalidRequest" || resp.Code == "InvalidArgument") && strings.Contains(message, "checksum")
	}
	return false
}

// sums are the digests of a body.
type sums struct {
	sha256 [sha256.Size]byte
	md5    string // base64, if wanted
}

func (s *sums) base64() string { return base64.StdEncoding.EncodeToString(s.sha256[:]) }
func (s *sums) hex() string    { return hex.EncodeToString(s.sha256[:]) }

// digest reads a body.
func digest(body *io.SectionReader, withMD5 bool) (sums, error) {
	var s sums
	a, b := sha256.New(), md5.New()
	w := io.Writer(a)
	if withMD5 {
		w = io.MultiWriter(a, b)
	}
	n, err := io.Copy(w, io.NewSectionReader(body, 0, body.Size()))
	if err == nil && n < body.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return s, fmt.Errorf("read the body: %w", err)
	}
	a.Sum(s.sha256[:0])
	if withMD5 {
		s.md5 = base64.StdEncoding.EncodeToString(b.Sum(nil))
	}
	return s, nil
}
