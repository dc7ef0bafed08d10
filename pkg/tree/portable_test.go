package tree

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckPortable(t *testing.T) {
	for _, name := range []string{
		"a", "a.txt", "naïve", "日本語", ".gitignore", "...a", " a", "com", "com10", "console", "nul_", "auxiliary.txt", "lpt",
		"dvx", ".dvxx", "what?", "*", `"quoted"`, "-rf", "~", "a.dvx", "dvx~", "dvx~x", "👨‍👩‍👧", strings.Repeat("a", 255),
	} {
		if err := CheckPortable(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "a/b", "a\x00", "\xff", strings.Repeat("a", 256), strings.Repeat("ü", 128),
		"a\n", "a\x7f", "\u0085", "a\u202eb", "\u2066", "\u200f", "\u061c",
		`a\b`, "a:b", "a:$DATA", "a.", "a ", "a. .",
		"con", "CON", "Con.txt", "con .txt", "prn", "aux.c", "nul", "COM1", "com9.log", "lpt1", "COM¹", "com0", "conin$", "CONOUT$",
		".dvx", ".DVX", ".Dvx", ".dvx.", ".dvx ", ".dvx. .", ".dvx:stream", ".dvx::$INDEX_ALLOCATION",
		".d\u200cvx", "\ufeff.dvx", ".dvx\u200d", "DVX~1", "dvx~1", "dvx~12", "dvx~1.", "dvx~1:x",
	} {
		if err := CheckPortable(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestPlainName: what is portable at first sight is so by the rules.
func TestPlainName(t *testing.T) {
	for name, plain := range map[string]bool{
		"a": true, "main.go": true, "f000": true, "README.md": true, "conf": false, "console": true, "x.y.z": true, "a-b_C": true,
		"": false, ".": false, "..": false, ".git": false, "a.": false, "con.txt": false, "LPT1": false, "a b": false, "ü": false, "dvx~1": false,
	} {
		if plainName(name) != plain {
			t.Errorf("plainName(%q) is %v", name, !plain)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`(?i)(con|prn|aux|nul|com|lpt|dvx|\.|)[a-d0-9._~ :-]{0,6}`).Draw(t, "name")
		if plainName(name) && (CheckName(name) != nil || unportable(name) != "") {
			t.Fatalf("%q: %v, %s", name, CheckName(name), unportable(name))
		}
	})
}

func TestCheckPath(t *testing.T) {
	long := strings.Repeat("a", NameSizeMax)
	for path, ok := range map[string]bool{
		"a": true, "a/b": true, "a/": true, `a\b:c`: true, "con": true, "\n": true,
		"": false, "/": false, "/a": false, "a//b": false, "a//": false, ".": false, "a/..": false, "a/\x00": false, "\xc3": false,
		long: true, long + "a": false, long[1:] + "/" + long[1:] + "/" + long[1:] + "/" + long[1:]: true, long + "/" + long + "/" + long + "/" + long: false,
		strings.Repeat("a/", PathDepthMax): true, strings.Repeat("a/", PathDepthMax) + "a": false,
	} {
		if err := CheckPath(path); (err == nil) != ok || (!ok && !errors.Is(err, fs.ErrInvalid)) {
			t.Errorf("%.40q (%d bytes): %v", path, len(path), err)
		}
	}
}

func TestFoldKey(t *testing.T) {
	for _, pair := range [][2]string{{"README", "readme"}, {"Ü", "u\u0308"}, {"straße", "STRASSE"}, {"ſ", "s"}, {"K", "\u212a"}, {"\u13a0", "\uab70"}} {
		if a, b := FoldKey(pair[0]), FoldKey(pair[1]); a != b {
			t.Errorf("%q folds to %q, %q to %q", pair[0], a, pair[1], b)
		}
	}
	if FoldKey("a") == FoldKey("ä") {
		t.Error("a and ä fold alike")
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		if once := FoldKey(name); FoldKey(once) != once {
			t.Fatalf("%q folds to %q, then to %q", name, once, FoldKey(once))
		}
	})
}
