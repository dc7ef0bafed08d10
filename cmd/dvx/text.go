package main

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/worktree"
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

// errorText returns the text of an error for people: problems with several
// paths one a line, and without the kinds of io/fs that errors wrap for
// programs where they only repeat what was said ("no such path: file does not
// exist").
func errorText(err error) string {
	s := err.Error()
	if problems := (*worktree.ProblemsError)(nil); errors.As(err, &problems) {
		list := problems.Error()
		s = strings.Replace(s, list, "\n  "+strings.ReplaceAll(list, "\n", "\n  "), 1)
		s = strings.Replace(s, ": \n", ":\n", 1) + advice(problems)
	}
	for _, k := range kinds() {
		s = k.tidy(s)
	}
	if errors.Is(err, repo.ErrRepoNotFound) && !strings.Contains(s, "dvx repo") {
		s += "; dvx repo list shows those there are, and a version is named REPO@REF"
	}
	return s
}

// advice says what to do about paths that can't be committed or checked out.
func advice(problems error) string {
	switch {
	case errors.Is(problems, worktree.ErrModified):
		return "" // its text says it
	case errors.Is(problems, worktree.ErrLink):
		return "\nmake such links all the same with --any-links"
	case errors.Is(problems, worktree.ErrSpecial):
		return "\nleave them out with --skip-special, or name them in " + worktree.IgnoreName
	case errors.Is(problems, fs.ErrInvalid):
		return "\nrename them, name them in " + worktree.IgnoreName + ", or accept them with --allow-nonportable"
	}
	return ""
}

// kind is an error of io/fs, and the words that say the same.
type kind struct {
	err   error
	short string   // the kind in the words of dvx, whose things are not all files
	said  []string // a clause with one of these has said it already; none: any clause of two words has
}

func kinds() []kind {
	return []kind{
		{fs.ErrNotExist, "does not exist", []string{"no", "not", "none", "ends", "empty", "can't"}},
		{fs.ErrExist, "exists already", []string{"already", "there", "exists"}},
		{fs.ErrPermission, "permission denied", []string{"not", "no", "denied", "protected", "may"}},
		{fs.ErrInvalid, "invalid", nil},
		{errors.ErrUnsupported, "not supported", nil},
	}
}

// tidy cuts the kind out of s wherever it ends a clause that has said it.
func (k kind) tidy(s string) string {
	suffix := ": " + k.err.Error()
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, suffix)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		ends := after == "" || strings.ContainsRune(":;,)\n", rune(after[0]))
		if !ends || !k.isSaid(before) {
			out.WriteString(": " + k.short)
		}
		s = after
	}
}

// isSaid reports whether text says the kind since it began to talk of what is
// in question.
func (k kind) isSaid(text string) bool {
	line := text[strings.LastIndexByte(text, '\n')+1:]
	words := strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(":;,()", r) })
	if k.said == nil {
		return len(words) > 1
	}
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(k.said, w) })
}
