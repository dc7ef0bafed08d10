package s3proxy

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// checkConditions applies the conditional headers of a read in S3's order of
// precedence: If-Match over If-Unmodified-Since, If-None-Match over
// If-Modified-Since. It returns nil, PreconditionFailed, or NotModified.
func checkConditions(h http.Header, info ObjectInfo) error {
	modified := info.LastModified.Truncate(time.Second)
	if v := h.Get("If-Match"); v != "" {
		if !matchETag(v, info.ETag) {
			return preconditionFailed("If-Match")
		}
	} else if t, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil && modified.After(t) {
		return preconditionFailed("If-Unmodified-Since")
	}
	if v := h.Get("If-None-Match"); v != "" {
		if matchETag(v, info.ETag) {
			return fail(codeNotModified)
		}
	} else if t, err := http.ParseTime(h.Get("If-Modified-Since")); err == nil && !modified.After(t) {
		return fail(codeNotModified)
	}
	return nil
}

func isNotModified(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.code == codeNotModified
}

func preconditionFailed(condition string) error {
	f := fail(codePreconditionFailed)
	f.fields = []field{{"Condition", condition}}
	return f
}

// matchETag tells whether a list of entity tags, quoted or not, has etag or
// is "*". A weak tag compares like a strong one, since S3 has only strong ones.
func matchETag(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || strings.Trim(tag, `"`) == etag {
			return true
		}
	}
	return false
}

// rangeApplies tells whether If-Range, if there is one, lets Range count.
func rangeApplies(h http.Header, info ObjectInfo) bool {
	v := h.Get("If-Range")
	if v == "" {
		return true
	}
	if t, err := http.ParseTime(v); err == nil {
		return info.LastModified.Truncate(time.Second).Equal(t)
	}
	return strings.Trim(v, `"`) == info.ETag
}
