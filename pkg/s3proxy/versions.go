package s3proxy

import "fmt"

func (x *exchange) listObjectVersions() error {
	v := x.Handler.versioner
	if v == nil {
		return fail(codeNotImplemented)
	}
	q := x.req.Query
	encode, err := keyEncoding(q)
	if err != nil {
		return err
	}
	limit, err := countParam(q, "max-keys", 0, maxKeys)
	if err != nil {
		return err
	}
	if err := checkListText(q); err != nil {
		return err
	}
	vq := VersionQuery{
		Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"),
		KeyMarker: q.Get("key-marker"), VersionMarker: q.Get("version-id-marker"), MaxKeys: limit,
	}
	if vq.VersionMarker != "" && vq.KeyMarker == "" {
		return failf(codeInvalidArgument, "A version-id marker cannot be specified without a key marker.")
	}
	page, err := v.ListVersions(x.r.Context(), x.bucket, vq)
	if err != nil {
		return err
	}
	const root = "ListVersionsResult"
	d := newDocument(root)
	d.text("Name", x.bucket)
	d.text("Prefix", encode(vq.Prefix))
	d.text("KeyMarker", encode(vq.KeyMarker))
	d.text("VersionIdMarker", vq.VersionMarker)
	if page.Truncated {
		d.text("NextKeyMarker", encode(page.NextKey))
		if page.NextVersion != "" {
			d.text("NextVersionIdMarker", page.NextVersion)
		}
	}
	d.int("MaxKeys", int64(limit))
	if vq.Delimiter != "" {
		d.text("Delimiter", encode(vq.Delimiter))
	}
	if e := q.Get("encoding-type"); e != "" {
		d.text("EncodingType", e)
	}
	d.bool("IsTruncated", page.Truncated)
	for _, version := range page.Versions {
		d.version(version, encode, x.opts.Owner)
	}
	for _, p := range page.CommonPrefixes {
		d.open("CommonPrefixes")
		d.text("Prefix", encode(p))
		d.close("CommonPrefixes")
	}
	x.finish(d, root)
	return nil
}

// version writes one version or delete marker.
func (d *document) version(v Version, encode func(string) string, owner Owner) {
	element := "Version"
	if v.DeleteMarker {
		element = "DeleteMarker"
	}
	d.open(element)
	d.text("Key", encode(v.Key))
	d.text("VersionId", or(v.VersionID, "null"))
	d.bool("IsLatest", v.Latest)
	d.time("LastModified", v.LastModified)
	if !v.DeleteMarker {
		d.text("ETag", quote(v.ETag))
		d.listedChecksum(v.Checksum)
		d.int("Size", v.Size)
		d.text("StorageClass", storageClass(v.ObjectInfo))
	}
	d.owner("Owner", owner)
	d.close(element)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// DeletedError says that a key's version is a delete marker. It is of kind
// ErrNoSuchKey.
type DeletedError struct {
	// VersionID is the delete marker's.
	VersionID string
	// Asked tells whether the request named this version.
	Asked bool
}

// Error implements error.
func (e *DeletedError) Error() string { return fmt.Sprintf("delete marker %.100q", e.VersionID) }

// Unwrap returns ErrNoSuchKey.
func (e *DeletedError) Unwrap() error { return ErrNoSuchKey }

// failure is how the error is shown: asking for a marker itself is not allowed.
func (e *DeletedError) failure() *failure {
	f := fail(codeNoSuchKey)
	if e.Asked {
		f = fail(codeMethodNotAllowed)
		f.headers = append(f.headers, field{"Allow", "DELETE"})
	}
	f.headers = append(f.headers, field{"x-amz-delete-marker", "true"})
	if e.VersionID != "" {
		f.headers = append(f.headers, field{"x-amz-version-id", e.VersionID})
	}
	return f
}
