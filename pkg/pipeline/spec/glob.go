package spec

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a glob.
const (
	GlobSizeMax         = 4096 // bytes
	globAlternativesMax = 256  // patterns that its braces stand for
)

// Glob selects entries of a directory by their paths. It is a value, safe for
// concurrent use.
//
// A glob is matched against whole paths, component by component:
//
//   - any number of characters of one component, also none, also a dot first
//     ?        one character
//     [a-z]    one character of a class; [^a-z] or [!a-z]: one that is not
//     {a,b/c}  alternatives, which may be nested and hold "/"
//     !(a|b)   any number of characters that match none of these
//     (a|b)    one of several, as a capture group; after * or ? it means the same
//     @( +(    refused, also ?(a|b): elsewhere they mean other things
//     **       as a whole component: any number of components, also none
//     \x       the character x itself
//
// A leading "/" may be left out. "/" selects the whole tree as one. Without **
// a glob selects files, links and directories at its depth, a directory with
// all that is below it; a glob that ends in "/" selects only directories. With
// ** anywhere it selects only files and links, at any depth. So nothing that
// a glob selects holds another thing that it selects.
type Glob struct {
	source  string
	capture *regexp.Regexp // nil: no groups
	alts    []globAlternative
	files   bool   // selects files and links only
	dirs    bool   // selects directories only
	prefix  string // what every selected path begins with
}

// globAlternative is one pattern without braces, by component.
type globAlternative []globComponent

// globComponent matches one name, or, if deep, any number of them.
type globComponent struct {
	deep    bool
	literal bool // name is all it matches
	not     bool // has a tokenNot
	name    string
	tokens  []globToken
}

// CompileGlob reads a glob. The error wraps fs.ErrInvalid.
func CompileGlob(source string) (*Glob, error) {
	g := &Glob{source: source}
	if err := g.compile(); err != nil {
		return nil, fmt.Errorf("glob %.200q: %w", source, err)
	}
	return g, nil
}

// String returns the glob as it was written.
func (g *Glob) String() string { return g.source }

// Prefix returns the longest string known to be at the start of every path
// that the glob selects; it may end within a component.
func (g *Glob) Prefix() string { return g.prefix }

// single reports whether the glob selects at most one name of a tree: it is
// without anything that stands for several.
func (g *Glob) single() bool {
	return len(g.alts) == 1 && !slices.ContainsFunc(g.alts[0], func(c globComponent) bool { return !c.literal })
}

// Match reports whether the glob selects the entry at path, which has no
// leading or trailing slash and is empty for the whole tree; dir says whether
// it is a directory.
func (g *Glob) Match(path string, dir bool) bool {
	at := g.start()
	if path != "" {
		for name := range strings.SplitSeq(path, "/") {
			at = g.step(at, name)
		}
	}
	return g.selects(at, dir)
}

var errGlobClosed = fmt.Errorf("unclosed [ or {: %w", fs.ErrInvalid)

func (g *Glob) compile() error {
	switch {
	case g.source == "":
		return fmt.Errorf("is empty; / selects the whole tree: %w", fs.ErrInvalid)
	case len(g.source) > GlobSizeMax:
		return fmt.Errorf("%d bytes exceed the limit of %d: %w", len(g.source), GlobSizeMax, fs.ErrInvalid)
	case !utf8.ValidString(g.source) || strings.ContainsRune(g.source, 0):
		return fmt.Errorf("is not text: %w", fs.ErrInvalid)
	}
	plain, capture, err := readGroups(g.source)
	if err != nil {
		return err
	}
	g.capture = capture
	patterns, err := expandBraces(plain)
	if err != nil {
		return err
	}
	for i, p := range patterns {
		alt, dirs, err := compileAlternative(p)
		if err != nil {
			return err
		}
		deep := slices.ContainsFunc(alt, func(c globComponent) bool { return c.deep })
		if deep && dirs {
			return fmt.Errorf("** selects files, so it can't end in /: %w", fs.ErrInvalid)
		}
		if i > 0 && dirs != g.dirs {
			return fmt.Errorf("either all alternatives end in / or none: %w", fs.ErrInvalid)
		}
		g.dirs = dirs
		g.files = g.files || deep
		g.alts = append(g.alts, alt)
	}
	for _, alt := range g.alts {
		if !g.files && len(alt) != len(g.alts[0]) {
			return fmt.Errorf("alternatives of different depth could select a directory and what is in it: %w", fs.ErrInvalid)
		}
	}
	g.prefix = g.commonPrefix()
	return nil
}

// compileAlternative reads a pattern without braces.
func compileAlternative(pattern string) (alt globAlternative, dirs bool, err error) {
	if pattern == "" {
		return nil, false, nil
	}
	pattern, dirs = strings.CutSuffix(pattern, "/")
	for part := range strings.SplitSeq(pattern, "/") {
		c, err := compileComponent(part)
		if err != nil {
			return nil, false, err
		}
		if c.deep && len(alt) > 0 && alt[len(alt)-1].deep {
			continue
		}
		alt = append(alt, c)
	}
	if alt[len(alt)-1].deep { // what is selected has a name
		alt = append(alt, globComponent{tokens: []globToken{{kind: tokenStar}}})
	}
	return alt, dirs, nil
}

func compileComponent(part string) (globComponent, error) {
	switch part {
	case "**":
		return globComponent{deep: true}, nil
	case "", ".", "..":
		return globComponent{}, fmt.Errorf("component %q never matches: %w", part, fs.ErrInvalid)
	}
	tokens, err := tokenize(part)
	if err != nil {
		return globComponent{}, err
	}
	c := globComponent{tokens: tokens, literal: true}
	for _, t := range tokens {
		if t.kind == tokenNot {
			if c.not {
				return globComponent{}, fmt.Errorf("more than one !( in a component: %w", fs.ErrInvalid)
			}
			c.not = true
		}
	}
	for _, t := range tokens {
		if t.kind != tokenRune {
			c.literal = false
			break
		}
		c.name += string(t.r)
	}
	return c, nil
}

// globState is a place in an alternative: what of it is still to be matched.
type globState struct{ alt, next int }

// start returns the states before any component.
func (g *Glob) start() []globState {
	var at []globState
	for i := range g.alts {
		at = g.enter(at, globState{i, 0})
	}
	return at
}

// enter adds a state, and the one after a ** that matches nothing.
func (g *Glob) enter(at []globState, s globState) []globState {
	if slices.Contains(at, s) {
		return at
	}
	at = append(at, s)
	if alt := g.alts[s.alt]; s.next < len(alt) && alt[s.next].deep {
		at = g.enter(at, globState{s.alt, s.next + 1})
	}
	return at
}

// step returns the states after a component; none if no path that goes on from
// there is selected.
func (g *Glob) step(at []globState, name string) []globState {
	var next []globState
	for _, s := range at {
		alt := g.alts[s.alt]
		if s.next == len(alt) {
			continue
		}
		switch c := alt[s.next]; {
		case c.deep:
			next = g.enter(next, s)
		case c.matches(name):
			next = g.enter(next, globState{s.alt, s.next + 1})
		}
	}
	return next
}

// selects reports whether an entry whose path led to these states is selected.
func (g *Glob) selects(at []globState, dir bool) bool {
	if dir && g.files || !dir && g.dirs {
		return false
	}
	return slices.ContainsFunc(at, func(s globState) bool { return s.next == len(g.alts[s.alt]) })
}

// goesOn reports whether anything below a directory whose path led to these
// states may be selected.
func (g *Glob) goesOn(at []globState) bool {
	return slices.ContainsFunc(at, func(s globState) bool { return s.next < len(g.alts[s.alt]) })
}

// namePrefix returns what the next name begins with in all states that go on.
func (g *Glob) namePrefix(at []globState) string {
	prefix, first := "", true
	for _, s := range at {
		alt := g.alts[s.alt]
		if s.next == len(alt) {
			continue
		}
		p := alt[s.next].prefix()
		if first {
			prefix, first = p, false
		}
		prefix = commonPrefix(prefix, p)
	}
	return prefix
}

// prefix returns the literal start of what a component matches.
func (c globComponent) prefix() string {
	var b strings.Builder
	for _, t := range c.tokens {
		if t.kind != tokenRune {
			break
		}
		b.WriteRune(t.r)
	}
	return b.String()
}

func (g *Glob) commonPrefix() string {
	common := ""
	for i, alt := range g.alts {
		p := ""
		for j, c := range alt {
			p += c.prefix()
			if !c.literal {
				break
			}
			if j < len(alt)-1 {
				p += "/"
			}
		}
		if i == 0 {
			common = p
		}
		common = commonPrefix(common, p)
	}
	return common
}

func commonPrefix(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// expandBraces returns the patterns without braces that a glob stands for.
func expandBraces(source string) ([]string, error) {
	open, close, commas, err := findBraces(source)
	if err != nil {
		return nil, err
	}
	if open < 0 {
		return []string{source}, nil
	}
	tails, err := expandBraces(source[close+1:])
	if err != nil {
		return nil, err
	}
	var out []string
	from := open + 1
	for _, to := range append(commas, close) {
		middles, err := expandBraces(source[from:to])
		if err != nil {
			return nil, err
		}
		for _, m := range middles {
			for _, t := range tails {
				if len(out) == globAlternativesMax {
					return nil, fmt.Errorf("stands for more than %d patterns: %w", globAlternativesMax, fs.ErrInvalid)
				}
				out = append(out, source[:open]+m+t)
			}
		}
		from = to + 1
	}
	return out, nil
}

// findBraces returns where the first pair of braces is and the commas directly
// in it; open is -1 if there is none.
func findBraces(s string) (open, close int, commas []int, err error) {
	open, depth := -1, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			end := classEnd(s[i:])
			if end < 0 {
				return 0, 0, nil, errGlobClosed
			}
			i += end
		case '!':
			if strings.HasPrefix(s[i:], "!(") {
				i += notEnd(s[i:]) // it is closed
			}
		case '{':
			if depth == 0 {
				open = i
			}
			depth++
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		case '}':
			if depth--; depth == 0 {
				return open, i, commas, nil
			}
			if depth < 0 {
				return 0, 0, nil, fmt.Errorf("} without {: %w", fs.ErrInvalid)
			}
		}
	}
	if depth > 0 {
		return 0, 0, nil, errGlobClosed
	}
	return -1, 0, nil, nil
}
