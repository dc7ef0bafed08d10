package daemon

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestFetch: a version that is known is not sent again, and what can't be had
// says why.
func TestFetch(t *testing.T) {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Header().Set("ETag", `"v1"`)
			if r.Header.Get("If-None-Match") == `"v1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			sent++
			_, _ = io.WriteString(w, "text")
		case "/secret":
			w.WriteHeader(http.StatusForbidden)
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	f := &fetcher{}
	body, tag, err := f.Fetch(t.Context(), server.URL+"/file", "")
	if err != nil || tag != `"v1"` {
		t.Fatalf("tag %s, %v", tag, err)
	}
	b, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil || string(b) != "text" {
		t.Fatalf("%q, %v", b, err)
	}
	body, tag, err = f.Fetch(t.Context(), server.URL+"/file", tag)
	if body != nil || tag != `"v1"` || err != nil || sent != 1 {
		t.Errorf("asked again: body %v, tag %s, sent %d times, %v", body, tag, sent, err)
	}
	for path, want := range map[string]error{"/none": fs.ErrNotExist, "/secret": fs.ErrPermission, "/broken": nil} {
		if _, _, err := f.Fetch(t.Context(), server.URL+path, ""); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
