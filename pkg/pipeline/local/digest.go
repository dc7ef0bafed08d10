package local

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/worker"
)

// digests hashes programs, and remembers the hashes of those that did not
// change. It may be used concurrently.
type digests struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[string]known
}

// known is a program's hash and what the hashed file was.
type known struct {
	version worker.FileVersion
	sum     string
}

// restTime is how long a file must have been left alone before its hash is
// remembered: longer than the tick of any file system's clock, within which a
// second change would not show.
const restTime = 3 * time.Second

// of returns the digest of a program.
func (d *digests) of(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	version := worker.VersionOf(info)
	d.mu.Lock()
	k, ok := d.known[file]
	d.mu.Unlock()
	if ok && k.version == version {
		return k.sum, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := blake3.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read program: %w", err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if version.Changed == 0 || d.now().Sub(time.Unix(0, version.Changed)) < restTime {
		return sum, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[string]known{}
	}
	d.known[file] = known{version: version, sum: sum}
	return sum, nil
}

// hostFingerprint names the user space that programs find here: the system's
// release and this installation of it, by its machine ID or else the host's
// name.
func hostFingerprint() string {
	h := blake3.NewDeriveKey("dvx 2026-11 v1 host fingerprint")
	_, _ = fmt.Fprintf(h, "%s/%s\n", runtime.GOOS, runtime.GOARCH)
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		release = nil
	}
	_, _ = fmt.Fprintf(h, "release %d\n%s\n", len(release), release)
	machine, err := os.ReadFile("/etc/machine-id")
	if id := strings.TrimSpace(string(machine)); err == nil && len(id) == 32 {
		_, _ = fmt.Fprintf(h, "machine %s\n", id)
	} else if name, err := os.Hostname(); err == nil {
		_, _ = fmt.Fprintf(h, "host %s\n", name)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
