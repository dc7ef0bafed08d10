package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// timeMax is how long the tests may take to notice.
const timeMax = 5 * time.Minute

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	pattern := flags.String("run", "", "only mutants whose name matches this expression")
	if err := flags.Parse(args); err != nil {
		return err
	}
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dvx-mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var errs []error
	for _, m := range mutants() {
		if !only.MatchString(m.name) {
			continue
		}
		start := time.Now()
		by, err := m.hunt(filepath.Join(dir, m.name))
		verdict := "caught by " + by
		if err != nil {
			verdict = "SURVIVED"
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		_, _ = fmt.Fprintf(out, "%-16s %5.1f s  %s (off: %s)\n", m.name, time.Since(start).Seconds(), verdict, m.rule)
	}
	return errors.Join(errs...)
}

// hunt runs the tests on the mutant and returns the first that fails.
func (m *mutant) hunt(dir string) (caughtBy string, err error) {
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeMax)
	defer cancel()
	args := append([]string{"test", "-overlay", overlay, "-count=10", "-timeout=2m", "-failfast", "-run", m.run}, m.packages...)
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	failed := regexp.MustCompile(`(?m)^--- FAIL: (\w+)`).FindSubmatch(out)
	switch {
	case err == nil && bytes.Contains(out, []byte("no tests to run")):
		return "", fmt.Errorf("there is no test %s", m.run)
	case err == nil:
		return "", fmt.Errorf("go %s passes", strings.Join(args, " "))
	case ctx.Err() != nil:
		return "", fmt.Errorf("no test noticed within %v", timeMax)
	case failed == nil:
		return "", fmt.Errorf("the tests did not run, which proves nothing: %w\n%s", err, out)
	}
	return string(failed[1]), nil
}

// overlay writes the changed files and the list of them that go build takes.
func (m *mutant) overlay(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, c := range m.cuts {
		text, ok := texts[c.file]
		if !ok {
			b, err := os.ReadFile(filepath.FromSlash(c.file))
			if err != nil {
				return "", fmt.Errorf("run it in the module's folder: %w", err)
			}
			text = string(b)
		}
		if n := strings.Count(text, c.old); n != 1 {
			return "", fmt.Errorf("%s has changed: %q is there %d times; bring mutants.go up to date", c.file, c.old, n)
		}
		texts[c.file] = strings.Replace(text, c.old, c.new, 1)
	}
	var list struct{ Replace map[string]string }
	list.Replace = map[string]string{}
	for file, text := range texts {
		abs, err := filepath.Abs(filepath.FromSlash(file))
		if err != nil {
			return "", err
		}
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		list.Replace[abs] = copied
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}
