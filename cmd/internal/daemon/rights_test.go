package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/dvx-io/dvx/pkg/access"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// guarded is a daemon's S3 edge with keys of principals who may do different
// things to the repo "images", and nothing to the repo "other".
type guarded struct {
	*testing.T
	door  *door
	web   *httptest.Server
	keys  map[string]auth.Key
	state string
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{T: t, keys: map[string]auth.Key{}, state: t.TempDir()}
	ctx := auth.With(t.Context(), auth.Owner)
	d, err := repo.Init(ctx, mem.New(mem.Options{Now: time.Now}), repo.InitOptions{Options: repo.Options{Now: time.Now, Rand: rand.Reader}})
	g.must(err)
	for _, name := range []string{"images", "other"} {
		op, err := repo.NewOpID(time.Now(), rand.Reader)
		g.must(err)
		_, err = d.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.CreateRepo{Repo: name}}})
		g.must(err)
		op, err = repo.NewOpID(time.Now(), rand.Reader)
		g.must(err)
		_, err = repo.PutFile(ctx, d, repo.CommitOptions{Repo: name, Op: op, Time: time.Now()}, "dir/a", tree.Entry{}, strings.NewReader("a"))
		g.must(err)
	}
	owner, err := auth.NewKey(rand.Reader, auth.Owner)
	g.must(err)
	edit := access.Editor{Store: d, Owner: owner, Now: time.Now, Random: rand.Reader, Author: "test"}
	for who, grant := range map[string]string{
		"nobody": "", "reader": "read:images", "writer": "write:images", "admin": "admin:images",
		"below": "write:images@main:/dir", "beside": "write:images@main:/di", "branch": "write:images@next",
	} {
		if grant != "" {
			parsed, err := auth.ParseGrant(grant)
			g.must(err)
			g.must(edit.Grant(ctx, who, parsed))
		}
		g.keys[who], err = edit.CreateKey(ctx, who, nil, time.Time{})
		g.must(err)
	}
	o := Options{State: g.state, S3Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)}
	g.door, err = openDoor(ctx, d, owner, o)
	g.must(err)
	t.Cleanup(func() { _ = g.door.close() })
	writer := repo.NewWriter(ctx, d, repo.WriterOptions{})
	t.Cleanup(func() { _ = writer.Close() })
	web, lis, err := s3Edge(s3repo.NewWriting(d, writer, g.door.ring, s3repo.WritingOptions{Spool: t.TempDir()}), g.door, o)
	g.must(err)
	go func() { _ = web.Serve(lis) }()
	t.Cleanup(func() { _ = web.Shutdown(context.WithoutCancel(ctx)) })
	g.web = &httptest.Server{URL: "http://" + lis.Addr().String()}
	return g
}

func (g *guarded) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// ask sends a request of a principal, nil for no signature, and returns the
// status and the error's code.
func (g *guarded) ask(who, method, target, copySource string) (int, string) {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), method, g.web.URL+target, http.NoBody)
	g.must(err)
	if copySource != "" {
		r.Header.Set("X-Amz-Copy-Source", copySource)
	}
	r.Header.Set("X-Amz-Content-Sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") // of nothing
	if k, ok := g.keys[who]; ok {
		r = signer.SignV4(*r, k.Access, k.Secret, "", "us-east-1")
	}
	resp, err := http.DefaultClient.Do(r)
	g.must(err)
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	g.must(err)
	_, rest, _ := strings.Cut(body.String(), "<Code>")
	code, _, _ := strings.Cut(rest, "</Code>")
	return resp.StatusCode, code
}

// TestRightsOfOperations takes every operation that S3 knows through the door
// as everybody: who has the right is not refused, who lacks it is, with 403 and
// nothing else, and neither is anybody let through to another repo.
func TestRightsOfOperations(t *testing.T) {
	g := newGuarded(t)
	levels := map[s3proxy.Right]int{s3proxy.Read: 1, s3proxy.Write: 2, s3proxy.Admin: 3}
	people := map[string]int{"": 0, "nobody": 0, "beside": 0, "branch": 0, "reader": 1, "writer": 2, "admin": 3}
	checked := 0
	for _, op := range s3proxy.Operations() {
		if !op.OnBucket && !op.OnObject {
			continue
		}
		for who, level := range people {
			for _, bucket := range []string{"images", "other", "dvx-access"} {
				target, source := "/"+bucket, ""
				if op.OnObject {
					target += "/main/dir/a"
				}
				if op.Query != "" {
					target += "?" + op.Query + "="
				}
				if op.Copies {
					source = "/" + bucket + "/main/dir/a"
				}
				if bucket == "images" && level >= levels[op.Right] && op.Right != s3proxy.Read {
					continue // who may do it would: the rights to read show that the table is asked
				}
				status, code := g.ask(who, op.Method, target, source)
				refused := status == http.StatusForbidden
				if want := bucket != "images" || level < levels[op.Right]; refused != want {
					t.Errorf("%s as %q on %s: %d %s, refused should be %v", op.Operation, who, bucket, status, code, want)
				}
				if refused && code != "AccessDenied" && op.Method != http.MethodHead {
					t.Errorf("%s as %q on %s: %s", op.Operation, who, bucket, code)
				}
				checked++
			}
		}
	}
	if checked < 500 {
		t.Errorf("only %d requests were checked", checked)
	}
}

// TestRightsOfPaths: a grant below a directory opens that and nothing beside it.
func TestRightsOfPaths(t *testing.T) {
	g := newGuarded(t)
	for _, tt := range []struct {
		who, method, target string
		allowed             bool
	}{
		{"below", "GET", "/images/main/dir/a", true},
		{"below", "GET", "/main.images/dir/a", true},
		{"below", "GET", "/images/main/b", false},
		{"below", "GET", "/images/main/dir2/a", false},
		{"below", "GET", "/images?list-type=2&prefix=main/dir/", true},
		{"below", "GET", "/images?list-type=2&prefix=main/dir", false},
		{"below", "GET", "/images?list-type=2&prefix=main/", false},
		{"below", "GET", "/images?list-type=2", false},
		{"below", "GET", "/images/other/dir/a", false},
		{"beside", "GET", "/images/main/dir/a", false},
		{"branch", "GET", "/images/main/dir/a", false},
	} {
		if status, code := g.ask(tt.who, tt.method, tt.target, ""); (status == http.StatusForbidden) == tt.allowed {
			t.Errorf("%s %s as %s: %d %s", tt.method, tt.target, tt.who, status, code)
		}
	}
}

// TestRefusalsAreAudited: what was refused is in the log, with who and what.
func TestRefusalsAreAudited(t *testing.T) {
	g := newGuarded(t)
	g.ask("reader", "PUT", "/images/main/dir/b", "")
	g.ask("reader", "GET", "/images/main/dir/a", "")
	b, err := os.ReadFile(filepath.Join(g.state, auditFile))
	g.must(err)
	log := string(b)
	if n := strings.Count(log, "\n"); n != 1 {
		t.Errorf("%d lines, want one of the refusal: %s", n, log)
	}
	for _, want := range []string{`"principal":"reader"`, `"operation":"PutObject"`, `"resource":"images/main/dir/b"`, `"outcome":"AccessDenied"`, g.keys["reader"].Access} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
}
