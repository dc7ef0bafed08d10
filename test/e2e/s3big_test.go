//go:build e2e

package e2e

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestS3TwoGiB sends a file of 2 GiB and one byte, more than 31 bits count, and
// reads it back by a presigned URL. With DVX_SOAK every client does it, and
// fetches the file too.
func TestS3TwoGiB(t *testing.T) {
	u := newUser(t)
	u.dvx("init", "--bare", u.path("store"))
	d := u.serve(u.path("store"))
	all := os.Getenv("DVX_SOAK") != ""
	want := tiles(t, u.path("big"))
	for _, c := range s3Cases {
		if !all && c.name != "mc" {
			continue
		}
		if c.name == "s3fs" && mountable() != "" {
			continue // TestS3Matrix says so
		}
		t.Run(c.name, func(t *testing.T) {
			s := s3As(t, u, d, c.name)
			v := c.connect(s)
			bucket := "main." + c.name
			v.mb(bucket)
			start := time.Now()
			v.up(u.path("big"), bucket, "big")
			figure(t, "%s sent 2 GiB in %.1f s", c.name, time.Since(start).Seconds())
			if got := sumOf(t, minioVerbs(s).presign(bucket, "big")); got != want {
				t.Error("what the presigned URL gives is not what was sent")
			}
			if all {
				v.down(bucket, "big", s.u.path("back"))
				s.run("cmp", u.path("big"), s.u.path("back"))
				s.run("rm", s.u.path("back"))
			}
		})
	}
	d.stop()
}

// tiles writes a file of 2 GiB and one byte that repeats itself, so that the
// store stays small, and returns its hash.
func tiles(t *testing.T, name string) [sha256.Size]byte {
	t.Helper()
	tile := make([]byte, 32<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(tile) // never fails
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	w := io.MultiWriter(f, h)
	for range 64 {
		if _, err := w.Write(tile); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// sumOf returns the hash of what a URL gives.
func sumOf(t *testing.T, url string) [sha256.Size]byte {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	h := sha256.New()
	if n, err := io.Copy(h, r.Body); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s after %d bytes: %v", r.Status, n, err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
