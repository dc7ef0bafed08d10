package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is how a command line ended.
type outcome struct {
	out, err string
	code     int
}

// dvx runs a command line in a folder, as main does.
func dvx(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	return dvxIn(t, dir, "", args...)
}

// dvxIn is dvx with standard input.
func dvxIn(t *testing.T, dir, in string, args ...string) outcome {
	t.Helper()
	t.Chdir(dir)
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(in), &out, &errs)
	defer a.close()
	code := a.run(context.Background(), args)
	return outcome{out.String(), errs.String(), code}
}

// must runs a command line that has to work, and returns what it printed.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	o := dvx(t, dir, args...)
	if o.code != exitOK {
		t.Fatalf("dvx %s: exit code %d\n%s%s", strings.Join(args, " "), o.code, o.out, o.err)
	}
	return o.out
}

// fails runs a command line that has to fail with a code, and returns the error.
func fails(t *testing.T, code int, dir string, args ...string) string {
	t.Helper()
	o := dvx(t, dir, args...)
	if o.code != code {
		t.Fatalf("dvx %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), o.code, code, o.out, o.err)
	}
	return o.err
}

// isolate keeps the user's own settings out of a test.
func isolate(t *testing.T) {
	t.Helper()
	t.Setenv("DVX_STORE", "")
	t.Setenv("DVX_SERVER", "")
	t.Setenv("DVX_HOME", t.TempDir())
	t.Setenv("DVX_AUTHOR", "tester")
}

// write makes a file with its directories.
func write(t *testing.T, dir, path, text string) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read returns a file's text, "(none)" if it is not there.
func read(t *testing.T, dir, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if os.IsNotExist(err) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func remove(t *testing.T, dir, path string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(path))); err != nil {
		t.Fatal(err)
	}
}

// twoCopies returns two working copies of one branch at one version, which has
// the files one, two and dir/three.
func twoCopies(t *testing.T) (a, b string) {
	t.Helper()
	isolate(t)
	store := filepath.Join(t.TempDir(), "store")
	a, b = t.TempDir(), t.TempDir()
	must(t, a, "init", "--store", store, "--repo", "data")
	for _, p := range []string{"one", "two", "dir/three"} {
		write(t, a, p, "first "+p)
	}
	must(t, a, "commit", "-m", "first")
	must(t, b, "init", "--store", store, "--repo", "data")
	must(t, b, "checkout")
	return a, b
}
