//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// TestS3Replicas lets writers write through 8 daemons on one bucket: what one
// has acknowledged is read, and listed, through any other at once. Beside them
// somebody commits to the same repo, again and again.
func TestS3Replicas(t *testing.T) {
	const replicas, writers, each, commits = 8, 16, 8, 30
	u := newS3Service(t).user().with("DVX_STORE", "s3://bucket/store")
	wc := u.in("shared")
	wc.dvx("init", "--store", "s3://bucket/store")
	ds := make([]*daemon, replicas)
	for i := range ds {
		ds[i] = u.launch("s3://bucket/store", "--no-pipelines", "--state", u.path(fmt.Sprint("state", i)))
		if i == 0 {
			ds[i].ready() // it makes the key
		}
	}
	clients := make([]*minio.Client, replicas)
	for i, d := range ds {
		clients[i] = minioClient(t, u, d.ready())
	}
	if err := clients[0].MakeBucket(t.Context(), "main.many", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var writes []time.Duration
	for i := range writers {
		all.Go(func() {
			for n := range each {
				took, err := writeAndRead(t.Context(), clients, i%replicas, fmt.Sprintf("%d/%d", i, n))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				writes = append(writes, took)
				mu.Unlock()
			}
		})
	}
	committed := committer(wc, commits)
	all.Wait()
	seen := 0
	for o := range clients[replicas-1].ListObjects(t.Context(), "main.many", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		seen++
	}
	if seen != writers*each {
		t.Errorf("%d objects of %d that were written are listed", seen, writers*each)
	}
	if log := u.history("shared@main"); len(log) != commits {
		t.Errorf("%d versions of %d commits", len(log), commits)
	}
	for _, d := range ds {
		d.stop()
	}
	u.dvx("fsck")
	slices.Sort(writes)
	slices.Sort(committed)
	figure(t, "%d replicas on one bucket, %d writers, %d writes, each read and listed at once through another replica: %v median, %v at most",
		replicas, writers, len(writes), writes[len(writes)/2].Round(time.Millisecond), writes[len(writes)-1].Round(time.Millisecond))
	figure(t, "%d commits beside them: %v median, %v at most", commits,
		committed[len(committed)/2].Round(time.Millisecond), committed[len(committed)-1].Round(time.Millisecond))
}

// writeAndRead writes an object through one replica, which takes so long, and
// reads and lists it through another.
func writeAndRead(ctx context.Context, clients []*minio.Client, i int, key string) (time.Duration, error) {
	content := strings.Repeat("content of "+key+"\n", 1+rand.IntN(500))
	start := time.Now()
	if _, err := clients[i].PutObject(ctx, "main.many", key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		return 0, fmt.Errorf("put %s through replica %d: %w", key, i, err)
	}
	took := time.Since(start)
	other := (i + 1 + rand.IntN(len(clients)-1)) % len(clients)
	r, err := clients[other].GetObject(ctx, "main.many", key, minio.GetObjectOptions{})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != content {
		return 0, fmt.Errorf("%s was written through replica %d, and replica %d has %d bytes of %d: %w", key, i, other, len(b), len(content), err)
	}
	for o := range clients[other].ListObjects(ctx, "main.many", minio.ListObjectsOptions{Prefix: key}) {
		if o.Err == nil && o.Key == key {
			return took, nil
		}
	}
	return 0, fmt.Errorf("%s was written through replica %d, and replica %d does not list it", key, i, other)
}

// committer commits so many times, and returns how long each took.
func committer(u *user, commits int) (took []time.Duration) {
	for n := range commits {
		u.write(map[string]string{fmt.Sprint(n): fmt.Sprintf("commit %d", n)})
		r := u.tryDVX("commit", "-m", fmt.Sprint(n))
		if r.code != 0 {
			u.t.Errorf("%s: exit code %d: %s", r.line, r.code, r.err)
		}
		took = append(took, r.took)
	}
	return took
}
