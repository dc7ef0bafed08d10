package spec

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// globToken matches a part of a name.
type globToken struct {
	kind   tokenKind
	r      rune            // of tokenRune
	ranges [][2]rune       // of tokenClass
	negate bool            // of tokenClass
	none   []globComponent // of tokenNot
}

type tokenKind uint8

const (
	tokenRune  tokenKind = iota // r
	tokenAny                    // any one character
	tokenStar                   // any number of characters
	tokenClass                  // one character that is in ranges, or, negated, is not
	tokenNot                    // any number of characters that match none of a list
)

// tokenize reads a component without braces.
func tokenize(part string) ([]globToken, error) {
	var tokens []globToken
	for i := 0; i < len(part); {
		r, n := utf8.DecodeRuneInString(part[i:])
		t := globToken{kind: tokenRune, r: r}
		switch r {
		case '\\':
			if i+n == len(part) {
				return nil, fmt.Errorf("\\ at the end of a component: %w", fs.ErrInvalid)
			}
			var size int
			t.r, size = utf8.DecodeRuneInString(part[i+n:])
			n += size
		case '?':
			t.kind = tokenAny
		case '*':
			if strings.HasPrefix(part[i:], "**") {
				return nil, fmt.Errorf("** must be a component of its own: %w", fs.ErrInvalid)
			}
			t.kind = tokenStar
		case '[':
			end := classEnd(part[i:])
			if end < 0 {
				return nil, errGlobClosed
			}
			class, err := parseClass(part[i+1 : i+end])
			if err != nil {
				return nil, err
			}
			t, n = class, end+1
		case '!':
			if !strings.HasPrefix(part[i:], "!(") {
				break
			}
			end := notEnd(part[i:])
			none, err := tokenizeNone(part[i+2 : i+end])
			if err != nil {
				return nil, err
			}
			t, n = globToken{kind: tokenNot, none: none}, end+1
		}
		tokens = append(tokens, t)
		i += n
	}
	return tokens, nil
}

// tokenizeNone reads what is between the parentheses of !(a|b).
func tokenizeNone(s string) ([]globComponent, error) {
	var none []globComponent
	for from, i := 0, 0; i <= len(s); i++ {
		switch {
		case i < len(s) && s[i] == '\\':
			i++
		case i < len(s) && s[i] == '[':
			i += classEnd(s[i:])
		case i == len(s) || s[i] == '|':
			tokens, err := tokenize(s[from:i])
			if err != nil {
				return nil, err
			}
			none = append(none, globComponent{tokens: tokens})
			from = i + 1
		}
	}
	return none, nil
}

// classEnd returns where the class that s begins with is closed, -1 if it is
// not.
func classEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ']':
			return i
		case '/':
			return -1
		}
	}
	return -1
}

// parseClass reads what is between the brackets.
func parseClass(s string) (globToken, error) {
	t := globToken{kind: tokenClass}
	if s != "" && (s[0] == '^' || s[0] == '!') {
		t.negate = true
		s = s[1:]
	}
	if s == "" {
		return t, fmt.Errorf("empty class: %w", fs.ErrInvalid)
	}
	next := func() (r rune, ok bool) {
		s = strings.TrimPrefix(s, "\\")
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		return r, n > 0
	}
	for s != "" {
		if s[0] == '-' {
			return t, fmt.Errorf("- in a class needs a character on both sides, or a \\: %w", fs.ErrInvalid)
		}
		lo, ok := next()
		hi := lo
		if ok && strings.HasPrefix(s, "-") {
			s = s[1:]
			hi, ok = next()
		}
		if !ok || hi < lo {
			return t, fmt.Errorf("range %c-%c in a class is empty: %w", lo, hi, fs.ErrInvalid)
		}
		t.ranges = append(t.ranges, [2]rune{lo, hi})
	}
	return t, nil
}

// one reports whether a token other than a star matches r.
func (t globToken) one(r rune) bool {
	switch t.kind {
	case tokenAny:
		return true
	case tokenClass:
		in := false
		for _, x := range t.ranges {
			in = in || x[0] <= r && r <= x[1]
		}
		return in != t.negate
	default:
		return t.r == r
	}
}

// matches reports whether the component matches the whole name. It takes at
// most as many steps as name and component have characters, multiplied.
func (c globComponent) matches(name string) bool {
	switch {
	case c.literal:
		return c.name == name
	case c.not:
		return c.matchesNot(name)
	}
	i, t := 0, 0         // places in the name and in the tokens
	star, again := -1, 0 // the last star, and where the name goes on after it
	for i < len(name) {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case t < len(c.tokens) && c.tokens[t].kind == tokenStar:
			star, again = t, i
			t++
		case t < len(c.tokens) && c.tokens[t].one(r):
			t++
			i += n
		case star >= 0:
			_, n := utf8.DecodeRuneInString(name[again:])
			again += n
			i, t = again, star+1
		default:
			return false
		}
	}
	for t < len(c.tokens) && c.tokens[t].kind == tokenStar {
		t++
	}
	return t == len(c.tokens)
}

// matchesNot is matches for a component with a tokenNot: it follows all places
// in the name that the tokens so far can lead to.
func (c globComponent) matchesNot(name string) bool {
	at := make([]bool, len(name)+1)
	at[0] = true
	for _, t := range c.tokens {
		next := make([]bool, len(name)+1)
		for i, here := range at {
			if here {
				t.reach(name, i, next)
			}
		}
		at = next
	}
	return at[len(name)]
}

// reach marks the places in the name to which a token leads from i.
func (t globToken) reach(name string, i int, next []bool) {
	switch t.kind {
	case tokenStar:
		for j := i; j <= len(name); j++ {
			next[j] = true
		}
	case tokenNot:
		for j := i; j <= len(name); j++ {
			if !next[j] && !slices.ContainsFunc(t.none, func(c globComponent) bool { return c.matches(name[i:j]) }) {
				next[j] = true
			}
		}
	default:
		if r, n := utf8.DecodeRuneInString(name[i:]); n > 0 && t.one(r) {
			next[i+n] = true
		}
	}
}
