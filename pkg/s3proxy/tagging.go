package s3proxy

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// S3's limits on tags.
const (
	maxObjectTags    = 10
	maxBucketTags    = 50
	maxTagNameChars  = 128
	maxTagValueChars = 256
)

// tagging is the document that holds tags.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	TagSet  *struct {
		Tags []struct {
			Key   string
			Value string
		} `xml:"Tag"`
	}
}

// parseTags reads a Tagging document.
func parseTags(doc []byte, limit int) (map[string]string, error) {
	var t tagging
	if err := decodeXML(doc, &t); err != nil {
		return nil, err
	}
	if t.TagSet == nil {
		return nil, fail(codeMalformedXML)
	}
	tags := map[string]string{}
	for _, tag := range t.TagSet.Tags {
		if _, again := tags[tag.Key]; again {
			return nil, failf(codeInvalidTag, "Cannot provide multiple Tags with the same key")
		}
		tags[tag.Key] = tag.Value
	}
	return tags, checkTags(tags, limit)
}

// checkTags holds tags to S3's limits.
func checkTags(tags map[string]string, limit int) error {
	if len(tags) > limit {
		return failf(codeBadRequest, "Object tags cannot be greater than %d", limit)
	}
	for name, value := range tags {
		switch {
		case strings.HasPrefix(name, "aws:"):
			return failf(codeInvalidTag, "System tags cannot be added/updated by requester")
		case name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxTagNameChars:
			return failf(codeInvalidTag, "The TagKey you have provided is invalid")
		case !utf8.ValidString(value) || utf8.RuneCountInString(value) > maxTagValueChars:
			return failf(codeInvalidTag, "The TagValue you have provided is invalid")
		}
	}
	return nil
}

func (x *exchange) getObjectTagging() error {
	o, err := x.open()
	if err != nil {
		return err
	}
	info := o.Info()
	x.closed(o.Close())
	x.showVersion(info.VersionID)
	x.sendTags(info.Tags)
	return nil
}

func (x *exchange) sendTags(tags map[string]string) {
	const root = "Tagging"
	d := newDocument(root)
	d.open("TagSet")
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		d.open("Tag")
		d.text("Key", name)
		d.text("Value", tags[name])
		d.close("Tag")
	}
	d.close("TagSet")
	x.finish(d, root)
}

func (x *exchange) putObjectTagging() error {
	if _, err := x.writer(); err != nil {
		return err
	}
	doc, err := x.document()
	if err != nil {
		return err
	}
	tags, err := parseTags(doc, maxObjectTags)
	if err != nil {
		return err
	}
	return x.setTags(tags, http.StatusOK)
}

func (x *exchange) deleteObjectTagging() error { return x.setTags(nil, http.StatusNoContent) }

func (x *exchange) setTags(tags map[string]string, status int) error {
	w, err := x.writer()
	if err != nil {
		return err
	}
	name, err := x.objectName()
	if err != nil {
		return err
	}
	version, err := w.SetTags(x.r.Context(), name, tags)
	if err != nil {
		return err
	}
	x.showVersion(version)
	x.w.WriteHeader(status)
	return nil
}

func (x *exchange) getBucketTagging() error {
	doc, err := x.setting(SettingTags)
	if err != nil {
		return err
	}
	if doc == nil {
		return fail(codeNoTagSet)
	}
	tags, err := parseTags(doc, maxBucketTags)
	if err != nil {
		return err
	}
	x.sendTags(tags)
	return nil
}

func (x *exchange) putBucketTagging() error {
	return x.putSetting(SettingTags, http.StatusNoContent, func(doc []byte) error {
		_, err := parseTags(doc, maxBucketTags)
		return err
	})
}

func (x *exchange) deleteBucketTagging() error { return x.deleteSetting(SettingTags) }
