package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/objstore"
)

const (
	partBytesMin     = 5 << 20 // S3's limit for all parts but the last
	partBytesDefault = 32 << 20
	partsMax         = 10_000 // S3's limit

	// bodyBytesMax is the largest object of S3.
	bodyBytesMax = 5 << 40

	// partsAtOnce bounds the requests of one Put; parts are read where they lie,
	// so more would cost connections, not memory.
	partsAtOnce = 4

	// partAttemptsMax bounds how often a part is sent whose acknowledgement was
	// lost: it is the same part then, and no object before the last step.
	partAttemptsMax = 3

	// abortTimeout is how long the removal of an upload's parts may take.
	abortTimeout = 10 * time.Second
)

// upload is one Put in parts.
type upload struct {
	s     *Store
	key   string
	id    string
	body  *io.SectionReader
	part  int64 // size of all parts but the last
	byMD5 bool
	parts []minio.CompletePart
}

// putParts sends a body in parts; the object appears with the last step, which
// carries the condition. Whatever fails before that changed nothing, so no
// failure before it is of unknown outcome. If the outcome of the last step is
// unknown, the parts stay: the step may still come to pass.
func (s *Store) putParts(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if body.Size() > bodyBytesMax {
		return objstore.Info{}, fmt.Errorf("put %s: %d bytes are more than S3 keeps in one object: %w", key, body.Size(), fs.ErrInvalid)
	}
	if c.IfAbsent { // spare the sending; the last step asks again
		if _, err := s.Stat(ctx, key); err == nil {
			return objstore.Info{}, fmt.Errorf("put %s: %w", key, objstore.ErrPrecondition)
		}
	}
	u := &upload{s: s, key: key, body: body, part: partSize(body.Size(), s.partBytes), byMD5: s.byMD5.Load()}
	err := u.begin(ctx)
	if err != nil {
		return objstore.Info{}, err
	}
	if err = u.sendAll(ctx); err != nil {
		u.abort(ctx)
		return objstore.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	var o minio.PutObjectOptions
	setCondition(&o, c)
	ui, err := s.client.CompleteMultipartUpload(ctx, s.bucket, s.prefix+key, u.id, u.parts, o)
	if err != nil {
		if err = s.putError(key, err, c); objstore.OutcomeOf(err) != objstore.OutcomeUnknown {
			u.abort(ctx)
		}
		if errors.Is(err, objstore.ErrNotFound) {
			err = fmt.Errorf("put %s: the upload was removed before its end (does a lifecycle rule of the bucket do so?)", key)
		}
		return objstore.Info{}, err
	}
	return objstore.Info{Key: key, Size: body.Size(), Version: objstore.Version(ui.ETag)}, nil
}

// partSize returns the size of the parts of a body: that wished for, or what
// keeps their number within S3's limit.
func partSize(size, wish int64) int64 {
	return max(wish, (size+partsMax-1)/partsMax)
}

// begin asks the service for an upload.
func (u *upload) begin(ctx context.Context) (err error) {
	o := minio.PutObjectOptions{}
	if !u.byMD5 {
		o.UserMetadata = map[string]string{"x-amz-checksum-algorithm": "SHA256"}
	}
	u.id, err = u.s.client.NewMultipartUpload(ctx, u.s.bucket, u.s.prefix+u.key, o)
	if err != nil && !u.byMD5 && refusesChecksum(err) {
		u.s.byMD5.Store(true)
		u.byMD5 = true
		return u.begin(ctx)
	}
	if err != nil {
		return unchanged(u.s.mapError("put", u.key, err))
	}
	return nil
}

// sendAll sends the parts, some at once.
func (u *upload) sendAll(ctx context.Context) error {
	size := u.body.Size()
	u.parts = make([]minio.CompletePart, (size+u.part-1)/u.part)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i := range u.parts {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			start := int64(i) * u.part
			part, err := u.send(ctx, i+1, io.NewSectionReader(u.body, start, min(u.part, size-start)))
			u.parts[i] = part
			return err
		})
	}
	return g.Wait()
}

// send sends one part, and sends it again while its outcome is unknown.
func (u *upload) send(ctx context.Context, number int, body *io.SectionReader) (minio.CompletePart, error) {
	sums, err := digest(body, u.byMD5)
	if err != nil {
		return minio.CompletePart{}, err
	}
	for attempt := 1; ; attempt++ {
		o := minio.PutObjectPartOptions{Sha256Hex: sums.hex(), Md5Base64: sums.md5, DisableContentSha256: true}
		if !u.byMD5 {
			o.CustomHeader = http.Header{http.CanonicalHeaderKey(checksumHeader): {sums.base64()}}
		}
		p, err := u.s.client.PutObjectPart(ctx, u.s.bucket, u.s.prefix+u.key, u.id, number,
			io.NewSectionReader(body, 0, body.Size()), body.Size(), o)
		if err == nil {
			return minio.CompletePart{PartNumber: number, ETag: p.ETag, ChecksumSHA256: p.ChecksumSHA256}, nil
		}
		err = u.s.mapError("put", fmt.Sprintf("part %d", number), err)
		if objstore.OutcomeOf(err) != objstore.OutcomeUnknown || attempt == partAttemptsMax || ctx.Err() != nil {
			return minio.CompletePart{}, unchanged(err)
		}
	}
}

// abort removes the parts of an upload that made no object. Best effort: what
// stays is removed by the bucket's lifecycle rule for incomplete uploads.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = u.s.client.AbortMultipartUpload(ctx, u.s.bucket, u.s.prefix+u.key, u.id)
}

// unchanged gives an error of a step that makes no object the kind that says
// so: what is unknown about the step is known about the object.
func unchanged(err error) error {
	switch {
	case objstore.OutcomeOf(err) != objstore.OutcomeUnknown:
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("%w: %v", objstore.ErrThrottled, err) //nolint:errorlint // its kind is replaced
}
