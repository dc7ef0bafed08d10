//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// s3Case is a client that must pass all checks of checkVerbs.
type s3Case struct {
	name    string
	connect func(*s3User) s3Verbs
	keyMax  int // bytes of the longest key that it can send
}

// s3KeyMax is what S3 allows. s3fs looks for key/ and key_$folder$ too.
const (
	s3KeyMax   = 1024
	s3fsKeyMax = s3KeyMax - len("_$folder$")
)

var s3Cases = []s3Case{
	{"awscli", awscliVerbs, s3KeyMax},
	{"boto3", boto3Verbs, s3KeyMax},
	{"rclone", rcloneVerbs, s3KeyMax},
	{"s3cmd", s3cmdVerbs, s3KeyMax},
	{"mc", mcVerbs, s3KeyMax},
	{"minio", minioVerbs, s3KeyMax},
	{"awsgo", awsgoVerbs, s3KeyMax},
	{"awsjs", awsjsVerbs, s3KeyMax},
	{"s3fs", s3fsVerbs, s3fsKeyMax},
}

// s3Files are what clients send: the sizes at which they change how they send,
// and names that are easily spelt wrong.
func s3Files(keyMax int) map[string]string {
	rng := rand.NewChaCha8([32]byte{7})
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rng.Read(b) // never fails
		return string(b)
	}
	long := strings.Repeat("long name "+strings.Repeat("é", 95)+"/", 4) // 201 bytes a folder, which a disk can hold
	return map[string]string{
		"empty": "", "one": "1", "five MiB": random(5 << 20), "big/parts.bin": random(64 << 20),
		"odd/a b+c%41&d=e.txt": "odd", "odd/é日本.txt": "unicode", "odd/x": "x", "odd/x.d/y": "y",
		"odd/+": "plus", "odd/100%": "percent", "odd/a=b&c": "equals", " leading and trailing /~'(!)*": "marks",
		long + strings.Repeat("n", keyMax-len(long)): "long",
	}
}

// TestS3Matrix lets every client do all that it can, on a store in a folder and
// on one in a bucket, while garbage is collected and branches are sealed. What
// came by S3 is what a checkout holds.
func TestS3Matrix(t *testing.T) {
	for _, kind := range []string{"Folder", "Bucket"} {
		t.Run(kind, func(t *testing.T) {
			u, store := newUser(t), ""
			if kind == "Bucket" {
				u, store = newS3Service(t).user(), "s3://bucket/store"
			} else {
				store = u.path("store")
			}
			for _, keyMax := range []int{s3KeyMax, s3fsKeyMax} {
				for name, content := range s3Files(keyMax) {
					u.write(map[string]string{fmt.Sprintf("src%d/%s", keyMax, name): content})
				}
			}
			s3Matrix(t, u, store)
		})
	}
}

func s3Matrix(t *testing.T, u *user, store string) {
	direct := u.with("DVX_STORE", store)
	direct.dvx("init", "--bare")
	d := u.serve(store)
	var mu sync.Mutex
	var sent []s3Case
	again := map[string]func(*testing.T){}
	stop := collectBeside(t, direct, func() []string {
		mu.Lock()
		defer mu.Unlock()
		var branches []string
		for _, c := range sent {
			branches = append(branches, c.name+"@main")
		}
		return branches
	})
	began := time.Now()
	t.Run("clients", func(t *testing.T) {
		for _, c := range s3Cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if reason := mountable(); c.name == "s3fs" && reason != "" {
					t.Logf("not mountable here: %s", reason)
					return
				}
				s := s3As(t, u, d, c.name)
				v := c.connect(s)
				checkVerbs(s, v, c.keyMax, c.source(u), "main."+c.name)
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, c)
				if v.sync != nil && c.name != "s3fs" { // its mount has ended
					again[c.name] = func(t *testing.T) {
						s.t = t
						if n := v.sync(c.source(u), "main."+c.name); n != 0 {
							t.Errorf("a later sync sent %d files", n)
						}
					}
				}
			})
		}
		for _, p := range s3Programs {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.run(s3As(t, u, d, p.name), u.path(fmt.Sprint("src", s3KeyMax)))
			})
		}
	})
	took := time.Since(began)
	rounds := stop()
	for name, later := range again {
		t.Run("later/"+name, later)
	}
	c := u.with("DVX_SERVER", d.GRPC)
	for _, client := range sent {
		out := u.path("out-" + client.name)
		c.dvx("seal", client.name+"@main")
		c.dvx("checkout", client.name+"@main", out)
		u.run("rm", "-rf", out+"/.dvx")
		sameFolders(t, client.source(u), out)
		u.run("rm", "-rf", out)
	}
	d.stop()
	direct.dvx("fsck")
	figure(t, "%d clients on %s: all checks pass in %.0f s, beside %d collections and seals", len(sent)+len(s3Programs), strings.Split(store, ":")[0], took.Seconds(), rounds)
}

// collectBeside collects garbage and seals what branches returns, again and again,
// until stop is called, which returns how often.
func collectBeside(t *testing.T, u *user, branches func() []string) (stop func() int) {
	rounds := 0
	end := beside(t, 1, func(ctx context.Context, _ int) {
		for ; ctx.Err() == nil; rounds++ {
			if r := u.tryDVX("gc", "--yes", "--grace", "1h"); r.code != 0 {
				t.Errorf("%s: exit code %d: %s", r.line, r.code, r.err)
			}
			for _, b := range branches() {
				if r := u.tryDVX("seal", b); r.code != 0 {
					t.Errorf("%s: exit code %d: %s", r.line, r.code, r.err)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	return func() int {
		end()
		return rounds
	}
}

// source returns the folder with what the client sends.
func (c s3Case) source(u *user) string { return u.path(fmt.Sprint("src", c.keyMax)) }

// checkVerbs is what every client must pass, as far as it can ask for it.
func checkVerbs(s *s3User, v s3Verbs, keyMax int, src, bucket string) {
	t, files := s.t, s3Files(keyMax)
	v.mb(bucket)
	if v.sync != nil {
		if n := v.sync(src, bucket); n != len(files) {
			t.Errorf("the first sync sent %d files, want %d", n, len(files))
		}
		if n := v.sync(src, bucket); n != 0 {
			t.Errorf("the second sync sent %d files", n)
		}
	} else {
		for name := range files {
			v.up(filepath.Join(src, name), bucket, name)
		}
	}
	if v.check != nil {
		v.check(src, bucket)
	}
	checkBack(s, v, files, src, bucket)
	names := slices.Sorted(maps.Keys(files))
	wantKeys(t, v, bucket, "", names)
	wantKeys(t, v, bucket, "odd/x.d/", []string{"odd/x.d/y"})
	checkObjects(s, v, bucket)
	wantKeys(t, v, bucket, "", names)
}

// checkBack fetches all and compares it with what was sent.
func checkBack(s *s3User, v s3Verbs, files map[string]string, src, bucket string) {
	t, back := s.t, s.u.in("back").dir
	t.Helper()
	if v.back != nil {
		if n := v.back(bucket, back); n != len(files) {
			t.Errorf("the first sync back fetched %d files, want %d", n, len(files))
		}
		if n := v.back(bucket, back); n != 0 {
			t.Errorf("the second sync back fetched %d files", n)
		}
	} else {
		for name := range files {
			file := filepath.Join(back, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			v.down(bucket, name, file)
		}
	}
	sameFolders(t, src, back)
	if err := os.RemoveAll(back); err != nil {
		t.Fatal(err)
	}
}

// wantKeys fails unless the client lists these keys below a prefix.
func wantKeys(t *testing.T, v s3Verbs, bucket, prefix string, want []string) {
	t.Helper()
	got := slices.DeleteFunc(v.list(bucket, prefix), func(key string) bool { return strings.HasSuffix(key, "/") })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("below %q are listed %d keys\n%.2000q\nwant %d\n%.2000q", prefix, len(got), got, len(want), want)
	}
}

// checkObjects writes one key three times, reads a part of it and by a URL,
// copies and removes it.
func checkObjects(s *s3User, v s3Verbs, bucket string) {
	t := s.t
	const key = "odd/new & 50%+1=é.txt"
	const contents = 3
	for i := range contents {
		s.u.write(map[string]string{"new": fmt.Sprintf("content %d", i)})
		v.up(s.u.path("new"), bucket, key)
	}
	if v.versions != nil {
		if ids := v.versions(bucket, key); len(ids) != contents {
			t.Errorf("%d versions of what was written %d times: %q", len(ids), contents, ids)
		}
	}
	if v.part != nil {
		if got := v.part(bucket, key, 3, 8); got != "tent 2" {
			t.Errorf("bytes 3 to 8 are %q", got)
		}
	}
	if v.presign != nil {
		url := v.presign(bucket, key)
		if got := s.run("curl", "-sS", "-f", url).out; got != "content 2" {
			t.Errorf("curl with the URL that was presigned: %q", got)
		}
		if got := s.run("curl", "-sS", "-f", "-r", "3-8", url).out; got != "tent 2" {
			t.Errorf("a range by curl: %q", got)
		}
		if r := s.u.try("", tool(t, "curl"), "-sS", "-f", strings.Replace(url, "new", "other", 1)); r.code == 0 {
			t.Error("a URL that was changed after signing is good for something")
		}
	}
	v.copy(bucket, key, "odd/copied to here")
	v.down(bucket, "odd/copied to here", s.u.path("copy"))
	if got := readFile(t, s.u.path("copy")); got != "content 2" {
		t.Errorf("the copy holds %q", got)
	}
	v.rm(bucket, "odd/copied to here")
	v.rm(bucket, key)
}
