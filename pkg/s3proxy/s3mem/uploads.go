package s3mem

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// upload is a multipart upload under way.
type upload struct {
	s3proxy.Upload
	attributes s3proxy.Attributes
	parts      map[int]part
}

type part struct {
	s3proxy.Part
	content []byte
}

// CreateUpload implements s3proxy.Uploader.
func (s *Store) CreateUpload(_ context.Context, name s3proxy.ObjectName, a s3proxy.Attributes, sum s3proxy.Checksum) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(name.Bucket)
	if err != nil {
		return "", err
	}
	u := &upload{
		Upload:     s3proxy.Upload{Key: name.Key, ID: s.newID(), Started: s.now(), Checksum: sum},
		attributes: a, parts: map[int]part{},
	}
	b.uploads[u.ID] = u
	return u.ID, nil
}

// upload finds an upload, or fails with s3proxy.ErrNoSuchUpload.
func (s *Store) upload(name s3proxy.UploadName) (*bucket, *upload, error) {
	b, err := s.bucket(name.Bucket)
	if err != nil {
		return nil, nil, err
	}
	u := b.uploads[name.ID]
	if u == nil || u.Key != name.Key {
		return nil, nil, fmt.Errorf("upload %q of %q: %w", name.ID, name.Key, s3proxy.ErrNoSuchUpload)
	}
	return b, u, nil
}

// PutPart implements s3proxy.Uploader.
func (s *Store) PutPart(_ context.Context, name s3proxy.UploadName, number int, content *s3proxy.Content) (s3proxy.Part, error) {
	data, err := io.ReadAll(content)
	if err != nil {
		return s3proxy.Part{}, fmt.Errorf("put part %d of %q: %w", number, name.Key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, u, err := s.upload(name)
	if err != nil {
		return s3proxy.Part{}, err
	}
	p := s3proxy.Part{
		Number: number, Size: int64(len(data)), ETag: content.ETag(), Modified: s.now(), Checksum: content.Checksum(),
	}
	u.parts[number] = part{p, data}
	return p, nil
}

// ListParts implements s3proxy.Uploader.
func (s *Store) ListParts(_ context.Context, name s3proxy.UploadName, after, limit int) (s3proxy.PartPage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, u, err := s.upload(name)
	if err != nil {
		return s3proxy.PartPage{}, err
	}
	page := s3proxy.PartPage{Upload: u.Upload}
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		switch {
		case n <= after:
		case len(page.Parts) == limit:
			page.Truncated = limit > 0
			return page, nil
		default:
			page.Parts = append(page.Parts, u.parts[n].Part)
		}
	}
	return page, nil
}

// ListUploads implements s3proxy.Uploader.
func (s *Store) ListUploads(_ context.Context, bucketName string, q s3proxy.UploadQuery) (s3proxy.UploadPage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(bucketName)
	if err != nil {
		return s3proxy.UploadPage{}, err
	}
	var all []s3proxy.Upload
	for _, u := range b.uploads {
		all = append(all, u.Upload)
	}
	return s3proxy.PaginateUploads(q, all), nil
}

// CompleteUpload implements s3proxy.Uploader.
func (s *Store) CompleteUpload(_ context.Context, name s3proxy.UploadName, c s3proxy.Completion) (s3proxy.ObjectInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, u, err := s.upload(name)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	var content []byte
	for _, p := range c.Parts {
		if u.parts[p.Number].ETag != p.ETag {
			return s3proxy.ObjectInfo{}, fmt.Errorf("part %d of %q: %w", p.Number, name.Key, s3proxy.ErrInvalidPart)
		}
		content = append(content, u.parts[p.Number].content...)
	}
	if err := c.If.Check(b.info(name.Key)); err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	o := &object{content: content, info: s3proxy.ObjectInfo{
		Key: name.Key, Size: c.Size, ETag: c.ETag, Checksum: c.Checksum, Parts: c.Parts, Attributes: u.attributes,
	}}
	s.add(b, o)
	delete(b.uploads, name.ID)
	return o.info, nil
}

// AbortUpload implements s3proxy.Uploader.
func (s *Store) AbortUpload(_ context.Context, name s3proxy.UploadName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _, err := s.upload(name)
	if err != nil {
		return err
	}
	delete(b.uploads, name.ID)
	return nil
}

// ListVersions implements s3proxy.Versioner.
func (s *Store) ListVersions(_ context.Context, bucketName string, q s3proxy.VersionQuery) (s3proxy.VersionPage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(bucketName)
	if err != nil {
		return s3proxy.VersionPage{}, err
	}
	from, _ := b.search(cmp.Or(q.KeyMarker, q.Prefix))
	return s3proxy.PaginateVersions(q, func(yield func(s3proxy.Version, error) bool) {
		for _, k := range b.keys[from:] {
			for i, o := range k.versions {
				v := s3proxy.Version{ObjectInfo: o.info, Latest: i == 0, DeleteMarker: o.deleted}
				if strings.HasPrefix(k.name, q.Prefix) && !yield(v, nil) {
					return
				}
			}
		}
	})
}
