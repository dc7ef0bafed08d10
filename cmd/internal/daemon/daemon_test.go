package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckListen(t *testing.T) {
	for at, want := range map[string]error{
		"":               nil,
		"127.0.0.1:7777": nil,
		"localhost:0":    nil,
		"[::1]:7777":     nil,
		"127.8.8.8:1":    nil,
		":7777":          fs.ErrPermission,
		"0.0.0.0:7777":   fs.ErrPermission,
		"[::]:7777":      fs.ErrPermission,
		"10.0.0.1:7777":  fs.ErrPermission,
		"example:7777":   fs.ErrPermission,
		"7777":           fs.ErrInvalid,
	} {
		if err := checkListen(at, false); !errors.Is(err, want) {
			t.Errorf("listen at %q: %v, want %v", at, err, want)
		}
		if err := checkListen(at, true); err != nil {
			t.Errorf("listen at %q, insisted: %v", at, err)
		}
	}
}

func TestAnnounce(t *testing.T) {
	dir := t.TempDir()
	file, canary := filepath.Join(dir, "ready"), filepath.Join(dir, "canary")
	if err := os.WriteFile(canary, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(canary, file); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	want := Info{Store: "s", GRPC: "127.0.0.1:1", S3: "127.0.0.1:2", KeyFile: "k", PID: 3}
	if err := announce(&out, file, want); err != nil {
		t.Fatal(err)
	}
	var got Info
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &got) != nil || got != want {
		t.Errorf("ready file holds %s (%v)", b, err)
	}
	if b, _ := os.ReadFile(canary); string(b) != "mine" {
		t.Error("the ready file was written through a link")
	}
	if !strings.Contains(out.String(), "dvx --server 127.0.0.1:1") {
		t.Errorf("says %q", out.String())
	}
	if rest, _ := filepath.Glob(filepath.Join(dir, ".dvx-ready-*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
}
