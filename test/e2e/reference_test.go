//go:build e2e

package e2e

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// TestImportByReference makes files of the objects of a bucket without copying
// them, and reads them where they are: by dvx, by S3, in a pipeline. What was
// changed there is never given out as what was imported.
func TestImportByReference(t *testing.T) {
	s := newS3Service(t)
	client, err := minio.New("127.0.0.1:"+s.port, &minio.Options{Creds: credentials.NewStaticV4("key", "secret-of-the-test", ""), BucketLookup: minio.BucketLookupPath})
	if err != nil {
		t.Fatal(err)
	}
	// Sent as a stream of signed pieces, nothing at all would leave that server
	// with bytes that it takes for the beginning of the next request.
	whole := minio.PutObjectOptions{DisableContentSha256: true}
	put := func(key, content string) {
		t.Helper()
		if _, err := client.PutObject(t.Context(), "bucket", key, strings.NewReader(content), int64(len(content)), whole); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"a.txt": "a\n", "d/big": noise(9 << 20), "d/é & +%.txt": "odd\n", "empty": ""}
	for name, content := range files {
		put("raw/"+name, content)
	}
	put("raw-else", "begins with the prefix")
	foreign := s.user()
	u := foreign.with("DVX_STORE", foreign.path("store"))
	u.dvx("init", "--bare")
	u.dvx("repo", "create", "raw")
	u.dvx("import", "s3://bucket/raw", "raw@main:/in", "--by-reference")
	if n := diskUsage(t, u.path("store")); n > 1<<20 {
		t.Errorf("the store has %d bytes: the objects were copied", n)
	}
	for name, content := range files {
		if got := u.dvx("cat", "raw@main:/in/"+name); got != content {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(content))
		}
	}
	u.dvx("checkout", "raw@main", u.path("out"))
	for name, content := range files {
		if readFile(t, u.path("out", "in", name)) != content {
			t.Errorf("%s differs after a checkout", name)
		}
	}
	u.dvx("gc", "--yes", "--grace", "1h")
	u.dvx("fsck", "--read-data")
	referencesByS3(t, u, files)

	put("raw/a.txt", "b\n") // as long as before
	if err := client.RemoveObject(t.Context(), "bucket", "raw/d/big", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	d := u.serve(u.path("store"))
	err = minioClient(t, u, d).FGetObject(t.Context(), "main.raw", "in/a.txt", u.path("got"), minio.GetObjectOptions{})
	if code := minio.ToErrorResponse(err).Code; code != "InvalidObjectState" {
		t.Errorf("a changed object by S3: %q, %v", code, err)
	}
	d.stop()
	u.refused(codeDamage, []string{"s3://bucket/raw/a.txt", "has changed", "imported again"}, "cat", "raw@main:/in/a.txt")
	u.refused(codeDamage, []string{"s3://bucket/raw/d/big", "is gone"}, "cat", "raw@main:/in/d/big")
	nobody := u.with("AWS_ACCESS_KEY_ID", "", "AWS_SECRET_ACCESS_KEY", "")
	nobody.refused(codeDenied, []string{"s3://bucket/raw/a.txt"}, "cat", "raw@main:/in/a.txt")
	u.dvx("import", "s3://bucket/raw", "raw@main:/in", "--by-reference")
	if got := u.dvx("cat", "raw@main:/in/a.txt"); got != "b\n" {
		t.Errorf("imported again: %q", got)
	}
	u.refused(codeNotFound, []string{"no object"}, "import", "s3://bucket/nope", "raw@main", "--by-reference")
	u.refused(codeUsage, []string{"--by-reference"}, "import", "s3://bucket/raw", "raw@main")
}

// referencesByS3 reads references through a daemon, and in a pipeline.
func referencesByS3(t *testing.T, u *user, files map[string]string) {
	t.Helper()
	u.write(map[string]string{
		"p/p.yaml": spec("p", "raw", "/in/d", "p.sh"),
		"p/p.sh":   "md5sum < in/raw/in/d/big > out/sum\n",
	})
	u.dvx("pipeline", "apply", "-f", "p/p.yaml")
	d := u.serve(u.path("store"))
	c := u.with("DVX_SERVER", d.GRPC)
	c.wait("raw@main")
	if got, want := c.dvx("cat", "p@main:/sum"), fmt.Sprintf("%x  -\n", md5.Sum([]byte(files["d/big"]))); got != want {
		t.Errorf("a pipeline read %q, want %q", got, want)
	}
	client := minioClient(t, u, d)
	for name, content := range files {
		url, err := client.Presign(t.Context(), http.MethodGet, "main.raw", "in/"+name, time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.Get(url.String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !bytes.Equal(b, []byte(content)) || r.Header.Get("ETag") == "" {
			t.Errorf("%s by S3: %s, %d bytes, %v", name, r.Status, len(b), err)
		}
	}
	d.stop()
}

// diskUsage returns the bytes of all files below a folder.
func diskUsage(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
