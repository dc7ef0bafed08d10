package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"syscall"
	"time"
)

// Version is a store's opaque name for the exact bytes of an object (an ETag
// on S3, a digest elsewhere). Equal versions of one key mean equal bytes. It
// is empty where a store would have to read a large object to know it: Get, Put
// and Stat of every store report it for objects of at most [MutableSizeMax]
// bytes, List need not.
type Version string

// MutableSizeMax is the largest object, in bytes, that may be replaced
// conditionally: the hard cap of the store's root.
const MutableSizeMax = 1 << 20

// KeyLengthMax is the longest key in bytes. S3 allows 1,024; the rest is left
// to the prefix under which a store may live.
const KeyLengthMax = 512

// Info describes one object.
type Info struct {
	Key     string
	Size    int64     // bytes
	Version Version   // may be empty for objects larger than MutableSizeMax, and in List
	ModTime time.Time // last write by the store's clock; information only, never used for safety
}

// Range selects bytes of an object. The zero Range is the whole object; a
// negative Offset counts from the end (Range{Offset: -16} is the last 16
// bytes, or all of a shorter object); Length 0 reads up to the end, as does a
// Length beyond it. A negative Length is invalid.
type Range struct {
	Offset int64
	Length int64
}

// Resolve returns the start and the length in bytes of r in an object of size
// bytes: 0 <= start, start+length <= size. It fails with fs.ErrInvalid for a
// negative Length and for a range that starts at or beyond the end of an
// object that is not empty; every range of an empty object is empty.
func (r Range) Resolve(size int64) (start, length int64, err error) {
	if r.Length < 0 {
		return 0, 0, fmt.Errorf("range of negative length %d: %w", r.Length, fs.ErrInvalid)
	}
	if size == 0 {
		return 0, 0, nil
	}
	start = r.Offset
	if start < 0 {
		start = max(0, size+start)
	}
	if start >= size {
		return 0, 0, fmt.Errorf("range starts at byte %d of an object of %d: %w", start, size, fs.ErrInvalid)
	}
	length = size - start
	if r.Length > 0 {
		length = min(length, r.Length)
	}
	return start, length, nil
}

// Condition makes a Put conditional. The zero Condition always holds; the two
// fields exclude each other.
type Condition struct {
	IfAbsent  bool    // the key must not exist
	IfVersion Version // the key must exist with exactly this version
}

// Store is a flat map from keys to immutable byte strings, with conditional
// writes. All methods may be called concurrently.
//
// Keys obey [CheckKey], else every method but List fails with fs.ErrInvalid. A
// store may refuse, with fs.ErrInvalid, a key that is a folder of another
// (a beside a/b); no caller may rely on either.
//
// An object becomes visible whole or not at all, and a Put that returned nil
// is durable. Errors carry one of the kinds below ([OutcomeOf] reads it): a
// caller that sees ErrUnknownOutcome must not assume that a write failed.
type Store interface {
	// Get opens the selected bytes of an object. The caller closes the reader.
	// A range that starts at or beyond the end of a non-empty object fails with
	// fs.ErrInvalid. ErrNotFound if there is no such key.
	Get(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error)

	// Put stores body under key if c holds, else fails with ErrPrecondition.
	// IfVersion on an absent key fails with ErrPrecondition; a body that is
	// replaced conditionally has at most MutableSizeMax bytes. The whole body is
	// read, by ReadAt, possibly more than once, and not after Put returned.
	Put(ctx context.Context, key string, body *io.SectionReader, c Condition) (Info, error)

	// Stat describes an object, or fails with ErrNotFound.
	Stat(ctx context.Context, key string) (Info, error)

	// Delete removes an object, whatever its version. Deleting an absent key
	// succeeds.
	Delete(ctx context.Context, key string) error

	// List yields the objects whose keys start with prefix and are greater
	// than after, in byte order of keys. It stops at the first error, which it
	// yields with a zero Info. An object that is written or deleted meanwhile
	// may or may not be yielded. Prefix and after are any strings.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
}

// The kinds of failure of a Store. Each store maps its own errors to these;
// whatever is none of them is a definite failure that changed nothing (for
// example a full disk: syscall.ENOSPC stays visible to errors.Is).
var (
	// ErrNotFound: there is no object of that key. It wraps fs.ErrNotExist.
	ErrNotFound = fmt.Errorf("object not found: %w", fs.ErrNotExist)
	// ErrPrecondition: the condition of a Put did not hold; nothing changed by
	// this attempt (an earlier attempt of the same Put may have succeeded).
	ErrPrecondition = errors.New("precondition failed")
	// ErrThrottled: the store asks to slow down; nothing changed.
	ErrThrottled = errors.New("store asks to slow down")
	// ErrUnknownOutcome: the request may or may not have been applied, or may
	// be applied later.
	ErrUnknownOutcome = errors.New("outcome unknown")
)

// Outcome classifies the result of a Store call.
type Outcome int

// The outcomes of a Store call.
const (
	OutcomeOK           Outcome = iota // done
	OutcomeNotFound                    // no such object
	OutcomePrecondition                // the condition did not hold
	OutcomeThrottled                   // nothing happened, try later
	OutcomeUnknown                     // may have been applied
	OutcomeFailed                      // definitely not applied
)

// OutcomeOf classifies err. A context that ended while a call was under way
// counts as unknown.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OutcomeOK
	case errors.Is(err, ErrUnknownOutcome):
		return OutcomeUnknown
	case errors.Is(err, ErrNotFound):
		return OutcomeNotFound
	case errors.Is(err, ErrPrecondition):
		return OutcomePrecondition
	case errors.Is(err, ErrThrottled):
		return OutcomeThrottled
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return OutcomeUnknown
	default:
		return OutcomeFailed
	}
}

// DiskFailure returns the cause (syscall.EIO, ENOSPC or EDQUOT) if err says that
// a disk did not take what was written, else nil. Writing it again, or reading
// it back, would meet a system that has forgotten the failure and calls the
// bytes safe.
func DiskFailure(err error) error {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, cause) {
			return cause
		}
	}
	return nil
}

// FileOpener is implemented by stores whose objects are local files.
type FileOpener interface {
	// OpenFile opens the file of an object for reading, so that it can be mapped
	// into memory in place. The caller closes it; its bytes never change.
	// ErrNotFound if there is no such key, errors.ErrUnsupported if this store
	// has no real files.
	OpenFile(ctx context.Context, key string) (*os.File, error)
}

// OpenFile opens the file of an object if s is a [FileOpener], or is a decorator
// with a method Unwrap() Store around one. It fails with errors.ErrUnsupported
// otherwise; the caller then reads with Get.
func OpenFile(ctx context.Context, s Store, key string) (*os.File, error) {
	for {
		switch t := s.(type) {
		case FileOpener:
			return t.OpenFile(ctx, key)
		case interface{ Unwrap() Store }:
			s = t.Unwrap()
		default:
			return nil, fmt.Errorf("open %s: no real files in this store: %w", key, errors.ErrUnsupported)
		}
	}
}

// Bytes returns b as the body of a Put. b must not change until Put returned.
func Bytes(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// ReadAll reads the selected bytes of an object, refusing more than limit
// bytes with fs.ErrInvalid before it allocates.
func ReadAll(ctx context.Context, s Store, key string, r Range, limit int64) ([]byte, Info, error) {
	rc, info, err := s.Get(ctx, key, r)
	if err != nil {
		return nil, Info{}, err
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err != nil {
		return nil, Info{}, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(len(b)) > limit {
		return nil, Info{}, fmt.Errorf("read %s: larger than the limit of %d bytes: %w", key, limit, fs.ErrInvalid)
	}
	return b, info, nil
}

// CheckKey reports whether key can name an object: 1 to KeyLengthMax bytes of
// [A-Za-z0-9._-] in components separated by single slashes, none of them
// empty, "." or "..". The error wraps fs.ErrInvalid.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > KeyLengthMax {
		return fmt.Errorf("key of %d bytes (1 to %d allowed): %w", len(key), KeyLengthMax, fs.ErrInvalid)
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if !keyByte(key[i]) {
				return fmt.Errorf("key %q has a byte that is not allowed: %w", key, fs.ErrInvalid)
			}
			continue
		}
		if c := key[start:i]; c == "" || c == "." || c == ".." {
			return fmt.Errorf("key %q has a component %q: %w", key, c, fs.ErrInvalid)
		}
		start = i + 1
	}
	return nil
}

// CheckPut reports whether Put may be called with these arguments, for
// implementations of [Store]. The error wraps fs.ErrInvalid.
func CheckPut(key string, body *io.SectionReader, c Condition) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if c.IfAbsent && c.IfVersion != "" {
		return fmt.Errorf("put %s: IfAbsent and IfVersion exclude each other: %w", key, fs.ErrInvalid)
	}
	if c.IfVersion != "" && body.Size() > MutableSizeMax {
		return fmt.Errorf("put %s: %d bytes are more than the %d that can be replaced conditionally: %w",
			key, body.Size(), MutableSizeMax, fs.ErrInvalid)
	}
	return nil
}

func keyByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}
