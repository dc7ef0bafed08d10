package s3proxy

import (
	"context"
	"io"
	"time"
)

// Backend is what the proxy asks of the place that holds buckets and objects.
//
// Every error should wrap one of the kinds in errors.go or an io/fs sentinel;
// any other becomes InternalError. The caller of a request is in the context,
// see PrincipalFrom. All methods may be called by any number of goroutines.
//
// A Backend that only has these methods can be read. What it may take besides
// is in the interfaces [Writer], [Uploader], [Versioner] and [Settings].
type Backend interface {
	// ListBuckets returns the buckets that the caller may see, sorted by name.
	ListBuckets(ctx context.Context) ([]BucketInfo, error)
	// StatBucket describes one bucket, or fails with ErrNoSuchBucket.
	StatBucket(ctx context.Context, bucket string) (BucketInfo, error)
	// List returns one page of a bucket's keys, or fails with ErrNoSuchBucket.
	List(ctx context.Context, bucket string, q ListQuery) (ListPage, error)
	// Open pins one version of an object and describes it, without reading its
	// content. It fails with ErrNoSuchBucket, ErrNoSuchKey or ErrNoSuchVersion.
	Open(ctx context.Context, name ObjectName) (Object, error)
}

// BucketInfo describes a bucket.
type BucketInfo struct {
	// Name is the bucket's name.
	Name string
	// Created is when the bucket was made.
	Created time.Time
}

// ObjectName names one version of an object.
type ObjectName struct {
	// Bucket is the bucket's name.
	Bucket string
	// Key is the object's key: 1 to 1,024 bytes of valid UTF-8.
	Key string
	// VersionID names the version; "" is the current one.
	VersionID string
}

// Object is an opened, pinned object. It is used by one goroutine.
type Object interface {
	// Info describes the object; its maps are not changed by the caller.
	Info() ObjectInfo
	// Range returns a stream of exactly length bytes from offset, which the
	// caller closes; if it is an io.WriterTo, that is used. 0 <= offset, 1 <= length, offset+length <= Info().Size.
	Range(ctx context.Context, offset, length int64) (io.ReadCloser, error)
	// Close frees what Open pinned; the streams of Range are closed before.
	Close() error
}

// ObjectInfo describes an object. In lists, only the first six fields count.
type ObjectInfo struct {
	// Key is the object's key.
	Key string
	// Size is the length of the content in bytes.
	Size int64
	// ETag is the entity tag without its quotes; never empty. It changes when
	// the content does, and has the form of an MD5 only if it is one.
	ETag string
	// LastModified is when this content was put here; S3 shows whole seconds.
	LastModified time.Time
	// StorageClass is S3's name for how the object is kept; "" means STANDARD.
	StorageClass string
	// Checksum is the checksum that was stored with the object, or zero.
	Checksum Checksum

	// VersionID is the opened version's ID, or "" if the bucket has no versions.
	VersionID string
	// Attributes is what was stored with the content.
	Attributes
	// Parts are the parts that the object was uploaded in, in order; none if it
	// was put whole, or if they are no longer known.
	Parts []Part
}

// Attributes is what a client may store with an object's content. A backend
// keeps it as it is.
type Attributes struct {
	// ContentType is the media type; "" means binary/octet-stream.
	ContentType string
	// CacheControl, ContentDisposition, ContentEncoding, ContentLanguage and
	// Expires are the headers stored with the object, each "" if absent.
	CacheControl, ContentDisposition, ContentEncoding, ContentLanguage, Expires string
	// Meta is the user's metadata: lower-case names without the x-amz-meta-
	// prefix, and their values; at most 2 KiB in all.
	Meta map[string]string
	// Tags are the object's tags, at most 10, by name.
	Tags map[string]string
}

// ListQuery asks for one page of a bucket's entries. An entry is a key that
// begins with Prefix or, if Delimiter is set and occurs in the key behind
// Prefix, the key up to and with that first delimiter (a common prefix, listed
// once).
type ListQuery struct {
	// Prefix is what all keys begin with.
	Prefix string
	// Delimiter rolls keys up into common prefixes; "" does not.
	Delimiter string
	// StartAfter leaves out every entry that is not greater in byte order.
	StartAfter string
	// MaxKeys bounds the entries of the page: 0 to 1,000.
	MaxKeys int
}

// ListPage is one page of entries in byte order.
type ListPage struct {
	// Objects are the entries that are keys.
	Objects []ObjectInfo
	// CommonPrefixes are the entries that are common prefixes.
	CommonPrefixes []string
	// Truncated tells whether entries follow behind this page. It is false if
	// MaxKeys was 0.
	Truncated bool
}

// Last returns the page's greatest entry, which is the StartAfter of the next
// page, or "" if the page is empty.
func (p ListPage) Last() string {
	last := ""
	if n := len(p.Objects); n > 0 {
		last = p.Objects[n-1].Key
	}
	if n := len(p.CommonPrefixes); n > 0 {
		last = max(last, p.CommonPrefixes[n-1])
	}
	return last
}

// Credential is what an access key ID stands for.
type Credential struct {
	// Secret is the secret access key; never empty.
	Secret string
	// Principal is whom the key belongs to, of a type that only the backend
	// and the authorisation hook know.
	Principal any
}

// String hides the secret, so that a Credential may be logged.
func (Credential) String() string { return "credential" }

// GoString returns the same as String.
func (c Credential) GoString() string { return c.String() }

// KeyLookup returns the credential of an access key ID, or an error of kind
// fs.ErrNotExist if there is no such key or it has been revoked. It is called
// once per signed request, by any number of goroutines.
type KeyLookup func(ctx context.Context, accessKeyID string) (Credential, error)

// Access is one thing that a principal wants to do.
type Access struct {
	// Principal is from the caller's Credential.
	Principal any
	// Operation is what is asked for.
	Operation Operation
	// Right is what the operation needs on Bucket and Key.
	Right Right
	// Bucket and Key say on what; either may be empty. For lists, Key is the
	// prefix.
	Bucket, Key string
}

// Authorizer returns nil if the access is allowed and an error of kind
// fs.ErrPermission if not. It is called before the backend: once per request,
// and once more for each object that is copied from or deleted in a list.
type Authorizer func(ctx context.Context, a Access) error

type principalKey struct{}

// WithPrincipal returns a context that carries the caller of a request.
func WithPrincipal(ctx context.Context, principal any) context.Context {
	return context.WithValue(ctx, principalKey{}, principal)
}

// PrincipalFrom returns the caller that the proxy put into a request's context,
// or nil.
func PrincipalFrom(ctx context.Context) any { return ctx.Value(principalKey{}) }
