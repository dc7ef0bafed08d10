package repo

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Limits of a ref expression.
const (
	PrefixSizeMin = 6       // hex digits of a commit prefix
	stepsMax      = 64      // ~ and ^ of one expression
	stepMax       = 1 << 20 // the number after ~ or ^
)

// Ref is a ref expression:
//
//	images                        the repo's default branch
//	images@main                   a branch, else a tag, else a commit by its first hex digits (6 or more)
//	images@main~3                 the third first-parent ancestor; ~ is ~1
//	images@main^2                 the second parent; ^ is ^1
//	images@main{2026-11-20T09:00Z}  the newest version that is not after this time
//	images@main:/a/b              a path in it
//
// ~ and ^ may follow each other, and {time}.
type Ref struct {
	Repo  string
	Name  string    // empty for the default branch
	At    time.Time // zero if there is none; whole milliseconds, UTC
	Steps []Step
	Path  string // without the slashes around it; empty for the directory of all
	// HasPath says that there is a path (possibly "/"), Dir that it ends with
	// a slash.
	HasPath, Dir bool
}

// Step is one step back in history: N first parents (~N), or the Nth parent (^N).
type Step struct {
	Parent bool // ^ rather than ~
	N      int
}

// String returns an expression that [ParseRef] reads as r.
func (r Ref) String() string {
	var b strings.Builder
	b.WriteString(r.Repo)
	if r.Name != "" {
		b.WriteString("@" + r.Name)
	}
	if !r.At.IsZero() {
		b.WriteString("{" + r.At.UTC().Format("2006-01-02T15:04:05.000Z07:00") + "}")
	}
	for _, s := range r.Steps {
		mark := "~"
		if s.Parent {
			mark = "^"
		}
		b.WriteString(mark + strconv.Itoa(s.N))
	}
	if r.HasPath {
		b.WriteString(":/" + r.Path)
		if r.Dir && r.Path != "" {
			b.WriteString("/")
		}
	}
	return b.String()
}

// ParseRef reads a ref expression, see [Ref]. It looks at the text only. The
// error wraps fs.ErrInvalid.
func ParseRef(expr string) (Ref, error) {
	r, err := parseRef(expr)
	if err != nil {
		return Ref{}, fmt.Errorf("ref %.300q: %w", expr, err)
	}
	return r, nil
}

func parseRef(expr string) (Ref, error) {
	var r Ref
	i := strings.IndexAny(expr, "@:")
	if i < 0 {
		i = len(expr)
	}
	r.Repo = expr[:i]
	if err := CheckRepoName(r.Repo); err != nil {
		return Ref{}, err
	}
	rest := expr[i:]
	if strings.HasPrefix(rest, "@") {
		var err error
		if rest, err = r.parseName(rest[1:]); err != nil {
			return Ref{}, err
		}
	}
	return r, r.parsePath(rest)
}

// parseName reads "main{…}~1^2" and returns what follows.
func (r *Ref) parseName(s string) (rest string, err error) {
	i := strings.IndexAny(s, "{~^:")
	if i < 0 {
		i = len(s)
	}
	r.Name = s[:i]
	if err := CheckRefName(r.Name); err != nil {
		return "", err
	}
	s = s[i:]
	if strings.HasPrefix(s, "{") {
		end := strings.IndexByte(s, '}')
		if end < 0 {
			return "", invalid("%q has no }", s)
		}
		if r.At, err = ParseAt(s[1:end]); err != nil {
			return "", err
		}
		s = s[end+1:]
	}
	for s != "" && (s[0] == '~' || s[0] == '^') {
		digits := len(s[1:]) - len(strings.TrimLeft(s[1:], "0123456789"))
		step := Step{Parent: s[0] == '^', N: 1}
		if digits > 0 {
			if step.N, err = strconv.Atoi(s[1 : 1+digits]); err != nil || step.N > stepMax {
				return "", invalid("%s is too far back, at most %d allowed", s[:1+digits], stepMax)
			}
		}
		if r.Steps = append(r.Steps, step); len(r.Steps) > stepsMax {
			return "", invalid("more than %d steps", stepsMax)
		}
		s = s[1+digits:]
	}
	return s, nil
}

func (r *Ref) parsePath(s string) error {
	if s == "" {
		return nil
	}
	path, ok := strings.CutPrefix(s, ":/")
	if !ok {
		return invalid("unexpected %.40q: a path is written :/path", s)
	}
	r.HasPath = true
	r.Path = strings.TrimSuffix(path, "/")
	r.Dir = path == "" || r.Path != path
	if path == "" {
		return nil
	}
	return tree.CheckPath(r.Path)
}

// atLayouts are the spellings of a time in a ref expression.
var atLayouts = [...]string{"2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999Z07:00"}

// ParseAt reads a time as a ref expression has it; anything else fails with
// fs.ErrInvalid.
func ParseAt(s string) (time.Time, error) {
	for _, layout := range atLayouts {
		t, err := time.Parse(layout, s)
		if err == nil && t.Year() >= 1 && t.UTC().Year() <= 9999 && !commit.Stamp(t).IsZero() {
			return commit.Stamp(t), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %.60q: want 2026-11-20, 2026-11-20T09:00Z or 2026-11-20T09:00:00+01:00: %w", s, fs.ErrInvalid)
}

// isPrefix reports whether name can be the beginning of a commit ID.
func isPrefix(name string) bool {
	return len(name) >= PrefixSizeMin && len(name) <= 64 && strings.Trim(name, "0123456789abcdef") == ""
}
