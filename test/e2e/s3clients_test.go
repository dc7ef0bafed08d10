//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// TestS3Clients reads a store with stock clients: Debian's awscli, minio-go, and
// a client that knows nothing but a presigned URL.
func TestS3Clients(t *testing.T) {
	u := newUser(t)
	wc := u.in("images")
	wc.write(map[string]string{"a.txt": "a\n", "d/b.txt": "bb\n", "d/e/c with space & ü.txt": "ccc\n", "d/empty": ""})
	for i := range 2500 {
		wc.write(map[string]string{fmt.Sprintf("many/%04d", i): fmt.Sprint(i)})
	}
	wc.dvx("init")
	wc.dvx("commit", "-m", "first")
	d := u.serve(wc.path(".dvx", "store"))
	c := u.with("DVX_SERVER", d.GRPC)
	first := c.show("images@main").ID
	c.dvx("tag", "create", "images@v1", "images@main")

	t.Run("AWS", func(t *testing.T) { awsReads(t, u, d, wc) })
	t.Run("Presigned", func(t *testing.T) { presigned(t, u, d) })
	t.Run("Refused", func(t *testing.T) { s3Refusals(t, u, d) })
	t.Run("Minio", func(t *testing.T) { minioPages(t, u, d, first) })
	d.stop()
}

func awsReads(t *testing.T, u *user, d *daemon, wc *user) {
	_, aws := u.aws(d)
	if out := aws("s3", "ls"); !strings.Contains(out, " images\n") {
		t.Errorf("aws s3 ls:\n%s", out)
	}
	for bucket, want := range map[string][]string{
		"s3://images/":        {"PRE main/", "PRE v1/"},
		"s3://images/main/":   {"PRE d/", "PRE many/", " a.txt"},
		"s3://images/v1/d/":   {"PRE e/", " b.txt", " empty"},
		"s3://main.images/":   {"PRE d/", " a.txt"},
		"s3://main.images/d/": {"PRE e/", " b.txt"},
	} {
		out := aws("s3", "ls", bucket)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("aws s3 ls %s does not list %q:\n%s", bucket, w, out)
			}
		}
	}
	if got := aws("s3", "cp", "s3://images/main/d/e/c with space & ü.txt", "-"); got != "ccc\n" {
		t.Errorf("aws s3 cp: %q", got)
	}
	if got := aws("s3", "cp", "s3://main.images/d/b.txt", "-"); got != "bb\n" {
		t.Errorf("aws s3 cp from main.images: %q", got)
	}
	out := aws("s3", "sync", "s3://images/main/", u.path("synced"), "--no-progress")
	if n := strings.Count(out, "download:"); n != 2504 {
		t.Errorf("the first sync transferred %d files, want 2504", n)
	}
	if out := aws("s3", "sync", "s3://images/main/", u.path("synced"), "--no-progress"); out != "" {
		t.Errorf("the second sync transferred something:\n%.500s", out)
	}
	u.run("rm", "-rf", wc.path(".dvx-copy"))
	u.run("cp", "-r", wc.dir, u.path("plain"))
	u.run("rm", "-rf", u.path("plain", ".dvx"))
	sameFolders(t, u.path("plain"), u.path("synced"))
	wc.write(map[string]string{"d/b.txt": "another\n"})
	wc.dvx("commit", "-m", "second")
	out = aws("s3", "sync", "s3://images/main/", u.path("synced"), "--no-progress")
	if strings.Count(out, "download:") != 1 || !strings.Contains(out, "d/b.txt") {
		t.Errorf("after a commit of one file the sync transferred:\n%.500s", out)
	}
	figure(t, "aws s3 sync: 2504 files, then 0, then 1 after a commit of one file")
}

func presigned(t *testing.T, u *user, d *daemon) {
	_, aws := u.aws(d)
	url := strings.TrimSpace(aws("s3", "presign", "s3://images/v1/d/b.txt", "--expires-in", "3600"))
	get := func(url, span string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if span != "" {
			req.Header.Set("Range", span)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := get(url, ""); code != http.StatusOK || body != "bb\n" {
		t.Errorf("presigned: %d %q", code, body)
	}
	if code, body := get(url, "bytes=1-1"); code != http.StatusPartialContent || body != "b" {
		t.Errorf("presigned with a range: %d %q", code, body)
	}
	if code, body := get(strings.Replace(url, "b.txt", "empty", 1), ""); code != http.StatusForbidden {
		t.Errorf("a URL changed after signing: %d %q", code, body)
	}
}

// s3Refusals are requests that must fail, each with a code that clients know.
func s3Refusals(t *testing.T, u *user, d *daemon) {
	c, _ := u.aws(d)
	aws := func(c *user, args ...string) result {
		return c.try("", tool(t, "aws"), append([]string{"--endpoint-url", "http://" + d.S3}, args...)...)
	}
	for _, want := range []struct {
		c    *user
		code string
		args []string
	}{
		{c, "404", []string{"s3", "cp", "s3://images/main/nope", "-"}},
		{c, "NoSuchBucket", []string{"s3", "ls", "s3://nope/"}},
		{c, "NoSuchKey", []string{"s3api", "get-object", "--bucket", "images", "--key", "main/nope", "/dev/null"}},
		{c.with("AWS_SECRET_ACCESS_KEY", "wrong"), "SignatureDoesNotMatch", []string{"s3", "ls", "s3://images/"}},
		{c.with("AWS_ACCESS_KEY_ID", "nobody"), "InvalidAccessKeyId", []string{"s3", "ls", "s3://images/"}},
		{c, "AccessDenied", []string{"s3", "ls", "s3://images/", "--no-sign-request"}},
	} {
		r := aws(want.c, want.args...)
		if r.code == 0 || !strings.Contains(r.err, want.code) {
			t.Errorf("%s: exit code %d, want %s: %s", r.line, r.code, want.code, r.err)
		}
	}
	u.write(map[string]string{"up": "up\n"})
	if r := aws(c, "s3", "cp", u.path("up"), "s3://images/v1/up"); r.code == 0 || !strings.Contains(r.err, "MethodNotAllowed") {
		t.Errorf("%s: exit code %d, want a tag to be refused: %s", r.line, r.code, r.err)
	}
}

// minioPages lists with another client, page by page.
func minioPages(t *testing.T, u *user, d *daemon, commit string) {
	c, _ := u.aws(d)
	client, err := minio.New(d.S3, &minio.Options{
		Creds:        credentials.NewStaticV4(c.env["AWS_ACCESS_KEY_ID"], c.env["AWS_SECRET_ACCESS_KEY"], ""),
		BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v1 := range []bool{false, true} {
		var keys []string
		for o := range client.ListObjects(t.Context(), "images", minio.ListObjectsOptions{Prefix: commit + "/many/", Recursive: true, MaxKeys: 700, UseV1: v1}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			keys = append(keys, o.Key)
		}
		if len(keys) != 2500 || !slices.IsSorted(keys) {
			t.Errorf("V1 %v: %d keys by pages of 700, want 2500 in order", v1, len(keys))
		}
	}
	o, err := client.GetObject(t.Context(), "images", commit+"/many/0042", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(o); err != nil || string(b) != "42" {
		t.Errorf("many/0042 holds %q, %v", b, err)
	}
}
