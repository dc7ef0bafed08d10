package s3mem

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// CreateBucket implements s3proxy.Writer.
func (s *Store) CreateBucket(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return fmt.Errorf("create bucket %q: %w", name, fs.ErrExist)
	}
	s.buckets[name] = &bucket{
		created: s.now(), uploads: map[string]*upload{}, settings: map[s3proxy.Setting][]byte{},
	}
	return nil
}

// DeleteBucket implements s3proxy.Writer. A bucket is empty if it has neither
// versions nor delete markers.
func (s *Store) DeleteBucket(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(name)
	if err != nil {
		return err
	}
	if len(b.keys) > 0 {
		return fmt.Errorf("delete bucket %q: %w", name, s3proxy.ErrBucketNotEmpty)
	}
	delete(s.buckets, name)
	return nil
}

// Put implements s3proxy.Writer.
func (s *Store) Put(ctx context.Context, name s3proxy.ObjectName, content *s3proxy.Content, o s3proxy.PutOptions) (s3proxy.ObjectInfo, error) {
	if _, err := s.StatBucket(ctx, name.Bucket); err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	b, err := io.ReadAll(content)
	if err != nil {
		return s3proxy.ObjectInfo{}, fmt.Errorf("put %q: %w", name.Key, err)
	}
	info := s3proxy.ObjectInfo{
		Key: name.Key, Size: int64(len(b)), ETag: content.ETag(), Checksum: content.Checksum(), Attributes: o.Attributes,
	}
	return s.store(name, info, b, o.If)
}

// store makes a new version if the precondition holds.
func (s *Store) store(name s3proxy.ObjectName, info s3proxy.ObjectInfo, content []byte, cond s3proxy.Precondition) (s3proxy.ObjectInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(name.Bucket)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	if err := cond.Check(b.info(name.Key)); err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	o := &object{info: info, content: content}
	s.add(b, o)
	return o.info, nil
}

// Copy implements s3proxy.Writer.
func (s *Store) Copy(_ context.Context, from s3proxy.Object, name s3proxy.ObjectName, o s3proxy.PutOptions) (s3proxy.ObjectInfo, error) {
	source, ok := from.(*object)
	if !ok {
		return s3proxy.ObjectInfo{}, fmt.Errorf("copy to %q: the source is of another backend: %w", name.Key, fs.ErrInvalid)
	}
	info := s3proxy.ObjectInfo{
		Key: name.Key, Size: source.info.Size, ETag: source.info.ETag, Checksum: source.info.Checksum,
		Parts: source.info.Parts, Attributes: o.Attributes,
	}
	if o.Checksum.Algorithm != "" {
		info.Checksum = o.Checksum
	}
	return s.store(name, info, source.content, o.If)
}

// SetTags implements s3proxy.Writer. It changes the version itself.
func (s *Store) SetTags(_ context.Context, name s3proxy.ObjectName, tags map[string]string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.version(name)
	if err != nil {
		return "", err
	}
	changed := *o
	changed.info.Tags = tags
	b := s.buckets[name.Bucket]
	i, _ := b.search(name.Key)
	k := b.keys[i]
	k.versions[slices.Index(k.versions, o)] = &changed
	return o.info.VersionID, nil
}

// Delete implements s3proxy.Writer.
func (s *Store) Delete(_ context.Context, bucketName string, what []s3proxy.Deletion) ([]s3proxy.Deleted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(bucketName)
	if err != nil {
		return nil, err
	}
	out := make([]s3proxy.Deleted, len(what))
	for i, d := range what {
		out[i] = s.delete(b, d)
	}
	return out, nil
}

func (s *Store) delete(b *bucket, d s3proxy.Deletion) s3proxy.Deleted {
	if err := d.If.Check(b.info(d.Key)); err != nil {
		return s3proxy.Deleted{Err: err}
	}
	if d.VersionID == "" {
		marker := &object{info: s3proxy.ObjectInfo{Key: d.Key}, deleted: true}
		s.add(b, marker)
		return s3proxy.Deleted{Marker: true, VersionID: marker.info.VersionID}
	}
	i, found := b.search(d.Key)
	if !found {
		return s3proxy.Deleted{VersionID: d.VersionID}
	}
	k := b.keys[i]
	o := k.find(d.VersionID)
	if o == nil {
		return s3proxy.Deleted{VersionID: d.VersionID}
	}
	// A new slice, since readers may hold the old one.
	k.versions = slices.DeleteFunc(slices.Clone(k.versions), func(v *object) bool { return v == o })
	if len(k.versions) == 0 {
		b.keys = slices.Delete(b.keys, i, i+1)
	}
	return s3proxy.Deleted{Marker: o.deleted, VersionID: d.VersionID}
}

// Setting implements s3proxy.Settings.
func (s *Store) Setting(_ context.Context, bucketName string, name s3proxy.Setting) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(bucketName)
	if err != nil {
		return nil, err
	}
	return b.settings[name], nil
}

// SetSetting implements s3proxy.Settings.
func (s *Store) SetSetting(_ context.Context, bucketName string, name s3proxy.Setting, doc []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(bucketName)
	if err != nil {
		return err
	}
	b.settings[name] = slices.Clone(doc)
	if doc == nil {
		delete(b.settings, name)
	}
	return nil
}
