//go:build e2e

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
)

// TestPurgeLeavesNothing purges a path that many versions had: under a branch,
// a tag, a branch that was set back, as the output of a pipeline, and in an open
// commit that was sealed. After a collection no object has the bytes, every pack
// decoded; the other files are as they were.
func TestPurgeLeavesNothing(t *testing.T) {
	u := newUser(t)
	store := u.path("store")
	u.dvx("init", "--bare", store)
	u = u.with("DVX_STORE", store)
	// Noise, so that no part of it is anywhere by chance; larger than a chunk.
	big := noise(4 << 20)
	secrets := []string{big[:3<<20], big[3<<20:][:5000], big[3<<20+5000:][:4999]}
	u.write(map[string]string{
		"public":         "public\n",
		"copy/copy.yaml": "pipeline: copy\ntransform:\n  cmd: [/bin/sh, -c, 'cp in/words/* out/']\ninput:\n  repo: words\n  glob: \"/*\"\n",
	})
	u.dvx("repo", "create", "words")
	u.dvx("put", "public", "words@main:/public")
	for i, s := range secrets {
		u.write(map[string]string{"secret": s})
		if i == 2 {
			u.dvx("put", "--open", "secret", "words@main:/secret")
			u.dvx("seal", "words@main")
			continue
		}
		u.dvx("put", "secret", "words@main:/secret")
		if i == 0 {
			u.dvx("tag", "create", "words@v1", "words@main")
		}
	}
	u.dvx("pipeline", "apply", "-f", "copy/copy.yaml")
	u.dvx("run")
	u.dvx("branch", "create", "words@side", "--from", "words@main")
	u.dvx("branch", "reset", "words@side", "words@main~2", "--yes")
	for i, s := range secrets {
		if n := holding(t, store, s[100:164]); n == 0 {
			t.Fatalf("secret %d is in no object: the test looks in the wrong place", i)
		}
	}
	if out := u.dvx("purge", "words:/secret", "--everywhere", "--yes"); !strings.Contains(out, "3 contents") {
		t.Errorf("purge says %s", out)
	}
	u.dvx("gc", "--yes", "--now")
	objects := 0
	for i, s := range secrets {
		for at := 0; at+64 <= len(s); at += max(1, len(s)/8) {
			if n := holding(t, store, s[at:at+64]); n != 0 {
				t.Errorf("secret %d, from byte %d: %d objects have it", i, at, n)
			}
		}
	}
	_ = filepath.WalkDir(store, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			objects++
		}
		return nil
	})
	for _, ref := range []string{"words@main", "words@v1", "words@side", "words@main~1"} {
		if got := u.dvx("cat", ref+":/public"); got != "public\n" {
			t.Errorf("%s: public is %q", ref, got)
		}
		u.refused(codeNotFound, nil, "cat", ref+":/secret")
	}
	if got := u.dvx("cat", "copy@main:/public"); got != "public\n" {
		t.Errorf("output: public is %q", got)
	}
	u.refused(codeNotFound, nil, "cat", "copy@main:/secret")
	u.dvx("fsck", "--read-data")
	figure(t, "purge and gc: none of %d objects, every pack decoded, has any of 3 secrets", objects)
}

// holding counts the objects of a store that have the bytes, as they lie there
// or in a chunk.
func holding(t *testing.T, store, needle string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(store, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), needle) {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := disk.Open(t.Context(), store, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	packs, err := pack.New(objects, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer packs.Close()
	for info, err := range objects.List(t.Context(), pack.PackPrefix, "") {
		found := false
		if err == nil {
			err = packs.ReadChunks(t.Context(), info.Key, func(*pack.Entry) (bool, error) { return true, nil },
				func(_ *pack.Entry, plain []byte) error {
					found = found || strings.Contains(string(plain), needle)
					return nil
				})
		}
		if err != nil {
			t.Fatal(err)
		}
		if found {
			n++
		}
	}
	return n
}
