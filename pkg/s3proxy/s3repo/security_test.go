package s3repo_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
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
		"dev", "bob", "eve", "bobby", "main", "v1", "f", "/", "/", "/", "//", ".", "..", "../", "%2F", "%2f", "%2e%2e", "~", "~1", "^", "^2",
		"{", "}", "{2026-11-20T09:00Z}", "@", ":", "\\", " ", "\x00", "dev/bob", "dev/bob/", "dev/eve/f", id.String(), eves.String()[:8],
	}
	buckets := []string{"a-repo", "a-repo", "a-repo", "a-repo", "a-repo", "b-repo", "main.a-repo", "v1.a-repo", "dev.a-repo", "a-repo.b-repo", eves.String() + ".a-repo", ".a-repo", "dev/bob.a-repo"}
	opened := 0
	rapid.Check(t, func(t *rapid.T) {
		bucket := rapid.SampledFrom(buckets).Draw(t, "bucket")
		start := rapid.SampledFrom([]string{"", "dev/bob", "dev/bob/"}).Draw(t, "start") // or few keys would be allowed
		key := start + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 4).Draw(t, "key"), "")
		access := s3proxy.Access{Principal: auth.Principal{Name: "bob"}, Operation: "GetObject", Bucket: bucket, Key: key}
		if b.Authorize(ctx, access) != nil {
			return
		}
		if bucket != "a-repo" || !strings.HasPrefix(key, "dev/bob") {
			t.Fatalf("bob may read %q in bucket %q", key, bucket)
		}
		if o, err := b.Open(ctx, s3proxy.ObjectName{Bucket: bucket, Key: key}); err == nil {
			opened++
			r, err := o.Range(ctx, 0, o.Info().Size)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			text := make([]byte, o.Info().Size)
			if _, err := r.Read(text); err != nil || string(text) != "dev/bob" {
				t.Fatalf("key %q: %q, %v", key, text, err)
			}
		}
		page, err := b.List(ctx, bucket, s3proxy.ListQuery{Prefix: key, MaxKeys: 100})
		if err != nil {
			return
		}
		for _, o := range page.Objects {
			if !strings.HasPrefix(o.Key, "dev/bob/") && !strings.HasPrefix(o.Key, "dev/bob~") && !strings.HasPrefix(o.Key, "dev/bob^") && !strings.HasPrefix(o.Key, "dev/bob{") {
				t.Fatalf("prefix %q lists %q", key, o.Key)
			}
		}
	})
	t.Logf("%d keys were opened", opened)
	if _, err := b.Open(ctx, s3proxy.ObjectName{Bucket: "a-repo", Key: "dev/bob/f"}); err != nil {
		t.Errorf("bob's own file: %v", err)
	}
	if o, err := b.Open(ctx, s3proxy.ObjectName{Bucket: "a-repo", Key: "dev/bob/../eve/f"}); err == nil {
		t.Errorf("a key with .. is %q", content(t, o))
	}
}
