package worktree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIgnore(t *testing.T) {
	for _, c := range []struct {
		rules string
		path  string // "/" at the end: a directory
		want  bool
	}{
		{"*.o", "a/b.o", true},
		{"*.o\n!b.o", "a/b.o", false},
		{"!b.o\n*.o", "b.o", true},
		{"#*.o", "#x.o", false},
		{`\#x`, "#x", true},
		{`\!x`, "!x", true},
		{"x  ", "x", true},
		{`x\ `, "x ", true},
		{"x\r\ny", "x", true},
		{"\xef\xbb\xbfx", "x", true},
		{"build/", "build", false},
		{"build/", "a/build/", true},
		{"/build", "a/build", false},
		{"/build", "build", true},
		{"a/b", "c/a/b", false},
		{"**/b", "b", true},
		{"**/b", "a/c/b", true},
		{"a/**", "a/b/c", true},
		{"a/**", "a/", false},
		{"a/**/z", "a/z", true},
		{"a/**/z", "a/b/c/z", true},
		{"a/**/z", "a/bz", false},
		{"a/*/z", "a/b/c/z", false},
		{"a/*z", "a/b/z", false},
		{"*", "x", true},
		{"/*\n!/keep", "keep", false},
		{"f[a-c]", "fb", true},
		{"f[!a-c]", "fb", false},
		{"f[]x]", "f]", true},
		{"f[[:digit:]-]", "f-", true},
		{"f[[:none:]]", "f:", false},
		{"f[a", "f[a", false},
		{"x\\", "x", false},
		{"é?", "é\u0301", false}, // bytes, as git counts
		{"é??", "é\u0301", true},
		{"", "x", false},
		{"/", "x/", false},
	} {
		g, err := ParseIgnore([]byte(c.rules))
		if err != nil {
			t.Fatal(err)
		}
		path, dir := strings.CutSuffix(c.path, "/")
		if got, _ := g.Match(path, dir); got != c.want {
			t.Errorf("rules %q, path %q: ignored %v, want %v", c.rules, c.path, got, c.want)
		}
	}
}

func TestIgnoreSizeMax(t *testing.T) {
	if _, err := ParseIgnore(make([]byte, ignoreSizeMax+1)); err == nil {
		t.Error("rules over the limit were read")
	}
}

// TestIgnoreTime shows that no pattern takes exponential time.
func TestIgnoreTime(t *testing.T) {
	g, err := ParseIgnore([]byte("x/" + strings.Repeat("*a**/", 40) + "b"))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	g.Match("x/"+strings.Repeat("a/", 1000)+"c", false)
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v", d)
	}
}

// TestIgnoreAsGit asks git about random rules in nested files.
func TestIgnoreAsGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git, the oracle, is not installed")
	}
	dir := t.TempDir()
	run := func(stdin []byte, args ...string) []byte {
		cmd := exec.Command(git, args...)
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir)
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState.ExitCode() != 1 { // 1: nothing is ignored
			t.Fatalf("git %v: %v", args, err)
		}
		return out
	}
	run(nil, "init", "-q")
	paths := oracleTree(t, dir)
	rng := rand.New(rand.NewPCG(1, 2))
	checked, ignored := 0, 0
	for round := range 100 {
		sets := map[string]string{"": randomRules(rng)}
		for _, at := range []string{"a/", "a/b/", "ab/"} {
			if rng.IntN(3) == 0 {
				sets[at] = randomRules(rng)
			}
		}
		for _, at := range []string{"", "a/", "a/b/", "ab/"} {
			if err := os.WriteFile(filepath.Join(dir, at, ".gitignore"), []byte(sets[at]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out := run([]byte(strings.Join(paths, "\x00")), "check-ignore", "--no-index", "--stdin", "-z")
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		for _, path := range paths {
			got := ignoredBy(t, sets, path, slices.Contains(oracleDirs, path))
			if w := slices.Contains(want, path); got != w {
				t.Fatalf("round %d: %q is ignored: %v, git says %v, rules %q", round, path, got, w, sets)
			}
			checked++
			if got {
				ignored++
			}
		}
	}
	if ignored < checked/20 || ignored > checked*19/20 {
		t.Errorf("%d of %d paths ignored: the rules try too little", ignored, checked)
	}
}

var oracleDirs = []string{"a", "b", "ab", "a/b", "a/a", "a/b/ab", "ab/a b", "b/a", "a/b/ab/b"}

func oracleTree(t *testing.T, dir string) []string {
	paths := slices.Clone(oracleDirs)
	for _, d := range append([]string{""}, oracleDirs...) {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"f.a", "ba", "bb", "-", "a]", "x!", "#a", "a ", `\a`, "é", "[a]", "*"} {
			path := strings.TrimPrefix(d+"/"+f, "/")
			if err := os.WriteFile(filepath.Join(dir, path), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
	}
	return paths
}

func randomRules(rng *rand.Rand) string {
	atoms := []string{
		"a", "b", "a", "b", "*", "*", "**", "/", "/", "/**/", "**/", "/**", "?", "!", "#", `\`, " ", ".", "-", "]", "[",
		"[ab]", "[!a]", "[^b]", "[a-b]", "[]a]", "[[:alpha:]]", "[[:punct:]x]", "[[:nope:]]", "[a-", "[b-a]", `[\]a]`, `[a\-b]`, "[[:x]", "é", "\r", "***",
	}
	var b strings.Builder
	for range 1 + rng.IntN(4) {
		if rng.IntN(4) == 0 {
			b.WriteString("!")
		}
		for range 1 + rng.IntN(5) {
			b.WriteString(atoms[rng.IntN(len(atoms))])
		}
		if rng.IntN(4) == 0 {
			b.WriteString("/")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// ignoredBy applies sets of rules, by directory, the way a walk does.
func ignoredBy(t *testing.T, sets map[string]string, path string, dir bool) bool {
	var stack *ignoreStack
	at := 0
	for {
		if text, ok := sets[path[:at]]; ok {
			g, err := ParseIgnore([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			stack = &ignoreStack{up: stack, at: at, rules: g}
		}
		next := strings.IndexByte(path[at:], '/')
		if next < 0 {
			return stack.match(path, dir)
		}
		if stack.match(path[:at+next], true) {
			return true
		}
		at += next + 1
	}
}

func FuzzIgnore(f *testing.F) {
	f.Add([]byte("*.o\n!a/**/b[!x-z]/\n"), "a/q/bx", true)
	f.Add([]byte("[[:alpha:]-\\"), "a", false)
	f.Fuzz(func(t *testing.T, rules []byte, path string, dir bool) {
		g, err := ParseIgnore(rules)
		if err != nil {
			return
		}
		ignored, decided := g.Match(path, dir)
		if ignored && !decided {
			t.Error("ignored by no rule")
		}
		again, err := ParseIgnore(append(slices.Clone(rules), fmt.Sprintf("\n%s\n", "# no rule")...))
		if err != nil {
			return
		}
		if i, d := again.Match(path, dir); i != ignored || d != decided {
			t.Error("a comment decides")
		}
	})
}
