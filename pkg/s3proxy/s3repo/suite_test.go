package s3repo_test

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3proxytest"
)

func TestSuite(t *testing.T) {
	for _, form := range []struct{ name, bucket, prefix string }{
		{"repo", "images", "feature/x/"},
		{"commit", "images", ""}, // the prefix is the commit, see below
	} {
		t.Run(form.name, func(t *testing.T) {
			s3proxytest.Run(t, func(t testing.TB, objects map[string]string) (s3proxy.Backend, string, string) {
				s := newStore(t, "images", "other")
				id := s.put("images", "feature/x", objects)
				s.put("images", "feature/y", map[string]string{"beside": "the prefix"})
				s.put("images", "feature/x", map[string]string{"~": "later"})
				s.edit("images", "feature/x", remove("~"))
				prefix := form.prefix
				if prefix == "" {
					prefix = id.String() + "/"
				}
				return newBackend(s), form.bucket, prefix
			})
		})
	}
}
