package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Options of New. The zero value works.
type Options struct {
	// Now gives the ModTime of objects; nil leaves it zero.
	Now func() time.Time
}

// Store is an objstore.Store in memory.
type Store struct {
	now func() time.Time

	mu      sync.RWMutex
	objects map[string]object
}

type object struct {
	body []byte // never changed
	info objstore.Info
}

var _ objstore.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) *Store {
	now := o.Now
	if now == nil {
		now = func() time.Time { return time.Time{} }
	}
	return &Store{now: now, objects: map[string]object{}}
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	o, err := s.find(ctx, "get", key)
	if err != nil {
		return nil, objstore.Info{}, err
	}
	start, length, err := r.Resolve(o.info.Size)
	if err != nil {
		return nil, objstore.Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	return io.NopCloser(bytes.NewReader(o.body[start : start+length])), o.info, nil
}

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, key string) (objstore.Info, error) {
	o, err := s.find(ctx, "stat", key)
	return o.info, err
}

func (s *Store) find(ctx context.Context, op, key string) (object, error) {
	if err := objstore.CheckKey(key); err != nil {
		return object{}, err
	}
	if err := ctx.Err(); err != nil {
		return object{}, fmt.Errorf("%s %s: %w", op, key, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects[key]
	if !ok {
		return object{}, fmt.Errorf("%s %s: %w", op, key, objstore.ErrNotFound)
	}
	return o, nil
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if err := objstore.CheckPut(key, body, c); err != nil {
		return objstore.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return objstore.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	b := make([]byte, body.Size())
	if n, err := body.ReadAt(b, 0); n < len(b) {
		return objstore.Info{}, fmt.Errorf("put %s: read the body: %w", key, err)
	}
	o := object{body: b, info: objstore.Info{Key: key, Size: int64(len(b)), ModTime: s.now()}}
	if len(b) <= objstore.MutableSizeMax {
		sum := blake3.Sum256(b)
		o.info.Version = objstore.Version(fmt.Sprintf("%x", sum))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.objects[key]
	if c.IfAbsent && ok || c.IfVersion != "" && (!ok || old.info.Version != c.IfVersion) {
		return objstore.Info{}, fmt.Errorf("put %s: %w", key, objstore.ErrPrecondition)
	}
	s.objects[key] = o
	return o.info, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	return nil
}

// List implements objstore.Store. It yields the objects there were when the
// iteration began.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		for _, info := range s.snapshot(prefix, after) {
			if err := ctx.Err(); err != nil {
				yield(objstore.Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(objstore.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

func (s *Store) snapshot(prefix, after string) []objstore.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var infos []objstore.Info
	for key, o := range s.objects {
		if key > after && strings.HasPrefix(key, prefix) {
			infos = append(infos, o.info)
		}
	}
	slices.SortFunc(infos, func(a, b objstore.Info) int { return strings.Compare(a.Key, b.Key) })
	return infos
}
