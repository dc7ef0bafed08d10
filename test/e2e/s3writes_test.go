//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
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

// TestS3KilledUnderWriters kills the daemon 30 times under 16 writers, while an
// upload in parts goes on from one daemon to the next: what was acknowledged is
// there and right, and nothing is there in half.
func TestS3KilledUnderWriters(t *testing.T) {
	const rounds = 30
	u := newUser(t)
	u.dvx("init", "--bare", u.path("store"))
	acked := map[string]string{}
	parts := &partwise{t: t}
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	start := time.Now()
	for round := range rounds {
		d := u.serve(u.path("store"))
		client := minioClient(t, u, d)
		if round == 0 {
			if err := client.MakeBucket(t.Context(), "main.killed", minio.MakeBucketOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		parts.next(client)
		done := make(chan written, 1<<16) // more than are ever sent: nobody waits
		stop := beside(t, 16, func(ctx context.Context, writer int) {
			for n := 0; ctx.Err() == nil; n++ {
				w := written{key: fmt.Sprintf("%d/%d/%d", round, writer, n)}
				w.content = strings.Repeat(w.key+"\n", 1+writer*200)
				_, err := client.PutObject(ctx, "main.killed", w.key, strings.NewReader(w.content), int64(len(w.content)), minio.PutObjectOptions{})
				if err != nil {
					return
				}
				done <- w
			}
		})
		for range 20 + rng.IntN(60) { // then it dies
			select {
			case w := <-done:
				acked[w.key] = w.content
			case <-time.After(waitMax):
				t.Fatalf("round %d: no write was acknowledged within %v", round, waitMax)
			}
		}
		d.kill()
		stop()
		close(done)
		for w := range done { // acknowledged, and not yet counted
			acked[w.key] = w.content
		}
	}
	took := time.Since(start)
	d := u.serve(u.path("store"))
	checkAcked(t, minioClient(t, u, d), acked)
	parts.complete(minioClient(t, u, d))
	d.stop()
	u.dvx("fsck", "--store", u.path("store"))
	figure(t, "%d kills of the daemon under 16 writers in %.0f s: %d acknowledged objects and %d parts, all there and right", rounds, took.Seconds(), len(acked), len(parts.sent))
}

// written is an object that was acknowledged.
type written struct{ key, content string }

// partwise is an upload in parts that outlives daemons: each is sent one part,
// and one that it dies over.
type partwise struct {
	t    *testing.T
	id   string
	sent []minio.CompletePart
	want []byte
}

const partwiseKey, partwiseSize = "in parts", 5 << 20

// next sends a part, and begins another that nobody waits for.
func (p *partwise) next(client *minio.Client) {
	p.t.Helper()
	ctx, core := p.t.Context(), minio.Core{Client: client}
	var err error
	if p.id == "" {
		if p.id, err = core.NewMultipartUpload(ctx, "main.killed", partwiseKey, minio.PutObjectOptions{}); err != nil {
			p.t.Fatal(err)
		}
	}
	n := len(p.sent) + 1
	part := make([]byte, partwiseSize)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(part) // never fails
	got, err := core.PutObjectPart(ctx, "main.killed", partwiseKey, p.id, n, bytes.NewReader(part), partwiseSize, minio.PutObjectPartOptions{})
	if err != nil {
		p.t.Fatalf("part %d: %v", n, err)
	}
	p.sent = append(p.sent, minio.CompletePart{PartNumber: n, ETag: got.ETag})
	p.want = append(p.want, part...)
	const unwanted = 1000 // a part that is not asked for in the end
	beside(p.t, 1, func(ctx context.Context, _ int) {
		_, _ = core.PutObjectPart(ctx, "main.killed", partwiseKey, p.id, unwanted, bytes.NewReader(part), partwiseSize, minio.PutObjectPartOptions{})
	})
}

// complete makes the object of the parts that were acknowledged.
func (p *partwise) complete(client *minio.Client) {
	p.t.Helper()
	core := minio.Core{Client: client}
	if _, err := core.CompleteMultipartUpload(p.t.Context(), "main.killed", partwiseKey, p.id, p.sent, minio.PutObjectOptions{}); err != nil {
		p.t.Fatal(err)
	}
	r, err := client.GetObject(p.t.Context(), "main.killed", partwiseKey, minio.GetObjectOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, p.want) {
		p.t.Errorf("the object of %d parts has %d bytes, %v; want the %d that were sent", len(p.sent), len(b), err, len(p.want))
	}
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
