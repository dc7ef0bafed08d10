package s3repo_test

import (
	"context"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// TestKeysStayInTheirBranch has bob, who may read the branch dev/bob alone, try
// keys and prefixes made to be understood as one branch where rights are
// checked and as another where data are read.
func TestKeysStayInTheirBranch(t *testing.T) {
	s := newStore(t, "a-repo", "b-repo")
	files := func(where string) map[string]string {
		return map[string]string{"f": where, "dev/bob/f": where, "dev/eve/f": where, "main/f": where}
	}
	s.put("a-repo", "main", files("main"))
	id := s.put("a-repo", "dev/bob", files("dev/bob"))
	eves := s.put("a-repo", "dev/eve", files("dev/eve"))
	s.move(createTag("a-repo", "v1", eves), repo.CreateBranch{Repo: "a-repo", Branch: "dev/bobby", From: eves})
	s.put("b-repo", "dev/bob", files("b-repo"))
	b := newRuled(s)
	ctx := s3proxy.WithPrincipal(auth.With(t.Context(), auth.Principal{Name: "bob"}), auth.Principal{Name: "bob"})

	pieces := []string{
		"dev", "bob", "eve", "bobby", "main", "v1", "f", "", "/", "//", ".", "..", "../", "%2F", "%2f", "%2e%2e", "~", "~1", "^", "^2",
		"{", "}", "{2026-11-20T09:00Z}", "@", ":", "\\", " ", "\x00", "dev/bob", "dev/bob/", "dev/eve/f", id.String(), eves.String()[:8],
	}
	buckets := []string{"a-repo", "b-repo", "main.a-repo", "v1.a-repo", "dev.a-repo", "a-repo.b-repo", eves.String() + ".a-repo", ".a-repo", "dev/bob.a-repo"}
	opened := 0
	for _, bucket := range buckets {
		for _, start := range []string{"", "dev/bob", "dev/bob/", "dev/bob/f"} {
			for _, a := range pieces {
				for _, c := range pieces {
					if tryAsBob(ctx, t, b, bucket, start+a+c) {
						opened++
					}
				}
			}
		}
	}
	if opened == 0 {
		t.Error("no key was allowed: nothing was tried")
	}
	if _, err := b.Open(ctx, s3proxy.ObjectName{Bucket: "a-repo", Key: "dev/bob/f"}); err != nil {
		t.Errorf("bob's own file: %v", err)
	}
	if o, err := b.Open(ctx, s3proxy.ObjectName{Bucket: "a-repo", Key: "dev/bob/../eve/f"}); err == nil {
		t.Errorf("a key with .. is %q", content(t, o))
	}
}

// tryAsBob reads and lists at a key what bob may, and reports whether there was
// anything to read.
func tryAsBob(ctx context.Context, t *testing.T, b *s3repo.Backend, bucket, key string) bool {
	t.Helper()
	if b.Authorize(ctx, s3proxy.Access{Principal: auth.Principal{Name: "bob"}, Operation: "GetObject", Right: rightOf("GetObject"), Bucket: bucket, Key: key}) != nil {
		return false
	}
	if bucket != "a-repo" || !strings.HasPrefix(key, "dev/bob") {
		t.Errorf("bob may read %q in bucket %q", key, bucket)
	}
	o, err := b.Open(ctx, s3proxy.ObjectName{Bucket: bucket, Key: key})
	if err == nil {
		if text := content(t, o); text != "dev/bob" {
			t.Errorf("key %q: %q", key, text)
		}
	}
	page, lerr := b.List(ctx, bucket, s3proxy.ListQuery{Prefix: key, MaxKeys: 100})
	for _, o := range page.Objects {
		if next := strings.TrimPrefix(o.Key, "dev/bob"); lerr == nil && !strings.ContainsAny(next[:1], "/~^{") {
			t.Errorf("prefix %q lists %q", key, o.Key)
		}
	}
	return err == nil
}
