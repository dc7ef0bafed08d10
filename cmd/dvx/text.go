package main

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
)

// printable replaces what could steer a terminal in messages from a repo or
// from errors.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// shownPath returns a path as lists show it: as it is, or quoted as in Go and C
// if it has characters that don't print, so that a line is one path.
func shownPath(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return strconv.Quote(s)
		}
	}
	return s
}

// errorText returns the text of an error for people. The kinds of io/fs that
// errors wrap for programs are left out where they only repeat what was said:
// "no such path: file does not exist".
func errorText(err error) string {
	s := err.Error()
	for _, kind := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported} {
		s = withoutKind(s, ": "+kind.Error())
	}
	return s
}

// withoutKind cuts suffix out of s wherever it ends a clause that says more
// than a name.
func withoutKind(s, suffix string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, suffix)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		clause := before[strings.LastIndex(before, ": ")+1:]
		ends := after == "" || strings.ContainsRune(":;,)\n", rune(after[0]))
		if words := len(strings.Fields(clause)); words < 2 || !ends {
			out.WriteString(suffix)
		}
		s = after
	}
}
