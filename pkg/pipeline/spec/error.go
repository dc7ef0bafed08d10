package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a spec. It wraps fs.ErrInvalid, or
// errors.ErrUnsupported for what the format knows and this version does not
// do. Several are joined into one error.
type Error struct {
	File         string // as given; empty if the spec came from no file
	Line, Column int    // from 1; 0 if the spec came from no file
	Field        string // dotted path: "transform.cmd[1]"
	Reason       string
	Unsupported  bool
}

// Error says where and what.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Unwrap returns the kind of the error.
func (e *Error) Unwrap() error {
	if e.Unsupported {
		return errors.ErrUnsupported
	}
	return fs.ErrInvalid
}

// joinErrors returns the errors in order of their place, nil if none.
func joinErrors(list []*Error) error {
	slices.SortStableFunc(list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = e
	}
	return errors.Join(errs...)
}
