package worktree

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
)

// IgnoreName is the name of the files, in any directory, that say what is not
// to be committed. They are read as git reads its .gitignore: patterns of a
// file hold for what is below its directory, the last that matches decides, a
// file further down goes before one further up, and nothing below an ignored
// directory is looked at. What the base already has is never ignored.
const IgnoreName = ".dvxignore"

// ignoreSizeMax bounds an ignore file, since each of its patterns is tried on
// each name.
const ignoreSizeMax = 256 << 10

// Ignore is the rules of one ignore file. It may be used concurrently.
type Ignore struct{ rules []rule }

// rule is one line of an ignore file.
type rule struct {
	negate  bool // "!": what matches is not ignored
	dirOnly bool // "/" at the end: matches directories only
	base    bool // no other "/": matches against a path's last component
	prefix  string
	pattern pattern // what follows the prefix
}

// ParseIgnore reads the text of an ignore file. Text that is too long fails
// with fs.ErrInvalid; every other text has a meaning.
func ParseIgnore(text []byte) (*Ignore, error) {
	if len(text) > ignoreSizeMax {
		return nil, fmt.Errorf("ignore rules of more than %d bytes: %w", ignoreSizeMax, fs.ErrInvalid)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	g := &Ignore{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\r"), "\x00")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if line = trimSpaces(line); line != "" {
			g.rules = append(g.rules, parseRule(line))
		}
	}
	return g, nil
}

// trimSpaces removes the spaces at the end of a line that no backslash quotes.
func trimSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if line[i] == ' ' {
			continue
		}
		end = min(i+1, len(line))
	}
	return line[:end]
}

func parseRule(line string) rule {
	var r rule
	line, r.negate = strings.CutPrefix(line, "!")
	line, r.dirOnly = strings.CutSuffix(line, "/")
	r.base = !strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	// What precedes the first special character is compared as it is. So "**"
	// counts as a component of its own even where that text ends without "/".
	special := strings.IndexAny(line, `*?[\`)
	if special < 0 {
		special = len(line)
	}
	r.prefix = line[:special]
	if r.base {
		r.prefix = ""
	}
	r.pattern = compile(line[len(r.prefix):], !r.base)
	return r
}

// Match reports whether the rules decide about path, which is relative to the
// ignore file's directory and names a directory if dir is set, and how. It
// looks at the path itself only, not at the directories above it.
func (g *Ignore) Match(path string, dir bool) (ignored, decided bool) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for i := len(g.rules) - 1; i >= 0; i-- {
		r := &g.rules[i]
		if r.dirOnly && !dir {
			continue
		}
		text := name
		if !r.base {
			var ok bool
			if text, ok = strings.CutPrefix(path, r.prefix); !ok {
				continue
			}
		}
		if r.pattern.match(text) {
			return !r.negate, true
		}
	}
	return false, false
}

// ignoreStack is the rules that hold in a directory: its own and those of the
// directories above, up to the top.
type ignoreStack struct {
	up    *ignoreStack
	at    int // length of the path, with "/", of the directory that rules belong to
	rules *Ignore
}

// match reports whether path, from the top, is ignored, the directories above
// it left aside.
func (s *ignoreStack) match(path string, dir bool) bool {
	for ; s != nil; s = s.up {
		if ignored, decided := s.rules.Match(path[s.at:], dir); decided {
			return ignored
		}
	}
	return false
}
