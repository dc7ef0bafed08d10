package s3proxy

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
)

func (x *exchange) bucketACL() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	x.sendACL()
	return nil
}

func (x *exchange) objectACL() error {
	if err := x.statObject(); err != nil {
		return err
	}
	x.sendACL()
	return nil
}

// sendACL says what is so: one owner who may do all. Rights of others are not
// kept in access control lists.
func (x *exchange) sendACL() {
	const root = "AccessControlPolicy"
	d := newDocument(root)
	d.owner("Owner", x.opts.Owner)
	d.open("AccessControlList")
	d.open("Grant")
	d.buf.WriteString(`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">`)
	d.text("ID", x.opts.Owner.ID)
	d.text("DisplayName", x.opts.Owner.DisplayName)
	d.close("Grantee")
	d.text("Permission", "FULL_CONTROL")
	d.close("Grant")
	d.close("AccessControlList")
	x.finish(d, root)
}

// accessControl is the document that lists rights.
type accessControl struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	Owner   struct{ ID string }
	Grants  []struct {
		Grantee struct {
			ID  string
			URI string
		}
		Permission string
	} `xml:"AccessControlList>Grant"`
}

func (x *exchange) putBucketACL() error { return x.putACL(x.statBucket) }

func (x *exchange) putObjectACL() error { return x.putACL(x.statObject) }

// putACL accepts the one list of rights that there is: the owner's. What would
// give rights to others is refused, as S3 does where lists are switched off,
// so that nobody believes that he gave them.
func (x *exchange) putACL(exists func() error) error {
	doc, err := x.document()
	if err != nil {
		return err
	}
	if err := exists(); err != nil {
		return err
	}
	h := x.r.Header
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return fail(codeNoACLs)
		}
	}
	canned := h.Get("X-Amz-Acl")
	switch {
	case canned != "" && !slices.Contains(cannedACLs, canned):
		return failf(codeInvalidArgument, "The canned ACL %.40q is not known", canned)
	case canned == "private" || canned == "bucket-owner-full-control":
	case canned != "":
		return fail(codeNoACLs)
	case len(doc) == 0:
		return failf(codeMissingSecurityHeader, "Your request was missing a required header: x-amz-acl")
	default:
		if err := x.checkACL(doc); err != nil {
			return err
		}
	}
	x.w.WriteHeader(http.StatusOK)
	return nil
}

func (x *exchange) checkACL(doc []byte) error {
	var acl accessControl
	if err := decodeXML(doc, &acl); err != nil {
		return err
	}
	for _, g := range acl.Grants {
		if g.Grantee.ID != x.opts.Owner.ID || g.Grantee.URI != "" || g.Permission != "FULL_CONTROL" {
			return fail(codeNoACLs)
		}
	}
	if len(acl.Grants) == 0 {
		return fail(codeNoACLs)
	}
	return nil
}
