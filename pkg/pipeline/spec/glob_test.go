package spec

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"pgregory.net/rapid"
)

func TestGlobMatch(t *testing.T) {
	tests := []struct {
		glob string
		yes  []string // a directory's ends in "/"
		no   []string
	}{
		{"/", []string{"/"}, []string{"a", "a/", "a/b"}},
		{"/*", []string{"a", ".a", "a/"}, []string{"/", "a/b", "a/b/"}},
		{"*.csv", []string{"a.csv", ".csv", "a.csv/"}, []string{"a.csv.gz", "a/a.csv"}},
		{"/*/", []string{"a/"}, []string{"a", "/", "a/b/"}},
		{"/*/*", []string{"a/b", "a/b/"}, []string{"a", "a/b/c"}},
		{"/**/*.csv", []string{"a.csv", "x/a.csv", "x/y/a.csv"}, []string{"a.csv/", "x/a.txt", "/"}},
		{"**", []string{"a", "a/b", "a/b/c"}, []string{"/", "a/", "a/b/"}},
		{"/a/**", []string{"a/b", "a/b/c"}, []string{"a", "b/a", "a/"}},
		{"/a/**/b", []string{"a/b", "a/x/b", "a/x/y/b", "a/b/b"}, []string{"b", "a/b/c", "x/a/b"}},
		{"/a/**/**/b", []string{"a/b", "a/x/b"}, []string{"a/b/c"}},
		{"/{a,b}/c", []string{"a/c", "b/c"}, []string{"c/c", "{a,b}/c"}},
		{"/{a,b/**}", []string{"a", "b/c", "b/c/d"}, []string{"a/", "c"}},
		{"/x{,.gz}", []string{"x", "x.gz"}, []string{"x."}},
		{"/{a,{b,c}d}", []string{"a", "bd", "cd"}, []string{"d", "ad"}},
		{"/?", []string{"a", "ä", "語"}, []string{"ab", "/"}},
		{"/[a-c]x", []string{"ax", "cx"}, []string{"dx", "x"}},
		{"/[^a-c]x", []string{"dx", "äx"}, []string{"ax", "x"}},
		{"/[!a]", []string{"b"}, []string{"a"}},
		{`/[\]\-]`, []string{"]", "-"}, []string{`\`}},
		{`/\*\{\(\\`, []string{`*{(\`}, []string{`a{(\`}},
		{"/!(*.tmp|x?)", []string{"a", "a.tmpx", "x", "xyz"}, []string{"a.tmp", "xy", ".tmp"}},
		{"/a!(b).c", []string{"a.c", "axb.c", "abb.c"}, []string{"ab.c", "b.c"}},
		{"/**/!(*.tmp)", []string{"a/b", "c"}, []string{"a/b.tmp"}},
		{"/!a", []string{"!a"}, []string{"a", "b"}},
		{"/(*)-([0-9]).{csv,txt}", []string{"a-1.csv", "-2.txt"}, []string{"a-x.csv"}},
		{"/(a|b,c)|d", []string{"a|d", "b,c|d"}, []string{"b|d", "d"}},
		{"/*a*b*", []string{"ab", "xaxbx", "aabb"}, []string{"ba", "a"}},
	}
	for _, test := range tests {
		g, err := CompileGlob(test.glob)
		if err != nil {
			t.Errorf("%s: %v", test.glob, err)
			continue
		}
		for _, want := range []bool{true, false} {
			for _, p := range map[bool][]string{true: test.yes, false: test.no}[want] {
				name, dir := strings.CutSuffix(p, "/")
				if got := g.Match(name, dir); got != want {
					t.Errorf("%s matches %q: %v, want %v", test.glob, p, got, want)
				}
				if want && !strings.HasPrefix(name, g.Prefix()) {
					t.Errorf("%s selects %q, which does not begin with its prefix %q", test.glob, p, g.Prefix())
				}
			}
		}
	}
}

func TestGlobCaptures(t *testing.T) {
	tests := []struct {
		glob, path string
		want       []string
	}{
		{"/*", "a", nil},
		{"/(*)", "foo", []string{"foo"}},
		{"/*/bar-(*)", "foo/bar-123", []string{"123"}},
		{"/(*)/*/(??)*.txt", "foo/bar-123/ABC.txt", []string{"foo", "AB"}},
		{"/*/(bar-(123))/*", "foo/bar-123/ABC.txt", []string{"bar-123", "123"}},
		{"/*-*-PATID(*)-CLIA(*).txt", "T16-LIPID-PATID2-CLIA24D.txt", []string{"2", "24D"}},
		{"/(*/*)/x", "a/b/x", []string{"a/b"}},
		{"/(**)/(*).csv", "x.csv", []string{"", "x"}},
		{"/(**)/(*).csv", "a/b/x.csv", []string{"a/b", "x"}},
		{"/(**)/a*", "aa", []string{""}},
		{"/(**)", "a/b/c", []string{"a/b/c"}},
		{"/{(a)*,b(c)}", "bc", []string{"", "c"}},
		{"/{a/(**),b/(*)}", "a/x/y", []string{"x/y", ""}},
		{"/(a|b,c).x", "b,c.x", []string{"b,c"}},
		{"/(!(a|b)).([!x-z])", "c.y.a", []string{"c.y", "a"}},
		{`/(\(.\*).x`, "(.*.x", []string{"(.*"}},
		{`/\@(a|b)\+(c)`, "@b+c", []string{"b", "c"}},
		{"/?(?)*(x|y)", "abcx", []string{"b", "x"}},
	}
	for _, test := range tests {
		g, err := CompileGlob(test.glob)
		if err != nil {
			t.Errorf("%s: %v", test.glob, err)
			continue
		}
		if !g.Match(test.path, false) {
			t.Errorf("%s does not select %s", test.glob, test.path)
		}
		if got := g.Captures(test.path); !slices.Equal(got, test.want) || g.Groups() != len(test.want) {
			t.Errorf("%s captures of %s %q, want %q", test.glob, test.path, got, test.want)
		}
	}
}

// TestGlobCapturesOfEverySelected: the expression that captures agrees with what
// the glob selects.
func TestGlobCapturesOfEverySelected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := drawNames(t)
		p := path.Join(names...)
		of := drawGlobOf(t, names)
		for _, pattern := range []string{of, drawGlob(t)} {
			g, err := CompileGlob("(" + pattern + ")")
			if selected := err == nil && g.Match(p, false); !selected {
				if pattern == of {
					t.Fatalf("(%s) does not select %q: %v", pattern, p, err)
				}
				continue
			}
			if got := g.Captures(p); got[0] != p {
				t.Fatalf("(%s) captures of %q %q", pattern, p, got)
			}
		}
	})
}

func TestTemplate(t *testing.T) {
	captures := []string{"a", "b"}
	for text, want := range map[string]string{"": "", "$1": "a", "$2-$1": "b-a", "${1}1": "a1", "$$1": "$1", "x$1$2y": "xaby"} {
		tmpl, err := CompileTemplate(text, 2)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := tmpl.Expand(captures); got != want {
			t.Errorf("%q expands to %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"$3": "no capture group", "$0": "no capture group", "$": "after $", "${1": "unclosed", "$x": "after $"} {
		if _, err := CompileTemplate(text, 2); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: error %v, want one about %q", text, err, want)
		}
	}
}

func TestGlobPrefix(t *testing.T) {
	for glob, want := range map[string]string{
		"/": "", "/*": "", "/2026/11/*.png": "2026/11/", "/2026/img-*/x": "2026/img-", "/a/**/b": "a/",
		"/{ab,ac}/x": "a", "/a/b": "a/b", `/\*x/?`: "*x/", "**": "",
	} {
		g, err := CompileGlob(glob)
		if err != nil {
			t.Fatal(err)
		}
		if g.Prefix() != want {
			t.Errorf("%s: prefix %q, want %q", glob, g.Prefix(), want)
		}
	}
}

func TestGlobRefuses(t *testing.T) {
	tests := []struct{ glob, want string }{
		{"", "is empty"},
		{"//", "never matches"},
		{"/a//b", "never matches"},
		{"/../a", "never matches"},
		{"/{a,}/b", "never matches"},
		{"/.", "never matches"},
		{"/a**", "component of its own"},
		{"/***", "component of its own"},
		{"/[a", "unclosed"},
		{"/[]", "empty class"},
		{"/[z-a]", "range z-a"},
		{"/[-a]", "both sides"},
		{"/[a-]", "in a class is empty"},
		{"/{a", "unclosed"},
		{"/a}", "} without {"},
		{`/a\`, "at the end"},
		{"/{a,b/c}", "different depth"},
		{"/{a,b/}", "all alternatives end in /"},
		{"/**/", "can't end in /"},
		{"/(*.png", "unclosed ("},
		{"/*).png", ") without ("},
		{"/!(a", "unclosed !("},
		{"/!(a/b)", "unclosed !("},
		{"/!(a)!(b)", "more than one !("},
		{"/(a|b/c)", "different depth"},
		{"/@(a|b).png", "@( is not supported: write (a|b)"},
		{"/x+(a)", "+( is not supported"},
		{"/x?(a|b)", "?( is one character and then a group"},
		{strings.Repeat("(*)x", GlobGroupsMax+1), "capture groups"},
		{"/" + strings.Repeat("{a,b}", 9), "more than 256"},
		{strings.Repeat("a", GlobSizeMax+1), "exceed the limit"},
		{"/\xff", "not text"},
	}
	for _, test := range tests {
		_, err := CompileGlob(test.glob)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q: error %v, want one about %q", test.glob, err, test.want)
		} else if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: error %v is of no kind", test.glob, err)
		}
	}
}

// drawName draws a name from few characters, so that patterns often match.
func drawName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[ab.é]{1,4}`).Filter(func(s string) bool { return s != "." && s != ".." }).Draw(t, label)
}

func drawNames(t *rapid.T) (names []string) {
	for range rapid.IntRange(1, 4).Draw(t, "depth") {
		names = append(names, drawName(t, "name"))
	}
	return names
}

// drawGlobOf draws a glob that selects the file of these names.
func drawGlobOf(t *rapid.T, names []string) string {
	var parts []string
	for _, n := range names {
		_, first := utf8.DecodeRuneInString(n)
		spellings := []string{n, "*", "**/" + n, "?" + n[first:], "{" + n + ",a*}", "*" + n[first:], n[:first] + "*"}
		parts = append(parts, rapid.SampledFrom(spellings).Draw(t, "spelling"))
	}
	return strings.Join(parts, "/")
}

func drawGlob(t *rapid.T) string {
	atoms := []string{"a", "b", ".", "é", "*", "?", "[ab]", "[^a]", "[!b-é]", `\a`, `\*`, "{a,b}", "{a*,.b}", "[a-é]"}
	component := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 3).Draw(t, "deep") == 0 {
			return "**"
		}
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(atoms), 1, 4).Draw(t, "atoms"), "")
	})
	return strings.Join(rapid.SliceOfN(component, 1, 4).Draw(t, "components"), "/")
}

// elsewhere spells a glob so that doublestar means the same by it: there a
// negated class also matches "/", and "a/**" also matches "a".
func elsewhere(pattern string) string {
	if strings.HasSuffix("/"+pattern, "/**") {
		pattern += "/*"
	}
	return strings.NewReplacer("[^a]", "[^a/]", "[!b-é]", "[!b-é/]").Replace(pattern)
}

// TestGlobAgreesWithDoublestar compares with an independent matcher, on what
// both match: paths of files.
func TestGlobAgreesWithDoublestar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := drawNames(t)
		of := drawGlobOf(t, names)
		if !agreeOn(t, of, path.Join(names...)) {
			t.Fatalf("%q does not select %q, of which it was made", of, path.Join(names...))
		}
		pattern := drawGlob(t)
		for range 8 {
			agreeOn(t, pattern, path.Join(drawNames(t)...))
		}
	})
}

// agreeOn returns whether a pattern matches a path, in which both matchers must
// agree.
func agreeOn(t *rapid.T, pattern, p string) bool {
	g, err := CompileGlob(pattern)
	if err != nil {
		return false
	}
	want, err := doublestar.Match(elsewhere(pattern), p)
	if err != nil {
		t.Fatalf("%q is accepted here and refused there: %v", pattern, err)
	}
	if got := g.Match(p, false); got != want {
		t.Fatalf("%q matches %q: %v, want %v", pattern, p, got, want)
	}
	if want && !strings.HasPrefix(p, g.Prefix()) {
		t.Fatalf("%q selects %q outside of its prefix %q", pattern, p, g.Prefix())
	}
	return want
}

// TestGlobSelectionsAreDisjoint: no selected directory holds a selected entry.
func TestGlobSelectionsAreDisjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, err := CompileGlob(drawGlob(t))
		if err != nil {
			return
		}
		p := path.Join(drawName(t, "a"), drawName(t, "b"), drawName(t, "c"))
		selected := 0
		if g.Match(p, false) {
			selected++
		}
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if g.Match(dir, true) {
				selected++
			}
		}
		if g.Match("", true) {
			selected++
		}
		if selected > 1 {
			t.Fatalf("%s selects %d of the directories that lead to %s", g, selected, p)
		}
	})
}

func FuzzCompileGlob(f *testing.F) {
	for _, seed := range []string{"/", "/**/*.csv", "/{a,b}/[^a-z]?", `/\*`} {
		f.Add(seed, "a/b.csv")
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		g, err := CompileGlob(glob)
		if err != nil {
			return
		}
		if g.Match(name, false) && name != "" && !strings.HasPrefix(name, g.Prefix()) {
			t.Fatalf("%q selects %q outside of its prefix %q", glob, name, g.Prefix())
		}
	})
}
