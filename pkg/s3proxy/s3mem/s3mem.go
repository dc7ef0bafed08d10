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
	"strconv"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// Store is an s3proxy.Backend in memory that can do all that a backend can. The
// zero value is not usable; see New.
type Store struct {
	now     func() time.Time
	mu      sync.RWMutex
	buckets map[string]*bucket
	count   int // of IDs given out
}

var (
	_ s3proxy.Backend   = (*Store)(nil)
	_ s3proxy.Writer    = (*Store)(nil)
	_ s3proxy.Uploader  = (*Store)(nil)
	_ s3proxy.Versioner = (*Store)(nil)
	_ s3proxy.Settings  = (*Store)(nil)
)

type bucket struct {
	created  time.Time
	keys     []*key // sorted by name
	uploads  map[string]*upload
	settings map[s3proxy.Setting][]byte
}

// key is a key with all its versions, the newest first; there is at least one.
type key struct {
	name     string
	versions []*object
}

// object is an immutable version of an object; it is its own opened form.
type object struct {
	info    s3proxy.ObjectInfo
	content []byte
	deleted bool // a delete marker
}

// New returns an empty Store that takes the times of what is put into it from now.
func New(now func() time.Time) *Store {
	return &Store{now: now, buckets: map[string]*bucket{}}
}

// Add stores an object under info.Key, as a new version. Size is taken from
// content, ETag and LastModified are filled in if they are empty. Content and
// the maps in info belong to the Store from then on.
func (s *Store) Add(bucketName string, info s3proxy.ObjectInfo, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucket(bucketName)
	if err != nil {
		return fmt.Errorf("add %q: %w", info.Key, err)
	}
	if info.Key == "" {
		return fmt.Errorf("add to bucket %q: empty key: %w", bucketName, fs.ErrInvalid)
	}
	info.Size = int64(len(content))
	if info.ETag == "" {
		sum := md5.Sum(content)
		info.ETag = hex.EncodeToString(sum[:])
	}
	s.add(b, &object{info: info, content: content})
	return nil
}

// add makes o the newest version of its key.
func (s *Store) add(b *bucket, o *object) {
	o.info.VersionID = s.newID()
	if o.info.LastModified.IsZero() {
		o.info.LastModified = s.now()
	}
	i, found := b.search(o.info.Key)
	if !found {
		b.keys = slices.Insert(b.keys, i, &key{name: o.info.Key})
	}
	k := b.keys[i]
	k.versions = append([]*object{o}, k.versions...)
}

// newID returns an ID that the store has not given out before.
func (s *Store) newID() string {
	s.count++
	return "id" + strconv.Itoa(s.count)
}

// bucket returns the bucket of a name, or s3proxy.ErrNoSuchBucket.
func (s *Store) bucket(name string) (*bucket, error) {
	b := s.buckets[name]
	if b == nil {
		return nil, fmt.Errorf("bucket %q: %w", name, s3proxy.ErrNoSuchBucket)
	}
	return b, nil
}

// search returns where a key is among the sorted keys, or would be.
func (b *bucket) search(name string) (int, bool) {
	return slices.BinarySearchFunc(b.keys, name, func(k *key, name string) int { return cmp.Compare(k.name, name) })
}

// current returns the newest version of a key, or nil.
func (b *bucket) current(name string) *object {
	if i, found := b.search(name); found {
		return b.keys[i].versions[0]
	}
	return nil
}

// info describes what is at a key for a precondition, nil if nothing is.
func (b *bucket) info(name string) *s3proxy.ObjectInfo {
	if o := b.current(name); o != nil && !o.deleted {
		return &o.info
	}
	return nil
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
	b, err := s.bucket(name)
	if err != nil {
		return s3proxy.BucketInfo{}, err
	}
	return s3proxy.BucketInfo{Name: name, Created: b.created}, nil
}

// List implements s3proxy.Backend.
func (s *Store) List(_ context.Context, name string, q s3proxy.ListQuery) (s3proxy.ListPage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.bucket(name)
	if err != nil {
		return s3proxy.ListPage{}, err
	}
	return s3proxy.Paginate(q, func(from string) iter.Seq2[s3proxy.ObjectInfo, error] {
		return func(yield func(s3proxy.ObjectInfo, error) bool) {
			i, _ := b.search(from)
			for _, k := range b.keys[i:] {
				if o := k.versions[0]; !o.deleted && !yield(o.info, nil) {
					return
				}
			}
		}
	})
}

// Open implements s3proxy.Backend.
func (s *Store) Open(_ context.Context, name s3proxy.ObjectName) (s3proxy.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, err := s.version(name)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// version finds a version that is not a delete marker.
func (s *Store) version(name s3proxy.ObjectName) (*object, error) {
	b, err := s.bucket(name.Bucket)
	if err != nil {
		return nil, err
	}
	i, found := b.search(name.Key)
	if !found && name.VersionID == "" {
		return nil, fmt.Errorf("%q in bucket %q: %w", name.Key, name.Bucket, s3proxy.ErrNoSuchKey)
	}
	var o *object
	if found {
		o = b.keys[i].find(name.VersionID)
	}
	switch {
	case o == nil:
		return nil, fmt.Errorf("%q in bucket %q: version %q: %w", name.Key, name.Bucket, name.VersionID, s3proxy.ErrNoSuchVersion)
	case o.deleted:
		return nil, &s3proxy.DeletedError{VersionID: o.info.VersionID, Asked: name.VersionID != ""}
	}
	return o, nil
}

// find returns a version by its ID, the newest for "", or nil.
func (k *key) find(id string) *object {
	i := slices.IndexFunc(k.versions, func(o *object) bool { return id == "" || o.info.VersionID == id })
	if i < 0 {
		return nil
	}
	return k.versions[i]
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
