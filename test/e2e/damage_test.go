//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// question is something to ask a store, and the one right answer.
type question struct {
	args []string
	want string
}

// TestDamage flips bytes of every object of a store, cuts objects short and
// removes them. Whatever is asked then is answered rightly or refused with exit
// code 3, naming the damaged object; a wrong byte never gets out, neither
// directly nor through the daemon nor over S3.
func TestDamage(t *testing.T) {
	u := newUser(t)
	wc := u.in("r")
	rng := mathrand.New(mathrand.NewPCG(5, 6))
	big := make([]byte, 5<<20)
	for i := range big {
		big[i] = byte(rng.Uint32())
	}
	wc.write(map[string]string{"big": string(big), "small": "a small file\n", "d/e/f": "far down\n"})
	wc.dvx("init")
	wc.dvx("commit", "-m", "first")
	wc.write(map[string]string{"small": "another small file\n"})
	wc.dvx("commit", "-m", "second")
	sound := wc.path(".dvx", "store")

	var asked []question
	c := u.with("DVX_STORE", sound)
	for _, line := range []string{"cat r@main:/big", "cat r@main:/small r@main~1:/small", "cat r@main:/d/e/f", "ls -lR r@main", "log r@main --json", "diff r@main~1 r@main"} {
		args := strings.Fields(line)
		asked = append(asked, question{args, c.dvx(args...)})
	}
	objects := objectsOf(t, sound)
	refusals, answers := 0, 0
	for _, name := range objects {
		size := fileSize(t, filepath.Join(sound, name))
		hurts := map[string]func(string){
			"flip in its first chunks": func(p string) { flip(t, p, 30) },
			"flip in the middle":       func(p string) { flip(t, p, size/2) },
			"flip near the end":        func(p string) { flip(t, p, size-2) },
			"cut in half":              func(p string) { truncate(t, p, size/2) },
			"removed":                  func(p string) { remove(t, p) },
		}
		for what, hurt := range hurts {
			dir := filepath.Join(t.TempDir(), "store")
			copyFolder(t, sound, dir)
			hurt(filepath.Join(dir, name))
			refused := ask(t, u.with("DVX_STORE", dir), asked, name, what)
			refusals += refused
			answers += len(asked) - refused
			if refused == 0 && strings.HasPrefix(name, "packs/") && (what == "flip in its first chunks" || what == "removed") {
				t.Errorf("%s, %s: nobody noticed", name, what)
			}
			remove(t, dir)
		}
	}
	damagedThroughDaemon(t, u, sound, asked)
	figure(t, "%d objects damaged in 5 ways each: %d questions refused with exit code 3, %d answered rightly, 0 wrongly", len(objects), refusals, answers)
}

// ask asks all questions and returns how many were refused for the damage.
func ask(t *testing.T, c *user, asked []question, name, what string) int {
	t.Helper()
	refused := 0
	for _, q := range asked {
		r := c.tryDVX(q.args...)
		switch {
		case r.code == 0 && r.out == q.want:
		case r.code == 0:
			t.Errorf("%s, %s: %s answered wrongly", name, what, r.line)
		case !strings.HasPrefix(q.want, r.out):
			t.Errorf("%s, %s: %s was refused (%d) after bytes that are wrong", name, what, r.line, r.code)
		case r.code == codeDamage || name == "dvx.json" || name == "root" && what == "removed":
			refused++
			if base := filepath.Base(name); !strings.Contains(r.err, base) && !strings.Contains(r.err, name) && what != "removed" {
				t.Errorf("%s, %s: %s does not name the object: %s", name, what, r.line, r.err)
			}
		default:
			t.Errorf("%s, %s: %s: exit code %d, want %d: %s", name, what, r.line, r.code, codeDamage, r.err)
		}
	}
	return refused
}

// damagedThroughDaemon asks a daemon whose data packs are damaged.
func damagedThroughDaemon(t *testing.T, u *user, sound string, asked []question) {
	dir := filepath.Join(t.TempDir(), "store")
	copyFolder(t, sound, dir)
	packs := 0
	for _, name := range objectsOf(t, dir) {
		if p := filepath.Join(dir, name); strings.HasPrefix(name, "packs/") && fileSize(t, p) > 1<<20 {
			for at := int64(1000); at < fileSize(t, p); at += 1 << 18 {
				flip(t, p, at)
			}
			packs++
		}
	}
	if packs == 0 {
		t.Fatal("no pack of data to damage")
	}
	d := u.serve(dir)
	if n := ask(t, u.with("DVX_SERVER", d.GRPC), asked[:1], "packs/", "flipped, through the daemon"); n != 1 {
		t.Error("through the daemon nobody noticed")
	}
	if got := u.with("DVX_SERVER", d.GRPC).dvx("log", "r@main", "--json"); got != asked[4].want {
		t.Errorf("what is not damaged reads as %s", got)
	}
	c, _ := u.aws(d)
	to := u.path("read-over-s3")
	r := c.with("AWS_MAX_ATTEMPTS", "1").try("", tool(t, "aws"), "--endpoint-url", "http://"+d.S3, "s3", "cp", "s3://r/main/big", to)
	if _, err := os.Stat(to); r.code == 0 || err == nil {
		t.Errorf("a damaged file was read over S3 (exit code %d)", r.code)
	}
	d.stop()
}

// objectsOf returns the keys of all objects that a store's versions depend on.
func objectsOf(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		name := filepath.ToSlash(rel)
		if name != "lock" && !strings.HasPrefix(name, "roots/") && !strings.HasPrefix(name, "sessions/") && !strings.HasPrefix(name, "tmp/") {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 4 {
		t.Fatalf("objects of the store: %q, %v", names, err)
	}
	return names
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// flip changes one byte of a file, whatever its mode.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	b := []byte(readFile(t, path))
	b[at] ^= 0x40
	remove(t, path)
	writeFile(t, path, string(b))
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	b := readFile(t, path)
	remove(t, path)
	writeFile(t, path, b[:size])
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(fmt.Errorf("remove: %w", err))
	}
}
