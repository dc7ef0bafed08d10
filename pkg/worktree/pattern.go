package worktree

import "strings"

// pattern is a compiled shell pattern, matched byte by byte as git does. The
// time to match is at most the product of the lengths of pattern and text,
// whatever the pattern.
type pattern struct {
	tokens  []token
	never   bool   // malformed: matches nothing
	literal string // the whole pattern, if plain is set
	plain   bool
	suffix  bool // one star, then literal
}

// token matches a part of the text.
type token struct {
	kind tokenKind
	char byte
	set  *[256]bool
}

type tokenKind uint8

const (
	char     tokenKind = iota // one byte
	oneOf                     // one byte of a set
	star                      // any bytes but "/"
	anything                  // any bytes
	maybe                     // nothing; the next maybeTokens may be left out
)

// maybeTokens is how many tokens stand for the directories that "**/" matches:
// anything, and "/".
const maybeTokens = 2

// compile reads a pattern; slashes says that the text is a path, in which only
// "**" as a whole component matches "/".
func compile(text string, slashes bool) pattern {
	c := compiler{text: text, slashes: slashes}
	for c.at < len(c.text) && !c.bad {
		c.next()
	}
	p := pattern{tokens: c.tokens, never: c.bad}
	rest := p.tokens
	if len(rest) > 0 && rest[0].kind == star && !slashes {
		p.suffix, rest = true, rest[1:]
	}
	var lit strings.Builder
	for _, t := range rest {
		if t.kind != char {
			p.suffix = false
			return p
		}
		lit.WriteByte(t.char)
	}
	p.literal, p.plain = lit.String(), !p.suffix
	return p
}

func (p *pattern) match(text string) bool {
	switch {
	case p.never:
		return false
	case p.plain:
		return text == p.literal
	case p.suffix:
		return strings.HasSuffix(text, p.literal)
	}
	return p.run(text)
}

// run walks all ways to match at once: at[i] says that what was read so far
// can be matched by the first i tokens.
func (p *pattern) run(text string) bool {
	at := make([]bool, len(p.tokens)+1)
	next := make([]bool, len(p.tokens)+1)
	at[0] = true
	p.pass(at)
	for i := range len(text) {
		clear(next)
		alive := false
		for j := range p.tokens {
			if !at[j] {
				continue
			}
			stay, move := p.tokens[j].take(text[i])
			next[j] = next[j] || stay
			next[j+1] = next[j+1] || move
			alive = alive || stay || move
		}
		if !alive {
			return false
		}
		at, next = next, at
		p.pass(at)
	}
	return at[len(p.tokens)]
}

// take says whether a token goes on after byte c, and whether c is its last.
func (t *token) take(c byte) (stay, move bool) {
	switch t.kind {
	case char:
		return false, c == t.char
	case oneOf:
		return false, t.set[c]
	case star:
		return c != '/', false
	case anything:
		return true, false
	default:
		return false, false
	}
}

// pass moves past the tokens that can match nothing.
func (p *pattern) pass(at []bool) {
	for j := range p.tokens {
		if !at[j] {
			continue
		}
		switch p.tokens[j].kind {
		case star, anything:
			at[j+1] = true
		case maybe:
			at[j+1], at[j+1+maybeTokens] = true, true
		default:
		}
	}
}

// compiler reads a pattern into tokens.
type compiler struct {
	text    string
	at      int
	slashes bool
	tokens  []token
	bad     bool
}

func (c *compiler) add(t token) { c.tokens = append(c.tokens, t) }

// next reads one token.
func (c *compiler) next() {
	switch b := c.text[c.at]; b {
	case '*':
		c.stars()
	case '?':
		c.at++
		c.addSet(func(byte) bool { return true })
	case '[':
		c.at++
		c.bracket()
	case '\\':
		c.at++
		if c.at == len(c.text) {
			c.bad = true
			return
		}
		c.literal()
	default:
		c.literal()
	}
}

func (c *compiler) literal() {
	c.add(token{kind: char, char: c.text[c.at]})
	c.at++
}

// addSet adds a token for one byte of a set, in a path never "/".
func (c *compiler) addSet(in func(byte) bool) {
	set := new([256]bool)
	for b := range set {
		set[b] = in(byte(b)) && !(c.slashes && b == '/')
	}
	c.add(token{kind: oneOf, set: set})
}

// stars reads a run of stars.
func (c *compiler) stars() {
	begin := c.at
	for c.at < len(c.text) && c.text[c.at] == '*' {
		c.at++
	}
	rest := c.text[c.at:]
	opens := begin == 0 || c.text[begin-1] == '/'
	switch {
	case !c.slashes || c.at-begin == 1:
		c.add(token{kind: star})
	case opens && strings.HasPrefix(rest, "/"):
		c.add(token{kind: maybe})
		c.add(token{kind: anything})
		c.add(token{kind: char, char: '/'})
		c.at++
	case opens && (rest == "" || strings.HasPrefix(rest, `\/`)):
		c.add(token{kind: anything})
	default:
		c.add(token{kind: star})
	}
}

// bracket reads a set up to its "]"; the "[" is read already.
func (c *compiler) bracket() {
	var set [256]bool
	negate := false
	if c.at < len(c.text) && (c.text[c.at] == '!' || c.text[c.at] == '^') {
		negate = true
		c.at++
	}
	low := -1 // where a range could begin
	for first := true; ; first = false {
		if c.at >= len(c.text) {
			c.bad = true
			return
		}
		rest := c.text[c.at:]
		switch {
		case rest[0] == ']' && !first:
			c.at++
			c.addSet(func(b byte) bool { return set[b] != negate })
			return
		case rest[0] == '-' && low >= 0 && len(rest) > 1 && rest[1] != ']':
			c.at++
			high, ok := c.member()
			if !ok {
				return
			}
			for b := low; b <= int(high); b++ {
				set[b] = true
			}
			low = -1
		case strings.HasPrefix(rest, "[:") && c.class(&set):
			low = -1
		default:
			b, ok := c.member()
			if !ok {
				return
			}
			set[b] = true
			low = int(b)
		}
	}
}

// member reads one byte of a set, perhaps quoted.
func (c *compiler) member() (byte, bool) {
	if c.text[c.at] == '\\' {
		c.at++
	}
	if c.at >= len(c.text) {
		c.bad = true
		return 0, false
	}
	c.at++
	return c.text[c.at-1], true
}

// class reads "[:name:]" into the set. It reads nothing and returns false if
// there is no ":" before the next "]"; a name that nobody knows makes the
// pattern malformed.
func (c *compiler) class(set *[256]bool) bool {
	name, _, ok := strings.Cut(c.text[c.at+2:], "]")
	if !ok {
		c.bad, c.at = true, len(c.text)
		return true
	}
	name, ok = strings.CutSuffix(name, ":")
	if !ok {
		return false
	}
	in := classes[name]
	if in == nil {
		c.bad, c.at = true, len(c.text)
		return true
	}
	for b := range set {
		set[b] = set[b] || in(byte(b))
	}
	c.at += len("[:") + len(name) + len(":]")
	return true
}

func between(low, high byte) func(byte) bool {
	return func(b byte) bool { return low <= b && b <= high }
}

func either(fs ...func(byte) bool) func(byte) bool {
	return func(b byte) bool {
		for _, f := range fs {
			if f(b) {
				return true
			}
		}
		return false
	}
}

// classes are the named sets, in ASCII.
var classes = map[string]func(byte) bool{
	"alnum":  either(between('0', '9'), between('A', 'Z'), between('a', 'z')),
	"alpha":  either(between('A', 'Z'), between('a', 'z')),
	"blank":  either(between(' ', ' '), between('\t', '\t')),
	"cntrl":  either(between(0, 0x1f), between(0x7f, 0x7f)),
	"digit":  between('0', '9'),
	"graph":  between('!', '~'),
	"lower":  between('a', 'z'),
	"print":  between(' ', '~'),
	"punct":  either(between('!', '/'), between(':', '@'), between('[', '`'), between('{', '~')),
	"space":  either(between(' ', ' '), between('\t', '\r')),
	"upper":  between('A', 'Z'),
	"xdigit": either(between('0', '9'), between('A', 'F'), between('a', 'f')),
}
