package worktree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadConfig(dir); !errors.Is(err, ErrNoWorkingCopy) {
		t.Errorf("load without config: %v", err)
	}
	want := Config{Store: "/data/store", Repo: "images", Branch: "main", Base: "00ff"}
	for _, c := range []Config{{Server: "localhost:1", Repo: "r", Branch: "b"}, want} {
		if err := SaveConfig(dir, c); err != nil {
			t.Fatal(err)
		}
		got, err := LoadConfig(dir)
		if err != nil || got != c {
			t.Errorf("loaded %+v, %v; want %+v", got, err, c)
		}
	}
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if at, err := Find(deep); err != nil || at != dir {
		t.Errorf("found %s, %v; want %s", at, err, dir)
	}
	if _, err := Find(filepath.Dir(dir)); !errors.Is(err, ErrNoWorkingCopy) {
		t.Errorf("found a working copy above: %v", err)
	}
	names, err := os.ReadDir(filepath.Join(dir, FolderName))
	if err != nil || len(names) != 1 {
		t.Errorf("folder holds %v, %v; want the config only", names, err)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         ``,
		"no json":       `store: x`,
		"unknown field": `{"version":1,"store":"x","repo":"r","branch":"b","hook":"rm"}`,
		"version":       `{"version":2,"store":"x","repo":"r","branch":"b"}`,
		"two places":    `{"version":1,"store":"x","server":"y","repo":"r","branch":"b"}`,
		"no place":      `{"version":1,"repo":"r","branch":"b"}`,
		"no repo":       `{"version":1,"store":"x","branch":"b"}`,
		"no branch":     `{"version":1,"store":"x","repo":"r"}`,
		"more text":     `{"version":1,"store":"x","repo":"r","branch":"b"}{}`,
	} {
		if _, err := decodeConfig([]byte(text)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v, want fs.ErrInvalid", name, err)
		}
	}
	if err := SaveConfig(t.TempDir(), Config{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("saved an empty config: %v", err)
	}
}
