//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Files are what clients send: the sizes at which they change how they send,
// and names that are easily spelt wrong.
func s3Files(t *testing.T) map[string]string {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	return map[string]string{
		"empty": "", "one": "1", "five MiB": random(5 << 20), "big/parts.bin": random(64 << 20),
		"odd/a b+c%41&d=e.txt": "odd", "odd/é日本.txt": "unicode", "odd/x": "x", "odd/x.d/y": "y",
	}
}

// TestS3Writes sends the same files with stock clients, twice: the second time
// nothing is to be sent. What came by S3 is what a checkout holds.
func TestS3Writes(t *testing.T) {
	u := newUser(t)
	u.dvx("init", "--bare", u.path("store"))
	d := u.serve(u.path("store"))
	files := s3Files(t)
	for name, content := range files {
		u.write(map[string]string{"src/" + name: content})
	}
	t.Run("AWS", func(t *testing.T) { awsWrites(t, u, d) })
	t.Run("S3cmd", func(t *testing.T) { s3cmdWrites(t, u, d) })
	t.Run("Rclone", func(t *testing.T) { rcloneWrites(t, u, d) })
	t.Run("Boto3", func(t *testing.T) { boto3Writes(t, u, d) })
	t.Run("Restic", func(t *testing.T) { resticBackup(t, u, d) })
	t.Run("Minio", func(t *testing.T) { minioWrites(t, u, d, files) })
	c := u.with("DVX_SERVER", d.GRPC)
	for _, branch := range []string{"awscli@main", "rclone@main"} {
		out := u.path("out-" + strings.TrimSuffix(branch, "@main"))
		c.dvx("checkout", branch, out)
		u.run("rm", "-rf", out+"/.dvx")
		sameFolders(t, u.path("src"), out)
	}
	d.stop()
}

func awsWrites(t *testing.T, u *user, d *daemon) {
	_, aws := u.aws(d)
	aws("s3", "mb", "s3://main.awscli")
	if n := strings.Count(aws("s3", "sync", "--no-progress", u.path("src"), "s3://main.awscli/"), "upload:"); n != len(s3Files(t)) {
		t.Errorf("the first sync sent %d files", n)
	}
	if out := aws("s3", "sync", "--no-progress", u.path("src"), "s3://main.awscli/"); out != "" {
		t.Errorf("the second sync sent something:\n%.500s", out)
	}
	aws("s3", "sync", "--no-progress", "s3://awscli/main/", u.path("awsback"))
	sameFolders(t, u.path("src"), u.path("awsback"))
	aws("s3", "cp", "--no-progress", "s3://main.awscli/big/parts.bin", "s3://main.awscli/copy/parts.bin")
	aws("s3", "mv", "--no-progress", "s3://main.awscli/copy/parts.bin", "s3://main.awscli/moved")
	if out := aws("s3", "cp", "s3://main.awscli/moved", "-"); out != readFile(t, u.path("src", "big/parts.bin")) {
		t.Error("the moved copy differs")
	}
	aws("s3", "rm", "s3://main.awscli/moved")
	out := aws("s3api", "list-object-versions", "--bucket", "main.awscli", "--prefix", "moved", "--query", "length(Versions)", "--output", "text")
	if strings.TrimSpace(out) != "1" {
		t.Errorf("versions of what was removed: %s", out)
	}
	url := strings.TrimSpace(aws("s3", "presign", "s3://main.awscli/one"))
	if got := u.run(tool(t, "curl"), "-sf", url); got != "1" {
		t.Errorf("curl with a presigned URL: %q", got)
	}
	if got := u.run(tool(t, "curl"), "-sf", "-r", "1-3", strings.TrimSpace(aws("s3", "presign", "s3://main.awscli/odd/é日本.txt"))); got != "nic" {
		t.Errorf("a range by curl: %q", got)
	}
}

func s3cmdWrites(t *testing.T, u *user, d *daemon) {
	c, _ := u.aws(d)
	u.write(map[string]string{"s3cfg": fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = False\n",
		c.env["AWS_ACCESS_KEY_ID"], c.env["AWS_SECRET_ACCESS_KEY"], d.S3, d.S3)})
	s3cmd := func(args ...string) string {
		t.Helper()
		return u.run(tool(t, "s3cmd"), append([]string{"-c", u.path("s3cfg"), "--no-progress"}, args...)...)
	}
	s3cmd("mb", "s3://main.s3cmd")
	if n := strings.Count(s3cmd("sync", u.path("src")+"/", "s3://main.s3cmd/"), "upload:"); n != len(s3Files(t)) {
		t.Errorf("the first sync sent %d files", n)
	}
	if out := s3cmd("sync", u.path("src")+"/", "s3://main.s3cmd/"); strings.Contains(out, "upload:") {
		t.Errorf("the second sync sent something:\n%.500s", out)
	}
	s3cmd("cp", "s3://main.s3cmd/one", "s3://main.s3cmd/two")
	s3cmd("get", "s3://main.s3cmd/big/parts.bin", u.path("s3cmd.bin"))
	if readFile(t, u.path("s3cmd.bin")) != readFile(t, u.path("src", "big/parts.bin")) {
		t.Error("s3cmd get: the file differs")
	}
	s3cmd("del", "-r", "-f", "s3://main.s3cmd/")
	s3cmd("rb", "s3://main.s3cmd")
}

func rcloneWrites(t *testing.T, u *user, d *daemon) {
	c, _ := u.aws(d)
	c = c.with("RCLONE_CONFIG_R_TYPE", "s3", "RCLONE_CONFIG_R_PROVIDER", "Other", "RCLONE_CONFIG_R_ENDPOINT", "http://"+d.S3,
		"RCLONE_CONFIG_R_ACCESS_KEY_ID", c.env["AWS_ACCESS_KEY_ID"], "RCLONE_CONFIG_R_SECRET_ACCESS_KEY", c.env["AWS_SECRET_ACCESS_KEY"])
	rclone := func(args ...string) result {
		t.Helper()
		r := c.try("", tool(t, "rclone"), args...)
		if r.code != 0 {
			t.Fatalf("%s: %s", r.line, r.err)
		}
		return r
	}
	rclone("mkdir", "r:main.rclone")
	if r := rclone("sync", "-v", u.path("src"), "r:main.rclone"); strings.Count(r.err, "Copied (new)") != len(s3Files(t)) {
		t.Errorf("the first sync:\n%.2000s", r.err)
	}
	if r := rclone("sync", "-v", u.path("src"), "r:main.rclone"); strings.Contains(r.err, "Copied") {
		t.Errorf("the second sync sent something:\n%.2000s", r.err)
	}
	rclone("check", u.path("src"), "r:main.rclone")
	rclone("copyto", "r:main.rclone/one", "r:main.rclone/dir/one")
	rclone("moveto", "r:main.rclone/dir/one", "r:main.rclone/uno")
	rclone("deletefile", "r:main.rclone/uno")
}

// boto3Script writes with boto3's defaults and prints what it reads back.
const boto3Script = `
import boto3, sys
from botocore.exceptions import ClientError
src, endpoint = sys.argv[1:]
c = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
c.create_bucket(Bucket="main.boto")
c.upload_file(src + "/big/parts.bin", "main.boto", "big")
assert c.get_object(Bucket="main.boto", Key="big")["Body"].read() == open(src + "/big/parts.bin", "rb").read()
ids = [c.put_object(Bucket="main.boto", Key="k", Body=b"v%d" % i, Metadata={"n": str(i)})["VersionId"] for i in range(5)]
for i, v in enumerate(ids):
    o = c.get_object(Bucket="main.boto", Key="k", VersionId=v)
    assert o["Body"].read() == b"v%d" % i and o["Metadata"] == {"n": str(i)}
assert [v["VersionId"] for v in c.list_object_versions(Bucket="main.boto", Prefix="k")["Versions"]] == ids[::-1]
try:
    c.put_object(Bucket="main.boto", Key="k", Body=b"", IfNoneMatch="*")
    assert False
except ClientError as e:
    assert e.response["Error"]["Code"] == "PreconditionFailed"
except Exception as e: # an SDK of before conditional writes
    assert "IfNoneMatch" in str(e)
long = "n" * 1024
c.put_object(Bucket="main.boto", Key=long, Body=b"long")
assert c.get_object(Bucket="main.boto", Key=long, Range="bytes=-2")["Body"].read() == b"ng"
for k in ["a", "a/b", "a/", "x/y"]:
    c.put_object(Bucket="main.boto", Key="n/" + k, Body=k.encode())
assert [o["Key"] for o in c.list_objects_v2(Bucket="main.boto", Prefix="n/")["Contents"]] == ["n/a", "n/a/", "n/a/b", "n/x/y"]
r = c.delete_objects(Bucket="main.boto", Delete={"Objects": [{"Key": "n/a"}, {"Key": "n/a/"}, {"Key": "n/a/b"}]})
assert len(r["Deleted"]) == 3 and "Errors" not in r
print(c.generate_presigned_url("get_object", Params={"Bucket": "main.boto", "Key": "n/x/y"}))
`

func boto3Writes(t *testing.T, u *user, d *daemon) {
	c, _ := u.aws(d)
	u.write(map[string]string{"boto.py": boto3Script})
	url := strings.TrimSpace(c.run("/usr/bin/python3", u.path("boto.py"), u.path("src"), "http://"+d.S3))
	if got := u.run(tool(t, "curl"), "-sf", url); got != "x/y" {
		t.Errorf("curl with the URL that boto3 presigned: %q", got)
	}
}

func resticBackup(t *testing.T, u *user, d *daemon) {
	c, aws := u.aws(d)
	aws("s3", "mb", "s3://main.restic")
	c = c.with("RESTIC_PASSWORD", "secret", "RESTIC_REPOSITORY", "s3:http://"+d.S3+"/main.restic", "RESTIC_CACHE_DIR", u.path("restic-cache"))
	c.run(tool(t, "restic"), "init")
	c.run(tool(t, "restic"), "backup", u.path("src"))
	c.run(tool(t, "restic"), "check", "--read-data")
}

func minioClient(t *testing.T, u *user, d *daemon) *minio.Client {
	t.Helper()
	c, _ := u.aws(d)
	client, err := minio.New(d.S3, &minio.Options{
		Creds:        credentials.NewStaticV4(c.env["AWS_ACCESS_KEY_ID"], c.env["AWS_SECRET_ACCESS_KEY"], ""),
		BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func minioWrites(t *testing.T, u *user, d *daemon, files map[string]string) {
	client, ctx := minioClient(t, u, d), t.Context()
	if err := client.MakeBucket(ctx, "main.minio", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		info, err := client.PutObject(ctx, "main.minio", name, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{
			PartSize: 16 << 20, UserMetadata: map[string]string{"name": "Zoë"}, UserTags: map[string]string{"a": "b c"},
		})
		if err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
		o, err := client.GetObject(ctx, "main.minio", name, minio.GetObjectOptions{VersionID: info.VersionID})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(o); err != nil || string(b) != content {
			t.Errorf("%q: %d bytes, %v", name, len(b), err)
		}
	}
	tags, err := client.GetObjectTagging(ctx, "main.minio", "one", minio.GetObjectTaggingOptions{})
	if err != nil || tags.ToMap()["a"] != "b c" {
		t.Errorf("tags %v, %v", tags, err)
	}
	if _, err := client.CopyObject(ctx, minio.CopyDestOptions{Bucket: "main.minio", Object: "copy"}, minio.CopySrcOptions{Bucket: "main.minio", Object: "odd/a b+c%41&d=e.txt"}); err != nil {
		t.Error(err)
	}
	if err := client.RemoveObject(ctx, "main.minio", "copy", minio.RemoveObjectOptions{}); err != nil {
		t.Error(err)
	}
}

// TestS3KilledUnderWriters kills the daemon under 16 writers: what was
// acknowledged is there and right, and nothing is there in half.
func TestS3KilledUnderWriters(t *testing.T) {
	u := newUser(t)
	u.dvx("init", "--bare", u.path("store"))
	rounds := 5
	if os.Getenv("DVX_SOAK") != "" {
		rounds = 30
	}
	acked := map[string]string{}
	var mu sync.Mutex
	for round := range rounds {
		d := u.serve(u.path("store"))
		client := minioClient(t, u, d)
		if ok, err := client.BucketExists(t.Context(), "main.killed"); err != nil || !ok {
			if err := client.MakeBucket(t.Context(), "main.killed", minio.MakeBucketOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		stop := beside(t, 16, func(ctx context.Context, writer int) {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("%d/%d/%d", round, writer, n)
				content := strings.Repeat(key+"\n", 1+writer*200)
				_, err := client.PutObject(ctx, "main.killed", key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
				if err != nil {
					return
				}
				mu.Lock()
				acked[key] = content
				mu.Unlock()
			}
		})
		time.Sleep(time.Duration(300+200*round) * time.Millisecond)
		d.kill()
		stop()
	}
	d := u.serve(u.path("store"))
	checkAcked(t, minioClient(t, u, d), acked)
	u.with("DVX_SERVER", "").dvx("fsck", "--store", u.path("store"))
	figure(t, "%d kills of the daemon under 16 writers: %d acknowledged objects, all there and right", rounds, len(acked))
	d.stop()
}

func checkAcked(t *testing.T, client *minio.Client, acked map[string]string) {
	t.Helper()
	if len(acked) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	seen := 0
	for o := range client.ListObjects(t.Context(), "main.killed", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		r, err := client.GetObject(t.Context(), "main.killed", o.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || !bytes.HasPrefix(b, []byte(o.Key+"\n")) || int64(len(b)) != o.Size || len(b)%len(o.Key+"\n") != 0 {
			t.Errorf("%s: %d bytes, %v", o.Key, len(b), err)
		}
		if want, ok := acked[o.Key]; ok {
			seen++
			if string(b) != want {
				t.Errorf("%s differs from what was acknowledged", o.Key)
			}
		}
	}
	if seen != len(acked) {
		t.Errorf("%d of %d acknowledged objects are there", seen, len(acked))
	}
}
