package spec

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// GlobGroupsMax bounds the capture groups of a glob.
const GlobGroupsMax = 32

// Groups returns how many capture groups the glob has.
func (g *Glob) Groups() int {
	if g.capture == nil {
		return 0
	}
	return g.capture.NumSubexp()
}

// Captures returns what the groups of the glob stand for in a path that it
// selects, the first group first, empty for one that plays no part. Where a
// path can be divided in several ways, the first * takes as much as it can.
func (g *Glob) Captures(path string) []string {
	if g.capture == nil {
		return nil
	}
	m := g.capture.FindStringSubmatch(path)
	if m == nil {
		return make([]string, g.capture.NumSubexp())
	}
	for i, v := range m {
		m[i] = strings.TrimSuffix(v, "/")
	}
	return m[1:]
}

// groups is a glob while its capture groups are read.
type groups struct {
	source string
	at     int
	plain  strings.Builder // the same glob without groups
	regex  strings.Builder // a regular expression with them
	open   []byte          // the ( and { that are not closed
	count  int
	deep   bool // the last component so far is **: the next / is in the expression
}

// readGroups returns the glob without capture groups, which selects the same,
// and, if it has any, an expression that finds what they stand for in a path
// that is selected.
func readGroups(source string) (plain string, capture *regexp.Regexp, err error) {
	g := &groups{source: strings.TrimPrefix(source, "/")}
	for g.at < len(g.source) {
		if err := g.next(); err != nil {
			return "", nil, err
		}
	}
	if strings.ContainsRune(string(g.open), '(') {
		return "", nil, fmt.Errorf("unclosed (: %w", fs.ErrInvalid)
	}
	if g.count == 0 {
		return g.plain.String(), nil, nil
	}
	g.endDeep()
	capture, err = regexp.Compile(`^(?s:` + g.regex.String() + `)$`)
	if err != nil {
		return "", nil, fmt.Errorf("capture groups: %w: %w", err, fs.ErrInvalid)
	}
	return g.plain.String(), capture, nil
}

// inside returns the innermost bracket that is open, 0 if none is.
func (g *groups) inside() byte {
	if len(g.open) == 0 {
		return 0
	}
	return g.open[len(g.open)-1]
}

// take moves n bytes on, which stand for themselves in the plain glob.
func (g *groups) take(n int, regex string) {
	g.plain.WriteString(g.source[g.at : g.at+n])
	g.regex.WriteString(regex)
	g.at += n
}

// swap moves one byte on, for which the plain glob has another text.
func (g *groups) swap(plain, regex string) {
	g.plain.WriteString(plain)
	g.regex.WriteString(regex)
	g.at++
}

// next reads the next character, class or bracket.
func (g *groups) next() error {
	rest := g.source[g.at:]
	switch rest[0] {
	case '\\':
		_, n := utf8.DecodeRuneInString(rest[1:])
		g.take(1+n, regexp.QuoteMeta(rest[1:1+n]))
	case '[':
		return g.class(rest)
	case '*':
		if strings.HasPrefix(rest, "**") {
			g.take(2, "(?:[^/]+/)*")
			g.deep = true
			return nil
		}
		g.take(1, "[^/]*")
	case '?':
		if group, _, _ := strings.Cut(rest, ")"); strings.HasPrefix(group, "?(") && strings.Contains(group, "|") {
			return fmt.Errorf("?( is one character and then a group here: write {a,b,} for at most one of several, (?)( if one character is meant: %w", fs.ErrInvalid)
		}
		g.take(1, "[^/]")
	case '/':
		g.slash()
		return nil
	case '!':
		return g.not(rest)
	case '(', ')', '{', '}', ',', '|':
		return g.bracket(rest[0])
	default:
		if c := rest[:1]; strings.HasPrefix(rest, "@(") || strings.HasPrefix(rest, "+(") {
			return fmt.Errorf("%s( is not supported: write (a|b) for one of several, \\%s( for the character %s: %w", c, c, c, fs.ErrInvalid)
		}
		r, n := utf8.DecodeRuneInString(rest)
		g.take(n, regexp.QuoteMeta(string(r)))
	}
	g.deep = false
	return nil
}

// endDeep lets a ** that is the last component select something with a name.
func (g *groups) endDeep() {
	if g.deep {
		g.regex.WriteString("[^/]+")
	}
	g.deep = false
}

func (g *groups) slash() {
	if g.deep {
		g.take(1, "")
	} else {
		g.take(1, "/")
	}
	g.deep = false
}

// bracket reads what opens, divides or closes alternatives.
func (g *groups) bracket(c byte) error {
	in := g.inside()
	switch {
	case c == '(':
		if g.count++; g.count > GlobGroupsMax {
			return fmt.Errorf("more than %d capture groups: %w", GlobGroupsMax, fs.ErrInvalid)
		}
		g.open = append(g.open, c)
		g.swap("{", "(")
	case c == '{':
		g.open = append(g.open, c)
		g.swap("{", "(?:")
	case c == ')' && in != '(':
		return fmt.Errorf(") without (; write \\) for the character: %w", fs.ErrInvalid)
	case c == '}' && in != '{':
		return fmt.Errorf("} without {: %w", fs.ErrInvalid)
	case c == ')', c == '}':
		g.open = g.open[:len(g.open)-1]
		if !strings.HasPrefix(strings.TrimLeft(g.source[g.at:], ")}"), "/") {
			g.endDeep()
		}
		g.swap("}", ")")
	case c == '|' && in == '(', c == ',' && in == '{':
		g.endDeep()
		g.swap(",", "|")
	default: // stands for itself
		g.deep = false
		g.swap(`\`+string(c), regexp.QuoteMeta(string(c)))
	}
	return nil
}

// class reads [...].
func (g *groups) class(rest string) error {
	end := classEnd(rest)
	if end < 0 {
		return errGlobClosed
	}
	t, err := parseClass(rest[1:end])
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("[")
	if t.negate {
		b.WriteString("^/")
	}
	for _, r := range t.ranges {
		fmt.Fprintf(&b, `\x{%x}-\x{%x}`, r[0], r[1])
	}
	g.take(end+1, b.String()+"]")
	g.deep = false
	return nil
}

// not reads !(a|b); a ! before anything else stands for itself.
func (g *groups) not(rest string) error {
	g.deep = false
	if !strings.HasPrefix(rest, "!(") {
		g.take(1, "!")
		return nil
	}
	end := notEnd(rest)
	if end < 0 {
		return fmt.Errorf("unclosed !(, or a bracket or / in it: %w", fs.ErrInvalid)
	}
	g.take(end+1, "[^/]*")
	return nil
}

// notEnd returns where the !( that s begins with is closed, -1 if it is not, or
// holds brackets of another kind or a slash.
func notEnd(s string) int {
	for i := 2; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			n := classEnd(s[i:])
			if n < 0 {
				return -1
			}
			i += n
		case ')':
			return i
		case '(', '{', '}', '/':
			return -1
		}
	}
	return -1
}

// Template makes a text of what the capture groups of a glob stand for.
type Template struct {
	texts  []string // before, between and after the groups
	groups []int    // from 1
}

// CompileTemplate reads a text in which $1 or ${1} stands for the first group
// of a glob that has that many, $2 for the second and so on, and $$ for the
// character $. It fails with fs.ErrInvalid.
func CompileTemplate(text string, groups int) (Template, error) {
	t := Template{texts: []string{""}}
	add := func(s string) { t.texts[len(t.texts)-1] += s }
	for text != "" {
		before, after, found := strings.Cut(text, "$")
		add(before)
		if !found {
			return t, nil
		}
		if rest, ok := strings.CutPrefix(after, "$"); ok {
			add("$")
			text = rest
			continue
		}
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		text = after[len(digits):]
		if inner, ok := strings.CutPrefix(after, "{"); ok {
			var closed bool
			if digits, text, closed = strings.Cut(inner, "}"); !closed {
				return t, fmt.Errorf("%q has an unclosed ${: %w", after, fs.ErrInvalid)
			}
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return t, fmt.Errorf("after $ stands %.20q, not the number of a capture group; write $$ for the character: %w", after, fs.ErrInvalid)
		}
		if n < 1 || n > groups {
			return t, fmt.Errorf("the glob has no capture group $%d, it has %d: %w", n, groups, fs.ErrInvalid)
		}
		t.groups = append(t.groups, n)
		t.texts = append(t.texts, "")
	}
	return t, nil
}

// Expand returns the text for captures as [Glob.Captures] returns them.
func (t Template) Expand(captures []string) string {
	if len(t.texts) == 0 {
		return ""
	}
	var b strings.Builder
	for i, n := range t.groups {
		b.WriteString(t.texts[i])
		b.WriteString(captures[n-1])
	}
	b.WriteString(t.texts[len(t.texts)-1])
	return b.String()
}
