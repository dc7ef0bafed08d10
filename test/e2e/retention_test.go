//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// TestRetentionOverS3 gives versions up under a daemon: an S3 client lists the
// versions of an object as before, and reads those that are kept.
func TestRetentionOverS3(t *testing.T) {
	const versions, kept = 5, 2
	u := newUser(t)
	store := u.path("store")
	u.dvx("init", "--bare", store)
	direct := u.with("DVX_STORE", store)
	direct.dvx("repo", "create", "r")
	d := u.serve(store)
	client := minioClient(t, u, d)
	text := func(i int) string { return fmt.Sprintf("version %d", i) }
	for i := range versions {
		_, err := client.PutObject(t.Context(), "main.r", "dir/f", strings.NewReader(text(i)), int64(len(text(i))), minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		direct.dvx("seal", "r@main")
	}
	all := listVersions(t, client)
	if len(all) != versions {
		t.Fatalf("%d versions are listed before anything expires", len(all))
	}
	u.with("DVX_SERVER", d.GRPC).dvx("retention", "set", "r@main", "--last", fmt.Sprint(kept))
	if out := u.with("DVX_SERVER", d.GRPC).dvx("retention", "show"); !strings.Contains(out, "the last 2") {
		t.Errorf("retention through the daemon: %s", out)
	}
	direct.dvx("gc", "--yes", "--keep-undo", "0d", "--now")
	listed := map[string]bool{}
	for _, v := range listVersions(t, client) {
		listed[v] = true
	}
	read := func(version string) (string, error) {
		o, err := client.GetObject(t.Context(), "main.r", "dir/f", minio.GetObjectOptions{VersionID: version})
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(o)
		return string(b), err
	}
	for i, v := range all { // the newest first
		got, err := read(v)
		switch {
		case i < kept && (err != nil || got != text(versions-1-i) || !listed[v]):
			t.Errorf("version %d: %q, %v, listed %v", i, got, err, listed[v])
		case i >= kept && (err == nil || minio.ToErrorResponse(err).StatusCode != 404 || listed[v]):
			t.Errorf("version %d has expired: %q, %v, listed %v", i, got, err, listed[v])
		}
	}
	if len(listed) != kept {
		t.Errorf("%d versions are listed, want %d", len(listed), kept)
	}
	d.stop()
	direct.dvx("fsck", "--read-data")
}

// listVersions lists the versions of all objects of main.r, newest first.
func listVersions(t *testing.T, client *minio.Client) []string {
	t.Helper()
	var ids []string
	for o := range client.ListObjects(t.Context(), "main.r", minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		ids = append(ids, o.VersionID)
	}
	return ids
}
