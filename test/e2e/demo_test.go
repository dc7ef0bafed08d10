//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// demoMax is README's promise.
const demoMax = 15 * time.Second

// TestFreshMachine runs README's first command as somebody who has Go and
// nothing else: an empty home, a PATH with go and the system's own commands. It
// ends within 15 s after the build and leaves nothing behind.
func TestFreshMachine(t *testing.T) {
	u := newUser(t).with("PATH", filepath.Join(strings.TrimSpace(goEnv(t, "GOROOT")), "bin")+":/usr/bin:/bin")
	u.dir = strings.TrimSpace(moduleRoot(t))
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN"} {
		if v := strings.TrimSpace(goEnv(t, name)); v != "" {
			u.env[name] = v
		}
	}
	u.env["CGO_ENABLED"] = "0"
	u.run("go", "run", "./cmd/dvx", "version") // the build
	before := leftovers(t, u)
	r := u.try("", "go", "run", "./cmd/dvx", "demo")
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", r.line, r.code, r.out, r.err)
	}
	if r.took > demoMax {
		t.Errorf("the demo took %v, want at most %v", r.took, demoMax)
	}
	for _, word := range []string{"dvx init", "dvx commit", "dvx pipeline apply", "dvx wait", "dvx job list", "dvx diff", "s3 cp"} {
		if !strings.Contains(r.out, word) {
			t.Errorf("the demo does not show %q:\n%s", word, r.out)
		}
	}
	if after := leftovers(t, u); after != before {
		t.Errorf("the demo left something behind: before\n%s\nafter\n%s", before, after)
	}
	figure(t, "go run ./cmd/dvx demo: %v after the build, nothing left behind", r.took.Round(10*time.Millisecond))
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// leftovers lists all files of the user's home, but for what go itself keeps.
func leftovers(t testing.TB, u *user) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(u.env["HOME"], func(p string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), "go-build") || filepath.Base(p) == "telemetry" {
			return filepath.SkipDir
		}
		b.WriteString(p + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
