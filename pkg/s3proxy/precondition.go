package s3proxy

import (
	"net/http"
	"strconv"
	"time"
)

// Precondition is what has to hold for the object that a write replaces or
// removes. The zero value holds always.
type Precondition struct {
	match, noneMatch string
	modified         time.Time
	size             int64
	sized            bool
}

// IsZero tells whether p holds always, so that a backend need not look.
func (p Precondition) IsZero() bool { return p == Precondition{} }

// Check returns nil if p holds for the current object, nil if there is none,
// and otherwise the error to fail the write with.
func (p Precondition) Check(current *ObjectInfo) error {
	if p.match != "" {
		switch {
		case current == nil && p.match != "*":
			return ErrNoSuchKey
		case current == nil || !matchETag(p.match, current.ETag):
			return preconditionFailed("If-Match")
		}
	}
	if p.noneMatch != "" && current != nil && matchETag(p.noneMatch, current.ETag) {
		return preconditionFailed("If-None-Match")
	}
	if current == nil {
		return nil
	}
	if !p.modified.IsZero() && !current.LastModified.Truncate(time.Second).Equal(p.modified) {
		return preconditionFailed("x-amz-if-match-last-modified-time")
	}
	if p.sized && p.size != current.Size {
		return preconditionFailed("x-amz-if-match-size")
	}
	return nil
}

// NewPrecondition returns the condition that the headers If-Match and
// If-None-Match of a write make.
func NewPrecondition(h http.Header) Precondition {
	return Precondition{match: h.Get("If-Match"), noneMatch: h.Get("If-None-Match")}
}

// deletePrecondition reads the conditions of a removal.
func deletePrecondition(h http.Header) (Precondition, error) {
	p := Precondition{match: h.Get("If-Match")}
	var err error
	if v := h.Get("X-Amz-If-Match-Last-Modified-Time"); v != "" {
		if p.modified, err = parseTime(v); err != nil {
			return p, failf(codeInvalidArgument, "Invalid x-amz-if-match-last-modified-time")
		}
	}
	if v := h.Get("X-Amz-If-Match-Size"); v != "" {
		if p.size, err = strconv.ParseInt(v, 10, 64); err != nil || p.size < 0 {
			return p, failf(codeInvalidArgument, "Invalid x-amz-if-match-size")
		}
		p.sized = true
	}
	return p, nil
}

// parseTime reads a time in one of the forms that clients write.
func parseTime(v string) (time.Time, error) {
	if t, err := http.ParseTime(v); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	return t.UTC().Truncate(time.Second), err
}
