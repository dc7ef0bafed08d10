package s3repo

import (
	"crypto/md5"
	"encoding/hex"
	"maps"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// symlinkMeta is the user metadata that tells a symbolic link from a file: the
// header x-amz-meta-dvx-symlink, with the value "true".
const symlinkMeta = "dvx-symlink"

// The media types of what has neither an extension nor a type of its own.
const (
	directoryType = "application/x-directory"
	symlinkType   = "inode/symlink"
)

// body is what an entry has as an object: a directory has its marker's.
type body struct {
	content chunk.Content
	attrs   *tree.Attrs
}

func stored(e *tree.Entry) body {
	switch {
	case e.Kind != tree.Dir:
		return body{e.Content, &e.Attrs}
	case e.Marker != nil:
		return body{e.Marker.Content, &e.Marker.Attrs}
	}
	return body{attrs: &e.Attrs}
}

// summary describes the object e as lists do.
func (v *version) summary(key string, e *tree.Entry) s3proxy.ObjectInfo {
	b := stored(e)
	return s3proxy.ObjectInfo{
		Key:          key,
		Size:         b.content.Size,
		ETag:         b.etag(),
		LastModified: v.modified(b.attrs.Time),
		Checksum:     decodeChecksum(b.attrs.Headers[checksumHeader]),
		VersionID:    versionID(b.attrs.Op),
	}
}

// modified returns when something was written that has the time t, if any: it
// was not after the commit.
func (v *version) modified(t time.Time) time.Time {
	if t.IsZero() {
		return v.time
	}
	return t
}

// describe describes the object e in full.
func (v *version) describe(key string, e *tree.Entry) s3proxy.ObjectInfo {
	info := v.summary(key, e)
	a := stored(e).attrs
	info.Attributes = decodeAttributes(a)
	info.Parts = decodeParts(a.Headers[partsHeader], info.Size)
	if info.ContentType == "" {
		info.ContentType = typeOf(key, e.Kind)
	}
	if e.Kind == tree.Symlink {
		info.Meta = maps.Clone(a.Meta)
		if info.Meta == nil {
			info.Meta = map[string]string{}
		}
		info.Meta[symlinkMeta] = "true"
	}
	return info
}

// versionID returns the ID of the version that an operation wrote, "" if it is
// not known which.
func versionID(op tree.OpID) string {
	if op == (tree.OpID{}) {
		return ""
	}
	return repo.OpID(op).String()
}

func typeOf(key string, kind tree.Kind) string {
	switch kind {
	case tree.Dir:
		return directoryType
	case tree.Symlink:
		return symlinkType
	case tree.File:
	}
	return mediaType(key)
}

// etag returns the MD5 of the bytes if it is known, else the tag that the
// writer gave, else one made of the content's ID, which no client takes for an
// MD5: equal content that nobody tagged has equal tags.
func (b body) etag() string {
	switch {
	case len(b.attrs.MD5) == md5.Size:
		return hex.EncodeToString(b.attrs.MD5)
	case isTag(b.attrs.ETag):
		return b.attrs.ETag
	case b.content.Size == 0:
		sum := md5.Sum(nil)
		return hex.EncodeToString(sum[:])
	}
	return b.content.ID.String() + "-dvx"
}

// isTag reports whether s can be given out as the tag of what is not known by
// its MD5: it stands in quotes, in headers, and must not look like an MD5.
func isTag(s string) bool {
	const allowed = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.+/="
	return strings.Contains(s, "-") && strings.Trim(s, allowed) == ""
}
