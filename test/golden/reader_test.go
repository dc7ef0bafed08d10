package golden_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

const script = "../../contrib/read_store.py"

// interpreter returns the python3 on the PATH, or what a wrapper there runs.
func interpreter(t testing.TB) string {
	t.Helper()
	name, err := exec.LookPath("python3")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no python3 on the PATH")
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), name, "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// python runs the script that reads stores without dvx, with PATH as given.
func python(t testing.TB, interpreter, path string, args ...string) (out []byte, problem string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), interpreter, append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, strings.TrimSpace(stderr.String()) + " " + err.Error()
	}
	return out, ""
}

// TestIndependentReader reads files with a script that was written from the
// FORMAT.md files alone: nothing of a store is readable by dvx only.
func TestIndependentReader(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("there is no zstd on the PATH")
	}
	py, path := interpreter(t), os.Getenv("PATH")
	dir := copyStore(t)
	a := open(t, dir, 16)
	v1, err := repo.Resolve(a.ctx, a.store, "texts@v1.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ ref, path string }{
		{"texts@main", "poems/one.txt"},
		{"texts@main", "poems/größer.txt"},
		{"texts@main", "big.log"}, // several chunks, lists
		{"texts@v1.0", "big.log"},
		{"texts@" + v1.ID.String(), "nothing"}, // empty
		{"texts@main", "sparse.bin"},
		{"texts", "many/0613"}, // below several nodes
		{"texts@prod", "link"},
		{"texts@dev/x", "dev"},
		{"texts@main", "s3/object"},
		{"shout@main", "five"},
	} {
		got, problem := python(t, py, path, dir, tt.ref, tt.path)
		want := a.text(tt.ref + ":/" + tt.path)
		if problem != "" || string(got) != want {
			t.Errorf("%s %s: %d bytes, want %d: %s", tt.ref, tt.path, len(got), len(want), problem)
		}
	}
	names, problem := python(t, py, path, dir, "texts@v1.0")
	if want := a.names("texts@v1.0"); string(names) != want {
		t.Errorf("names are %q, want %q: %s", names, want, problem)
	}
	for args, want := range map[[3]string]string{
		{dir, "texts@main", "nothing"}:      "there is no file nothing",
		{dir, "texts@main", "poems"}:        "there is no file poems",
		{dir, "texts@main", "many/0613/x"}:  "there is no file many/0613/x",
		{dir, "texts@main", "../root"}:      "there is no file ../root",
		{dir, "texts@0123", "f"}:            "there is no version texts@0123",
		{dir, "texts@none", "f"}:            "there is no version texts@none",
		{dir, "none@main", "f"}:             "there is no repo none",
		{t.TempDir(), "texts@main", "link"}: "No such file",
	} {
		if _, problem := python(t, py, path, args[:]...); !strings.Contains(problem, want) {
			t.Errorf("%q: %q, want %q", args[1:], problem, want)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, problem := python(t, py, path, dir, "texts@v1.0", "--out", out); problem != "" {
		t.Errorf("writing a version out: %s", problem)
	}
	for _, name := range []string{"poems/one.txt", "nothing"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(b) != a.text("texts@v1.0:/"+name) {
			t.Errorf("%s was written as %q, %v", name, b, err)
		}
	}
	log, problem := python(t, py, path, dir, "texts@main", "--log")
	if problem != "" || !strings.Contains(string(log), v1.ID.String()) {
		t.Errorf("the log is %q: %s", log, problem)
	}
	refs, problem := python(t, py, path, dir)
	if problem != "" || !strings.Contains(string(refs), "texts@v1.0 "+v1.ID.String()) {
		t.Errorf("the refs are %q: %s", refs, problem)
	}
	if got, problem := python(t, py, path, dir, "texts@main", "poems/one.txt", "--verify"); problem != "" || len(got) == 0 {
		t.Errorf("a right file, verified: %q, %s", got, problem)
	}
	spoil(t, dir, a.text("texts@main:/poems/one.txt"))
	if got, problem := python(t, py, path, dir, "texts@main", "poems/one.txt", "--verify"); !strings.Contains(problem, "damaged chunk") {
		t.Errorf("a spoilt file, verified: %q, %s", got, problem)
	}
	addFeature(t, filepath.Join(dir, "root"), "later-thing")
	if _, problem := python(t, py, path, dir, "texts@main", "link"); !strings.Contains(problem, "a later release") {
		t.Errorf("unknown feature: %s", problem)
	}
}

// spoil changes one byte of a chunk that is stored as it is.
func spoil(t *testing.T, dir, content string) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(dir, "packs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range packs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, []byte(content))
		if at < 0 {
			continue
		}
		b[at] ^= 1
		if err := errors.Join(os.Remove(name), os.WriteFile(name, b, 0o600)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no pack holds %.40q", content)
}

// TestIndependentReaderAlone lets the script say what it needs where there is
// no zstd; a Python that can decompress needs nothing.
func TestIndependentReaderAlone(t *testing.T) {
	got, problem := python(t, interpreter(t), t.TempDir(), storeDir, "texts@main", "sparse.bin")
	if string(got) != sparse(9<<20) && !strings.Contains(problem, "zstd") {
		t.Errorf("%d bytes, %s", len(got), problem)
	}
}

// names lists the files of a version.
func (a *at) names(expr string) string {
	a.Helper()
	dir, _, err := repo.Open(a.ctx, a.store, expr)
	if err != nil {
		a.Fatal(err)
	}
	var b strings.Builder
	for e, err := range dir.Walk(a.ctx, tree.WalkOptions{}) {
		if err != nil {
			a.Fatal(err)
		}
		b.WriteString(e.Path + "\n")
	}
	return b.String()
}
