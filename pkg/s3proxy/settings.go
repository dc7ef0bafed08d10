package s3proxy

import (
	"encoding/xml"
	"errors"
	"io/fs"
	"net/http"
)

// maxSettingBytes bounds a setting of a bucket: S3's limit on its CORS rules.
const maxSettingBytes = 64 << 10

// setting returns a setting of the request's bucket, nil if it has none.
func (x *exchange) setting(s Setting) ([]byte, error) {
	if x.Handler.settings == nil {
		return nil, x.statBucket()
	}
	return x.Handler.settings.Setting(x.r.Context(), x.bucket, s)
}

// putSetting replaces a setting by the request's document, if check allows it.
func (x *exchange) putSetting(s Setting, status int, check func(doc []byte) error) error {
	doc, err := x.document()
	if err != nil {
		return err
	}
	if err := x.statBucket(); err != nil {
		return err
	}
	if len(doc) > maxSettingBytes {
		return fail(codeTooLarge)
	}
	if err := check(doc); err != nil {
		return err
	}
	if x.Handler.settings == nil {
		return fail(codeNotImplemented)
	}
	if err := x.Handler.settings.SetSetting(x.r.Context(), x.bucket, s, doc); err != nil {
		return err
	}
	x.w.WriteHeader(status)
	return nil
}

func (x *exchange) deleteSetting(s Setting) error {
	if err := x.statBucket(); err != nil {
		return err
	}
	if x.Handler.settings != nil {
		if err := x.Handler.settings.SetSetting(x.r.Context(), x.bucket, s, nil); err != nil {
			return err
		}
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// versioningConfiguration is the document that switches versions on or off.
type versioningConfiguration struct {
	XMLName   xml.Name `xml:"VersioningConfiguration"`
	Status    string
	MFADelete string `xml:"MfaDelete"`
}

// putBucketVersioning accepts what is so. Versions cannot be switched off.
func (x *exchange) putBucketVersioning() error {
	doc, err := x.document()
	if err != nil {
		return err
	}
	if err := x.statBucket(); err != nil {
		return err
	}
	var c versioningConfiguration
	if err := decodeXML(doc, &c); err != nil {
		return err
	}
	switch {
	case c.MFADelete == "Enabled":
		return fail(codeNotImplemented)
	case c.Status == "Suspended":
		return failf(codeInvalidBucketState, "The versions of a bucket are always kept.")
	case c.Status != "Enabled":
		return failf(codeIllegalVersioning, "The Versioning element must be specified")
	}
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// createBucketConfiguration is the document that says where a bucket shall be.
type createBucketConfiguration struct {
	XMLName            xml.Name `xml:"CreateBucketConfiguration"`
	LocationConstraint string
}

func (x *exchange) createBucket() error {
	w, err := x.writer()
	if err != nil {
		return fail(codeNotImplemented)
	}
	doc, err := x.document()
	if err != nil {
		return err
	}
	if !isNewBucketName(x.bucket) {
		return fail(codeInvalidBucketName)
	}
	if v := x.r.Header.Get("X-Amz-Bucket-Object-Lock-Enabled"); v != "" && v != "false" {
		return failf(codeNotImplemented, "Object Lock is not served.")
	}
	if err := checkStorageHeaders(x.r.Header); err != nil {
		return err
	}
	if len(doc) > 0 {
		var c createBucketConfiguration
		if err := decodeXML(doc, &c); err != nil {
			return err
		}
		if c.LocationConstraint != "" && x.opts.Region != "" && c.LocationConstraint != x.opts.Region {
			return fail(codeInvalidLocation)
		}
	}
	err = w.CreateBucket(x.r.Context(), x.bucket)
	if errors.Is(err, fs.ErrInvalid) {
		return fail(codeInvalidBucketName)
	}
	if err != nil {
		return err
	}
	x.w.Header().Set("Location", "/"+x.bucket)
	x.w.WriteHeader(http.StatusOK)
	return nil
}

func (x *exchange) deleteBucket() error {
	w, err := x.writer()
	if err != nil {
		return fail(codeNotImplemented)
	}
	if err := w.DeleteBucket(x.r.Context(), x.bucket); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// nothingToDelete answers the removal of a setting that no bucket has.
func (x *exchange) nothingToDelete() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// putWhatIs returns the operation that accepts a setting of every bucket which
// cannot be another: a document whose one element says value, or, if element is
// "", that has none. Any other setting is refused.
func putWhatIs(root, element, value string) func(*exchange) error {
	return func(x *exchange) error {
		doc, err := x.document()
		if err != nil {
			return err
		}
		if err := x.statBucket(); err != nil {
			return err
		}
		var c struct {
			XMLName xml.Name
			Inner   []struct {
				XMLName xml.Name
				Text    string `xml:",chardata"`
			} `xml:",any"`
		}
		if err := decodeXML(doc, &c); err != nil {
			return err
		}
		switch {
		case c.XMLName.Local != root:
			return fail(codeMalformedXML)
		case element == "" && len(c.Inner) == 0:
		case len(c.Inner) == 1 && c.Inner[0].XMLName.Local == element && c.Inner[0].Text == value:
		default:
			return fail(codeNotImplemented)
		}
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
}

// refuseSetting answers a setting that is not served, for a bucket that is
// there.
func (x *exchange) refuseSetting() error {
	if _, err := x.document(); err != nil {
		return err
	}
	if err := x.statBucket(); err != nil {
		return err
	}
	return fail(codeNotImplemented)
}
