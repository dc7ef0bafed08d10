package s3proxy

import (
	"context"
	"time"
)

// Writer is a Backend whose buckets and objects can be written. What a method
// has acknowledged by returning nil is durable and seen by every later read.
type Writer interface {
	// CreateBucket makes an empty bucket. It fails with fs.ErrExist, or with
	// fs.ErrInvalid if the backend cannot have a bucket of that name.
	CreateBucket(ctx context.Context, bucket string) error
	// DeleteBucket removes an empty bucket, or fails with ErrNoSuchBucket or
	// ErrBucketNotEmpty.
	DeleteBucket(ctx context.Context, bucket string) error
	// Put stores an object whole. It reads content to its end and stores
	// nothing unless that is io.EOF; only then it asks o.If, in one step with
	// the write. It returns what Open would describe.
	Put(ctx context.Context, name ObjectName, content *Content, o PutOptions) (ObjectInfo, error)
	// Copy stores the content of from, which this backend opened, under name.
	// ETag and checksum stay those of from, but for o.Checksum.
	Copy(ctx context.Context, from Object, name ObjectName, o PutOptions) (ObjectInfo, error)
	// Delete removes objects, each by itself and in order; the results are in
	// the same order. Its own error is about the bucket.
	Delete(ctx context.Context, bucket string, what []Deletion) ([]Deleted, error)
	// SetTags replaces an object's tags and returns the version that has them.
	SetTags(ctx context.Context, name ObjectName, tags map[string]string) (versionID string, err error)
}

// PutOptions are what is written beside content.
type PutOptions struct {
	// Attributes is stored with the object.
	Attributes Attributes
	// Checksum, if there is one, is what a copy has in place of its source's.
	// Put takes the content's.
	Checksum Checksum
	// If has to hold for what is there before.
	If Precondition
}

// Deletion names one object to remove.
type Deletion struct {
	// Key is the object's key.
	Key string
	// VersionID names the one version to remove for good; "" hides the object
	// behind a delete marker if the bucket has versions.
	VersionID string
	// If has to hold for what is there before.
	If Precondition
}

// Deleted is the outcome of a Deletion. That an object was not there is no
// error.
type Deleted struct {
	// Err says why nothing was removed, or is nil.
	Err error
	// Marker tells whether a delete marker was made, or removed.
	Marker bool
	// VersionID is that of the delete marker which was made, or of the version
	// which was removed.
	VersionID string
}

// UploadName names a multipart upload.
type UploadName struct {
	// Bucket and Key are where the object will be.
	Bucket, Key string
	// ID is what CreateUpload returned.
	ID string
}

// Upload is a multipart upload under way.
type Upload struct {
	// Key and ID name it within its bucket.
	Key, ID string
	// Started is when it was created.
	Started time.Time
	// Checksum says which checksum the object shall have; its Value is empty.
	Checksum Checksum
}

// Part is one part of an upload, or of an object that came by one.
type Part struct {
	// Number is the part's number: 1 to 10,000.
	Number int
	// Size is its length in bytes.
	Size int64
	// ETag is the MD5 of its content in hex digits.
	ETag string
	// Modified is when it was put.
	Modified time.Time
	// Checksum is the checksum that it was put with or that its upload asks
	// for, or zero.
	Checksum Checksum
}

// PartPage is a page of an upload's parts.
type PartPage struct {
	// Upload is the upload itself.
	Upload Upload
	// Parts are in order of their numbers.
	Parts []Part
	// Truncated tells whether parts follow behind this page.
	Truncated bool
}

// UploadQuery asks for one page of the uploads in a bucket, in order of key
// and then ID. Entries are rolled up as in a ListQuery.
type UploadQuery struct {
	// Prefix is what all keys begin with; Delimiter rolls them up.
	Prefix, Delimiter string
	// KeyMarker leaves out all entries up to and with this key; if IDMarker is
	// set, uploads of this key with a greater ID are in.
	KeyMarker, IDMarker string
	// Max bounds the entries of the page: 0 to 1,000.
	Max int
}

// UploadPage is a page of uploads.
type UploadPage struct {
	// Uploads are the entries that are uploads.
	Uploads []Upload
	// CommonPrefixes are the entries that are common prefixes.
	CommonPrefixes []string
	// Truncated tells whether entries follow behind this page.
	Truncated bool
}

// Completion says what an upload becomes.
type Completion struct {
	// Parts are the parts to join, in order. Where the upload no longer has a
	// part with that ETag, the backend fails with ErrInvalidPart.
	Parts []Part
	// Size is the sum of the parts' sizes.
	Size int64
	// ETag is the object's.
	ETag string
	// Checksum is the object's, or zero.
	Checksum Checksum
	// If has to hold for what is there before.
	If Precondition
}

// Uploader is a Backend that takes objects in parts. Methods that name an
// upload fail with ErrNoSuchUpload if there is none, or no longer.
type Uploader interface {
	// CreateUpload begins an upload of an object with these attributes. The ID
	// is at most 128 letters, digits, '-', '_' and '.'.
	CreateUpload(ctx context.Context, name ObjectName, a Attributes, sum Checksum) (id string, err error)
	// PutPart stores a part in place of any of its number. As with Put, nothing
	// is stored unless content ends with io.EOF.
	PutPart(ctx context.Context, u UploadName, number int, content *Content) (Part, error)
	// ListParts returns the parts with a number greater than after.
	ListParts(ctx context.Context, u UploadName, after, limit int) (PartPage, error)
	// ListUploads returns a page of the uploads in a bucket.
	ListUploads(ctx context.Context, bucket string, q UploadQuery) (UploadPage, error)
	// CompleteUpload makes an object of parts, and ends the upload.
	CompleteUpload(ctx context.Context, u UploadName, c Completion) (ObjectInfo, error)
	// AbortUpload ends an upload and forgets its parts.
	AbortUpload(ctx context.Context, u UploadName) error
}

// VersionQuery asks for one page of a bucket's versions, in order of key and
// then from the newest to the oldest. Entries are rolled up as in a ListQuery.
type VersionQuery struct {
	// Prefix is what all keys begin with; Delimiter rolls them up.
	Prefix, Delimiter string
	// KeyMarker leaves out all entries up to and with this key; if
	// VersionMarker is set, the versions of this key that are older are in.
	KeyMarker, VersionMarker string
	// MaxKeys bounds the entries of the page: 0 to 1,000.
	MaxKeys int
}

// Version is a version of an object, or a delete marker.
type Version struct {
	ObjectInfo
	// Latest tells whether it is the current version of its key.
	Latest bool
	// DeleteMarker tells whether it only says that the object was deleted; of
	// its ObjectInfo then Key, VersionID and LastModified count.
	DeleteMarker bool
	// Hidden tells that it is not listed: it was removed, and may still be what a
	// marker of the listing names.
	Hidden bool
}

// VersionPage is a page of versions.
type VersionPage struct {
	// Versions are the entries that are versions.
	Versions []Version
	// CommonPrefixes are the entries that are common prefixes.
	CommonPrefixes []string
	// Truncated tells whether entries follow behind this page.
	Truncated bool
	// NextKey and NextVersion are the markers of the next page, if Truncated.
	NextKey, NextVersion string
}

// Versioner is a Backend that keeps the versions of objects.
type Versioner interface {
	// ListVersions returns a page of versions, or fails with ErrNoSuchBucket.
	ListVersions(ctx context.Context, bucket string, q VersionQuery) (VersionPage, error)
}

// Setting names a document that a client may keep with a bucket.
type Setting string

// The settings.
const (
	SettingCORS Setting = "cors"    // a CORSConfiguration
	SettingTags Setting = "tagging" // a Tagging
)

// Settings is a Backend that keeps settings of buckets.
type Settings interface {
	// Setting returns a bucket's setting as it was set, nil if it was not.
	Setting(ctx context.Context, bucket string, s Setting) ([]byte, error)
	// SetSetting replaces a setting by an XML document of at most 64 KiB; nil
	// removes it.
	SetSetting(ctx context.Context, bucket string, s Setting, doc []byte) error
}
