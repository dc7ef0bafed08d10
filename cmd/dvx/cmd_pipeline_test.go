package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/dvx-io/dvx/pkg/tree"
)

func TestCodeDirStaysInside(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"specs/src", "secret"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"out": "../secret", "abs": filepath.Join(top, "secret"), "in": "src", "up": ".."} {
		if err := os.Symlink(target, filepath.Join(top, "specs", name)); err != nil {
			t.Fatal(err)
		}
	}
	spec := filepath.Join(top, "specs", "a.yaml")
	for path, ok := range map[string]bool{"": true, ".": true, "src": true, "in": true, "out": false, "abs": false, "up": false, "src/../out": false} {
		dir, err := codeDir(spec, path)
		if ok != (err == nil) {
			t.Errorf("%q: %s, %v", path, dir, err)
		}
		if err != nil && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v is no fs.ErrInvalid", path, err)
		}
	}
	if _, err := codeDir(spec, "gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestWithoutSpec(t *testing.T) {
	edits := []tree.Edit{{Path: "a.yaml"}, {Path: "a.sh"}, {Path: "sub/a.yaml"}, {Path: "log/x"}, {Path: "log/y/z"}}
	left := withoutSpec(edits, "specs/a.yaml", "specs")
	if len(left) != 4 || left[0].Path != "a.sh" {
		t.Errorf("left %v", left)
	}
	left, err := without(left, []string{"/log"})
	if err != nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := without(left, []string{"["}); err == nil {
		t.Error("a broken glob is accepted")
	}
}
