//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fullDisk is what happens to a store on a disk of 8 MiB: it runs in a mount
// namespace of its own. Each line that it prints is NAME=VALUE.
const fullDisk = `set -u
mount -t tmpfs -o size=8m none "$DISK"
export DVX_STORE="$DISK/store"
"$DVX" init --bare "$DVX_STORE" >/dev/null && "$DVX" repo create r >/dev/null && "$DVX" put small r@main:/small >/dev/null
echo "made=$?"
"$DVX" put big r@main:/big 2>err; echo "full=$?"
echo "said=$(cat err)"
echo "small=$("$DVX" cat r@main:/small)"
echo "versions=$("$DVX" log --oneline r@main | wc -l)"
"$DVXD" serve --listen 127.0.0.1:0 --s3-listen '' --ready-file ready --no-pipelines >/dev/null 2>log & daemon=$!
for i in $(seq 18000); do [ -e ready ] && break; sleep 0.02; done
server=$(sed 's/.*"grpc":"\([^"]*\)".*/\1/' ready)
"$DVX" --server "$server" put big r@main:/big 2>err; echo "fullserver=$?"
echo "smallserver=$("$DVX" --server "$server" cat r@main:/small)"
mount -o remount,size=64m "$DISK"
"$DVX" --server "$server" put big r@main:/big >/dev/null 2>err; echo "afterserver=$?"
kill $daemon; wait $daemon
"$DVX" put big r@main:/again >/dev/null; echo "after=$?"
"$DVX" cat r@main:/again | cmp - big; echo "equal=$?"
echo "leftovers=$(ls "$DVX_STORE/tmp" | wc -l)"
`

// TestFullDisk fills the disk under a store: the put fails with exit code 8, what
// was there stays readable, and once there is room the same put succeeds.
func TestFullDisk(t *testing.T) {
	u := newUser(t)
	u.write(map[string]string{"small": "small\n", "big": noise(20 << 20), "disk.sh": fullDisk})
	u.in("disk")
	u = u.with("DVX", binary(t, "dvx"), "DVXD", binary(t, "dvxd"), "DISK", u.path("disk"))
	if err := exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt").Run(); err != nil {
		t.Skipf("this system lets nobody mount a small disk (%v); TestFailingDisk has the disk fail in another way", err)
	}
	got := map[string]string{}
	for line := range strings.Lines(u.run("unshare", "-rm", "sh", "disk.sh")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		got[name] = value
	}
	for name, want := range map[string]string{
		"made": "0", "full": strconv.Itoa(codeNoSpace), "small": "small", "versions": "1",
		"fullserver": strconv.Itoa(codeNoSpace), "smallserver": "small", "afterserver": "0", "after": "0", "equal": "0", "leftovers": "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if !strings.Contains(got["said"], "no space left") {
		t.Errorf("a full disk is told of as %q", got["said"])
	}
	figure(t, "a full disk: exit code %s (%s), nothing lost, the same put succeeds once there is room", got["full"], got["said"])
}

// TestFailingDisk lets syncs of a put fail, of files and of each folder, with a
// full disk and with a broken one: the put is refused, or its outcome is said
// to be unknown, and the branch is at the old or the new version, whole.
func TestFailingDisk(t *testing.T) {
	u := newStore(t)
	places := []string{"", ".", "packs", "idx", "roots", "sessions"}
	codes, injected := map[int]int{}, map[string]int{}
	for _, errno := range []string{"ENOSPC", "EIO"} {
		for _, place := range places {
			for n := range 6 { // strace counts by thread, so which sync it is differs
				if failingSync(t, u, errno, place, n+1, codes) {
					injected[place]++
				}
			}
		}
	}
	for _, place := range places {
		if injected[place] == 0 {
			t.Errorf("no sync of %q failed: the test shows less than it should", place)
		}
	}
	if codes[codeNoSpace] == 0 {
		t.Errorf("no failed sync gave exit code %d: %v", codeNoSpace, codes)
	}
	u.dvx("put", "two", "r@main:/after")
	figure(t, "failed syncs by place %v: exit codes %v, never half a version", injected, codes)
}

// failingSync puts a file while a sync fails, the nth of a thread, at a place if
// one is given, and reports whether one did.
func failingSync(t *testing.T, u *user, errno, place string, n int, codes map[int]int) bool {
	t.Helper()
	path := fmt.Sprintf("/%s/%d%s", errno, n, strings.Trim(place, "."))
	before := u.history("r@main")
	trace := u.path("trace")
	args := []string{"-f", "-qq", "-o", trace, "-e", "trace=fsync,fdatasync", "-e", fmt.Sprintf("inject=fsync,fdatasync:error=%s:when=%d", errno, n)}
	if place != "" {
		args = append(args, "-P", filepath.Join(u.path("store"), place))
	}
	u.write(map[string]string{"new": path})
	r := u.try("", tool(t, "strace"), append(args, binary(t, "dvx"), "put", "new", "r@main:"+path)...)
	if !strings.Contains(readFile(t, trace), "(INJECTED)") {
		if r.code != 0 {
			t.Errorf("%s without a failure: exit code %d: %s", r.line, r.code, r.err)
		}
		return false
	}
	codes[r.code]++
	after := u.history("r@main")
	same := len(after) == len(before) && after[0].ID == before[0].ID
	done := len(after) == len(before)+1 && after[1].ID == before[0].ID && u.dvx("cat", "r@main:"+path) == path
	switch {
	case r.code == codeNoSpace && same:
	case r.code == codeUnknown && (same || done): // and says so
	case r.code == 0 && done: // what failed was made good, or was only the tidying up
	default:
		t.Errorf("sync %d of %q fails with %s: exit code %d, %d versions before and %d after: %s", n, place, errno, r.code, len(before), len(after), r.err)
	}
	return true
}

// noise returns bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}
