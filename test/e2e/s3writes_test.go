//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

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
