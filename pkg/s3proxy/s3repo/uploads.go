package s3repo

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// systemRepo is the repo in which a proxy keeps what belongs to no version: a
// branch for each upload under way, so that it survives restarts, is seen by
// all replicas, and is kept from collection; and the settings of buckets. It
// is no bucket. FORMAT.md describes it.
const (
	systemRepo     = "dvx-s3"
	settingsBranch = "settings"
	uploadPrefix   = "upload-"
	uploadInfo     = "info.json"
	partPrefix     = "part/"
)

// isSystem tells whether a repo is no bucket: what it holds is not data.
func isSystem(name string) bool {
	return name == systemRepo || name == auth.AccessRepo || name == auth.DefaultsRepo
}

// uploadVersion is the version of the records of uploads.
const uploadVersion = 1

// uploadRecord is what is kept of an upload, beside its parts.
type uploadRecord struct {
	Version    int                `json:"version"`
	Bucket     string             `json:"bucket"`
	Key        string             `json:"key"`
	Started    time.Time          `json:"started"`
	Checksum   string             `json:"checksum,omitempty"`
	Attributes s3proxy.Attributes `json:"attributes"`
}

// uploadRecordMax bounds a record: attributes are at most some KiB.
const uploadRecordMax = 64 << 10

// ensureSystem makes the system repo if there is none.
func (w *Writing) ensureSystem(ctx context.Context) error {
	v, err := w.store.View(ctx)
	if err != nil {
		return seal(err)
	}
	if _, ok := v.Repos[systemRepo]; ok {
		return nil
	}
	err = w.move(ctx, repo.CreateRepo{Repo: systemRepo, Branch: settingsBranch, Description: "uploads under way and settings of the S3 interface"})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// CreateUpload implements s3proxy.Uploader.
func (w *Writing) CreateUpload(ctx context.Context, name s3proxy.ObjectName, a s3proxy.Attributes, sum s3proxy.Checksum) (string, error) {
	ctx, _ = enter(ctx)
	if _, err := w.place(ctx, name); err != nil {
		return "", err
	}
	if err := w.ensureSystem(ctx); err != nil {
		return "", err
	}
	op, err := w.store.NewOp()
	if err != nil {
		return "", seal(err)
	}
	id := op.String()
	started, _ := op.Time()
	if err := w.makeRoom(ctx, started); err != nil {
		return "", err
	}
	if err := w.move(ctx, repo.CreateBranch{Repo: systemRepo, Branch: uploadPrefix + id}); err != nil {
		return "", err
	}
	record, err := json.Marshal(uploadRecord{
		Version: uploadVersion, Bucket: name.Bucket, Key: name.Key, Started: started,
		Checksum: encodeChecksum(sum), Attributes: a,
	})
	if err != nil {
		return "", fmt.Errorf("record upload: %w", err)
	}
	_, err = w.putSystem(ctx, uploadPrefix+id, uploadInfo, bytes.NewReader(record), nil)
	return id, err
}

// putSystem stores a file on a branch of the system repo. attrs is asked for
// its attributes once the content has been read; nil for none.
func (w *Writing) putSystem(ctx context.Context, branch, path string, content io.Reader, attrs func() tree.Attrs) (*tree.Entry, error) {
	u, c, err := w.in.store(ctx, w.writer, content)
	if err != nil {
		return nil, sealWrite(err)
	}
	defer func() { _ = u.Close() }()
	e := &tree.Entry{Kind: tree.File, Content: c}
	if attrs != nil {
		e.Attrs = attrs()
	}
	written, err := u.Write(ctx, repo.OpenWrite{Repo: systemRepo, Branch: branch, Edits: []repo.OpenEdit{{Path: path, Entry: e}}})
	if err != nil {
		return nil, sealWrite(err)
	}
	e.Attrs.Time = written.Time
	return e, nil
}

// upload is an upload that was found.
type upload struct {
	uploadRecord
	seen repo.Visible
}

// upload finds an upload, or fails with s3proxy.ErrNoSuchUpload.
func (w *Writing) upload(ctx context.Context, name s3proxy.UploadName) (*upload, error) {
	if _, err := w.bucket(ctx, name.Bucket); err != nil {
		return nil, err
	}
	u, err := w.uploadByID(ctx, name.ID)
	if err == nil && (u.Bucket != name.Bucket || u.Key != name.Key) {
		err = s3proxy.ErrNoSuchUpload
	}
	if err != nil {
		return nil, fmt.Errorf("upload %.100q of %.300q: %w", name.ID, name.Key, err)
	}
	return u, nil
}

func (w *Writing) uploadByID(ctx context.Context, id string) (*upload, error) {
	if _, err := repo.ParseOpID(id); err != nil {
		return nil, s3proxy.ErrNoSuchUpload
	}
	v, err := repo.Look(ctx, w.store, systemRepo, uploadPrefix+id)
	if errors.Is(err, repo.ErrRefNotFound) || errors.Is(err, repo.ErrRepoNotFound) {
		return nil, s3proxy.ErrNoSuchUpload
	}
	if err != nil {
		return nil, seal(err)
	}
	b, err := readSystem(ctx, v, uploadInfo, uploadRecordMax)
	if err != nil {
		return nil, err
	}
	if b == nil { // created, and its record is still to be written
		return nil, s3proxy.ErrNoSuchUpload
	}
	u := &upload{seen: v}
	if err := json.Unmarshal(b, &u.uploadRecord); err != nil || u.Version != uploadVersion {
		return nil, fmt.Errorf("record of upload %s, version %d: not understood: %v", id, u.Version, err)
	}
	return u, nil
}

// readSystem returns a file of a branch of the system repo, nil if there is
// none.
func readSystem(ctx context.Context, v repo.Visible, path string, limit int64) ([]byte, error) {
	e, err := v.Tree().Find(ctx, path)
	if err != nil || e == nil {
		return nil, seal(err)
	}
	if e.Content.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, e.Content.Size, limit)
	}
	r, err := chunk.OpenContent(ctx, v.Chunks, e.Content)
	if err != nil {
		return nil, seal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, e.Content.Size))
	return b, seal(err)
}

// PutPart implements s3proxy.Uploader.
func (w *Writing) PutPart(ctx context.Context, name s3proxy.UploadName, number int, content *s3proxy.Content) (s3proxy.Part, error) {
	ctx, _ = enter(ctx)
	if _, err := w.upload(ctx, name); err != nil {
		return s3proxy.Part{}, err
	}
	e, err := w.putSystem(ctx, uploadPrefix+name.ID, partPath(number), content, func() tree.Attrs {
		sum := content.MD5()
		a := encodeAttributes(s3proxy.Attributes{}, content.Checksum(), nil)
		a.MD5 = sum[:]
		return a
	})
	if errors.Is(err, s3proxy.ErrNoSuchBucket) { // the upload has ended meanwhile
		return s3proxy.Part{}, fmt.Errorf("upload %s: %w", name.ID, s3proxy.ErrNoSuchUpload)
	}
	if err != nil {
		return s3proxy.Part{}, err
	}
	return partOf(number, e), nil
}

// partPath is where a part is kept: paths are in order of the numbers.
func partPath(number int) string { return fmt.Sprintf("%s%05d", partPrefix, number) }

func partOf(number int, e *tree.Entry) s3proxy.Part {
	return s3proxy.Part{
		Number: number, Size: e.Content.Size, ETag: hex.EncodeToString(e.Attrs.MD5), Modified: e.Attrs.Time,
		Checksum: decodeChecksum(e.Attrs.Headers[checksumHeader]),
	}
}

// ListParts implements s3proxy.Uploader.
func (w *Writing) ListParts(ctx context.Context, name s3proxy.UploadName, after, limit int) (s3proxy.PartPage, error) {
	ctx, _ = enter(ctx)
	u, err := w.upload(ctx, name)
	if err != nil {
		return s3proxy.PartPage{}, err
	}
	page := s3proxy.PartPage{Upload: u.describe(name.ID)}
	if limit <= 0 || after >= 100_000 {
		return page, nil
	}
	o := tree.WalkOptions{Prefix: partPrefix, After: partPath(after)}
	for e, err := range u.seen.Tree().Walk(ctx, o) {
		if err != nil {
			return s3proxy.PartPage{}, seal(err)
		}
		number, err := strconv.Atoi(strings.TrimPrefix(e.Path, partPrefix))
		if err != nil {
			return s3proxy.PartPage{}, fmt.Errorf("part %q of upload %s: %v", e.Path, name.ID, err)
		}
		if len(page.Parts) == limit {
			page.Truncated = true
			break
		}
		page.Parts = append(page.Parts, partOf(number, &e.Entry))
	}
	return page, nil
}

func (u *upload) describe(id string) s3proxy.Upload {
	return s3proxy.Upload{Key: u.Key, ID: id, Started: u.Started, Checksum: decodeChecksum(u.Checksum)}
}

// ListUploads implements s3proxy.Uploader. It reads the record of each upload
// in the store.
func (w *Writing) ListUploads(ctx context.Context, name string, q s3proxy.UploadQuery) (s3proxy.UploadPage, error) {
	ctx, _ = enter(ctx)
	if _, err := w.bucket(ctx, name); err != nil {
		return s3proxy.UploadPage{}, err
	}
	var all []s3proxy.Upload
	err := w.eachUpload(ctx, func(id string, u *upload) error {
		if u.Bucket == name {
			all = append(all, u.describe(id))
		}
		return nil
	})
	if err != nil {
		return s3proxy.UploadPage{}, err
	}
	return s3proxy.PaginateUploads(q, all), nil
}

// eachUpload calls f with every upload under way.
func (w *Writing) eachUpload(ctx context.Context, f func(id string, u *upload) error) error {
	v, err := w.store.View(ctx)
	if err != nil {
		return seal(err)
	}
	for branch := range v.Repos[systemRepo].Branches {
		id, ok := strings.CutPrefix(branch, uploadPrefix)
		if !ok {
			continue
		}
		u, err := w.uploadByID(ctx, id)
		if errors.Is(err, s3proxy.ErrNoSuchUpload) {
			continue
		}
		if err == nil {
			err = f(id, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
