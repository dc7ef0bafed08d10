package s3proxy

import (
	"encoding/xml"
	"net/http"
	"strconv"
)

// maxDeletions is S3's limit on the keys of one DeleteObjects.
const maxDeletions = 1000

func (x *exchange) deleteObject() error {
	w, err := x.writer()
	if err != nil {
		return err
	}
	name, err := x.objectName()
	if err != nil {
		return err
	}
	cond, err := deletePrecondition(x.r.Header)
	if err != nil {
		return err
	}
	done, err := w.Delete(x.r.Context(), x.bucket, []Deletion{{Key: x.key, VersionID: name.VersionID, If: cond}})
	if err != nil {
		return err
	}
	if done[0].Err != nil {
		return done[0].Err
	}
	x.showVersion(done[0].VersionID)
	if done[0].Marker {
		x.w.Header()["x-amz-delete-marker"] = []string{"true"}
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// deletions is the document that lists what to delete.
type deletions struct {
	XMLName xml.Name `xml:"Delete"`
	Quiet   bool
	Objects []struct {
		Key              string
		VersionID        string `xml:"VersionId"`
		ETag             string
		LastModifiedTime string
		Size             string
	} `xml:"Object"`
}

func parseDeletions(doc []byte) (what []Deletion, quiet bool, err error) {
	var list deletions
	if err := decodeXML(doc, &list); err != nil {
		return nil, false, err
	}
	if len(list.Objects) == 0 || len(list.Objects) > maxDeletions {
		return nil, false, fail(codeMalformedXML)
	}
	for _, o := range list.Objects {
		if o.Key == "" {
			return nil, false, failf(codeUserKeyMissing, "Your request must specify a key")
		}
		d := Deletion{Key: o.Key, VersionID: o.VersionID}
		h := http.Header{}
		h.Set("If-Match", o.ETag)
		h.Set("X-Amz-If-Match-Last-Modified-Time", o.LastModifiedTime)
		h.Set("X-Amz-If-Match-Size", o.Size)
		if d.If, err = deletePrecondition(h); err != nil {
			return nil, false, fail(codeMalformedXML)
		}
		what = append(what, d)
	}
	return what, list.Quiet, nil
}

func (x *exchange) deleteObjects() error {
	w, err := x.writer()
	if err != nil {
		return err
	}
	if err := x.checkDigest(); err != nil {
		return err
	}
	doc, err := x.document()
	if err != nil {
		return err
	}
	what, quiet, err := parseDeletions(doc)
	if err != nil {
		return err
	}
	if err := x.statBucket(); err != nil {
		return err
	}
	outcome := make([]Deleted, len(what))
	var allowed []Deletion
	var at []int
	for i, d := range what {
		if outcome[i].Err = x.mayDelete(d.Key); outcome[i].Err == nil {
			allowed, at = append(allowed, d), append(at, i)
		}
	}
	done, err := w.Delete(x.r.Context(), x.bucket, allowed)
	if err != nil {
		return err
	}
	for i, d := range done {
		outcome[at[i]] = d
	}
	x.sendDeleted(what, outcome, quiet)
	return nil
}

// checkDigest refuses a list of deletions that has neither an MD5 nor a checksum
// of its own: S3 wants one beside the signature.
func (x *exchange) checkDigest() error {
	if x.r.Header["Content-Md5"] != nil {
		return nil
	}
	sum, err := claimedChecksum(x.r.Header)
	if err == nil && sum.algorithm.name == "" {
		err = failf(codeInvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	return err
}

// mayDelete says why one of many keys may not be deleted.
func (x *exchange) mayDelete(key string) error {
	if err := (target{bucket: x.bucket, key: key}).check(); err != nil {
		return err
	}
	return x.opts.Authorize(x.r.Context(), Access{
		Principal: x.caller.principal, Operation: "DeleteObject", Right: Write, Bucket: x.bucket, Key: key,
	})
}

func (x *exchange) sendDeleted(what []Deletion, outcome []Deleted, quiet bool) {
	const root = "DeleteResult"
	d := newDocument(root)
	for i, o := range outcome {
		switch {
		case o.Err != nil:
			f := x.explainKey(o.Err, what[i].Key)
			d.open("Error")
			d.text("Key", what[i].Key)
			if what[i].VersionID != "" {
				d.text("VersionId", what[i].VersionID)
			}
			d.text("Code", string(f.code))
			d.text("Message", legible(f.message))
			d.close("Error")
		case !quiet:
			d.open("Deleted")
			d.text("Key", what[i].Key)
			if what[i].VersionID != "" {
				d.text("VersionId", what[i].VersionID)
			}
			if o.Marker {
				d.text("DeleteMarker", strconv.FormatBool(true))
				if o.VersionID != "" {
					d.text("DeleteMarkerVersionId", o.VersionID)
				}
			}
			d.close("Deleted")
		}
	}
	x.finish(d, root)
}

// explainKey is explain for one of many keys; what is unknown is logged.
func (x *exchange) explainKey(err error, key string) *failure {
	f, unknown := explain(err, target{bucket: x.bucket, key: key})
	if unknown {
		x.opts.Log.Error("s3 request failed", "request_id", x.id, "operation", string(x.route.operation),
			"bucket", x.bucket, "key", key, "error", err)
	}
	return f
}
