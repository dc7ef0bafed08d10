package s3mem

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// Store is an s3proxy.Backend in memory. The zero value is not usable; see New.
type Store struct {
	now     func() time.Time
	mu      sync.RWMutex
	buckets map[string]*bucket
}

var _ s3proxy.Backend = (*Store)(nil)

type bucket struct {
	created time.Time
	objects []*object // sorted by key
}

// object is an immutable object; it is its own opened form.
type object struct {
	info    s3proxy.ObjectInfo
	content []byte
}

// New returns an empty Store that takes the times of what is put into it from now.
func New(now func() time.Time) *Store {
	return &Store{now: now, buckets: map[string]*bucket{}}
}

// CreateBucket makes an empty bucket, or fails with fs.ErrExist.
func (s *Store) CreateBucket(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return fmt.Errorf("create bucket %q: %w", name, fs.ErrExist)
	}
	s.buckets[name] = &bucket{created: s.now()}
	return nil
}

// Put stores an object under info.Key, in place of any that was there. Size is
// taken from content, ETag and LastModified are filled in if they are empty.
// Content and info.Meta belong to the Store from then on.
func (s *Store) Put(bucketName string, info s3proxy.ObjectInfo, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b == nil {
		return fmt.Errorf("put %q into bucket %q: %w", info.Key, bucketName, s3proxy.ErrNoSuchBucket)
	}
	if info.Key == "" {
		return fmt.Errorf("put into bucket %q: empty key: %w", bucketName, fs.ErrInvalid)
	}
	info.Size = int64(len(content))
	if info.ETag == "" {
		sum := md5.Sum(content)
		info.ETag = hex.EncodeToString(sum[:])
	}
	if info.LastModified.IsZero() {
		info.LastModified = s.now()
	}
	o := &object{info: info, content: content}
	i, found := b.search(info.Key)
	if found {
		b.objects[i] = o
		return nil
	}
	b.objects = slices.Insert(b.objects, i, o)
	return nil
}

// Delete removes an object; removing one that is not there is no error.
func (s *Store) Delete(bucketName, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b == nil {
		return fmt.Errorf("delete %q from bucket %q: %w", key, bucketName, s3proxy.ErrNoSuchBucket)
	}
	if i, found := b.search(key); found {
		b.objects = slices.Delete(b.objects, i, i+1)
	}
	return nil
}

// search returns where key is among the sorted objects, or would be.
func (b *bucket) search(key string) (int, bool) {
	return slices.BinarySearchFunc(b.objects, key, func(o *object, key string) int {
		return cmp.Compare(o.info.Key, key)
	})
}

// ListBuckets implements s3proxy.Backend.
func (s *Store) ListBuckets(context.Context) ([]s3proxy.BucketInfo, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []s3proxy.BucketInfo
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		out = append(out, s3proxy.BucketInfo{Name: name, Created: s.buckets[name].created})
	}
	return out, nil
}

// StatBucket implements s3proxy.Backend.
func (s *Store) StatBucket(_ context.Context, name string) (s3proxy.BucketInfo, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.buckets[name]
	if b == nil {
		return s3proxy.BucketInfo{}, fmt.Errorf("bucket %q: %w", name, s3proxy.ErrNoSuchBucket)
	}
	return s3proxy.BucketInfo{Name: name, Created: b.created}, nil
}

// List implements s3proxy.Backend.
func (s *Store) List(_ context.Context, name string, q s3proxy.ListQuery) (s3proxy.ListPage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.buckets[name]
	if b == nil {
		return s3proxy.ListPage{}, fmt.Errorf("list bucket %q: %w", name, s3proxy.ErrNoSuchBucket)
	}
	return s3proxy.Paginate(q, func(from string) iter.Seq2[s3proxy.ObjectInfo, error] {
		return func(yield func(s3proxy.ObjectInfo, error) bool) {
			i, _ := b.search(from)
			for _, o := range b.objects[i:] {
				if !yield(o.info, nil) {
					return
				}
			}
		}
	})
}

// Open implements s3proxy.Backend. There is one version, without an ID.
func (s *Store) Open(_ context.Context, name s3proxy.ObjectName) (s3proxy.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.buckets[name.Bucket]
	if b == nil {
		return nil, fmt.Errorf("open %q in bucket %q: %w", name.Key, name.Bucket, s3proxy.ErrNoSuchBucket)
	}
	i, found := b.search(name.Key)
	if !found {
		return nil, fmt.Errorf("open %q in bucket %q: %w", name.Key, name.Bucket, s3proxy.ErrNoSuchKey)
	}
	if name.VersionID != "" && name.VersionID != "null" {
		return nil, fmt.Errorf("open %q in bucket %q: version %q: %w", name.Key, name.Bucket, name.VersionID, s3proxy.ErrNoSuchVersion)
	}
	return b.objects[i], nil
}

// Info implements s3proxy.Object.
func (o *object) Info() s3proxy.ObjectInfo { return o.info }

// Range implements s3proxy.Object.
func (o *object) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < 1 || offset > o.info.Size-length {
		return nil, fmt.Errorf("read %d bytes at %d of %q: %w", length, offset, o.info.Key, fs.ErrInvalid)
	}
	return io.NopCloser(bytes.NewReader(o.content[offset : offset+length])), nil
}

// Close implements s3proxy.Object.
func (o *object) Close() error { return nil }
