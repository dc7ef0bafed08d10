package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

type fixture struct {
	store *repo.Direct
	edit  Editor
	mu    sync.Mutex
	now   time.Time
	said  []string
}

func newFixture(t *testing.T) (*fixture, context.Context) {
	t.Helper()
	f := &fixture{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	ctx := auth.With(t.Context(), auth.Owner)
	var err error
	f.store, err = repo.Init(ctx, mem.New(mem.Options{Now: f.clock}), repo.InitOptions{Options: repo.Options{Now: f.clock, Rand: rand.Reader}})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := auth.NewKey(rand.Reader, auth.Owner)
	if err != nil {
		t.Fatal(err)
	}
	f.edit = Editor{Store: f.store, Owner: owner, Now: f.clock, Random: rand.Reader, Author: "test"}
	return f, ctx
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(time.Millisecond)
	return f.now
}

func (f *fixture) wait(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) ring(t *testing.T) *Ring {
	t.Helper()
	r, err := Open(t.Context(), Options{Store: f.store, Owner: f.edit.Owner, Now: f.clock, Report: func(err error) { f.said = append(f.said, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func grant(t *testing.T, text string) auth.Grant {
	t.Helper()
	g, err := auth.ParseGrant(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var images = auth.Resource{Repo: "images", Branch: "main"}

func TestKeyLife(t *testing.T) {
	f, ctx := newFixture(t)
	r := f.ring(t)
	must(t, f.edit.Grant(ctx, "ann", grant(t, "write:images")))
	k, err := f.edit.CreateKey(ctx, "ann", []auth.Grant{grant(t, "read:images")}, f.clock().Add(time.Hour))
	must(t, err)
	if _, err := r.Authenticate(k.Token()); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the ring knows a key that it has not seen yet: %v", err)
	}
	must(t, r.Refresh(ctx))
	p, err := r.Authenticate(k.Token())
	if err != nil || p.Name != "ann" || p.Key != k.Access {
		t.Fatalf("ann comes in as %+v, %v", p, err)
	}
	if err := r.Authorize(ctx, p, auth.Read, images); err != nil {
		t.Errorf("read: %v", err)
	}
	if err := r.Authorize(ctx, p, auth.Write, images); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("write beyond the key's scope: %v", err)
	}
	for _, token := range []string{k.Access + ".", k.Access + "." + f.edit.Owner.Secret, f.edit.Owner.Access + "." + k.Secret, "", "." + k.Secret} {
		if p, err := r.Authenticate(token); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("token %q comes in as %v, %v", token, p, err)
		}
	}
	if p, err := r.Authenticate(f.edit.Owner.Token()); err != nil || p != auth.Owner {
		t.Errorf("the owner comes in as %v, %v", p, err)
	}
	f.wait(2 * time.Hour)
	if _, err := r.Authenticate(k.Token()); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("an expired key: %v", err)
	}
	if err := r.Authorize(ctx, p, auth.Read, images); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("a call under way with an expired key: %v", err)
	}
}

func TestRevocationIsFollowed(t *testing.T) {
	f, ctx := newFixture(t)
	must(t, f.edit.Grant(ctx, "ann", grant(t, "read:images")))
	k, err := f.edit.CreateKey(ctx, "ann", nil, time.Time{})
	must(t, err)
	r := f.ring(t)
	following, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.Follow(following) })
	defer func() { stop(); wg.Wait() }()
	p, err := r.Authenticate(k.Token())
	must(t, err)
	must(t, f.edit.RevokeKey(ctx, k.Access))
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
		_, err := r.Authenticate(k.Token())
		if errors.Is(err, auth.ErrUnauthenticated) && r.Authorize(ctx, p, auth.Read, images) != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the key is good minutes after it was revoked")
		}
	}
}

func TestSecretsAreNotInTheStore(t *testing.T) {
	f, ctx := newFixture(t)
	k, err := f.edit.CreateKey(ctx, "ann", nil, time.Time{})
	must(t, err)
	file, _, err := repo.GetFile(ctx, f.store, auth.AccessRepo+"@main:/"+auth.AccessFile)
	must(t, err)
	defer func() { _ = file.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(file); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), k.Access) || strings.Contains(b.String(), k.Secret) {
		t.Errorf("the policy holds %s", b.String())
	}
	stranger := f.edit
	if stranger.Owner, err = auth.NewKey(rand.Reader, auth.Owner); err != nil {
		t.Fatal(err)
	}
	r, err := Open(ctx, Options{Store: f.store, Owner: stranger.Owner, Now: f.clock, Report: func(error) {}})
	must(t, err)
	if _, err := r.Authenticate(k.Token()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a daemon with another owner's key lets ann in: %v", err)
	}
}

// TestChangesTogether: of changes made at once none is lost.
func TestChangesTogether(t *testing.T) {
	f, ctx := newFixture(t)
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			if err := f.edit.Grant(ctx, who, auth.Grant{Level: auth.LevelRead, Repo: "images", Ref: "*"}); err != nil {
				t.Error(err)
			}
			if _, err := f.edit.CreateKey(ctx, who, nil, time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := f.edit.Read(ctx)
	must(t, err)
	if len(p.Principals) != 6 || len(p.Keys) != 6 {
		t.Errorf("%d principals and %d keys, want 6 each", len(p.Principals), len(p.Keys))
	}
}

func TestRevoke(t *testing.T) {
	f, ctx := newFixture(t)
	read, write := grant(t, "read:images"), grant(t, "write:labels")
	must(t, f.edit.Grant(ctx, "ann", read, write, read))
	_, err := f.edit.CreateKey(ctx, "ann", nil, time.Time{})
	must(t, err)
	must(t, f.edit.Revoke(ctx, "ann", read))
	if p, _ := f.edit.Read(ctx); len(p.Principals["ann"]) != 1 || p.Principals["ann"][0] != write {
		t.Errorf("ann has %v", p.Principals["ann"])
	}
	for name, err := range map[string]error{
		"a grant that he lacks": f.edit.Revoke(ctx, "ann", read),
		"nobody":                f.edit.Revoke(ctx, "eve"),
		"no key":                f.edit.RevokeKey(ctx, "AAAAAAAAAAAAAAAAAAAA"),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", name, err)
		}
	}
	must(t, f.edit.Revoke(ctx, "ann"))
	if p, _ := f.edit.Read(ctx); len(p.Principals) != 0 || len(p.Keys) != 0 {
		t.Errorf("left: %v", p)
	}
	for _, who := range []string{"owner", "a b", "", "anonymous"} {
		if _, err := f.edit.CreateKey(ctx, who, nil, time.Time{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("a key for %q: %v, want fs.ErrInvalid", who, err)
		}
	}
}

// TestDamagedPolicyShutsOut: a policy that can't be read leaves the owner
// alone, says so, and can be repaired.
func TestDamagedPolicyShutsOut(t *testing.T) {
	f, ctx := newFixture(t)
	must(t, f.edit.Grant(ctx, "ann", grant(t, "read:images")))
	r := f.ring(t)
	ann := auth.Principal{Name: "ann"}
	must(t, r.Authorize(ctx, ann, auth.Read, images))
	op, err := repo.NewOpID(f.clock(), rand.Reader)
	must(t, err)
	_, err = repo.PutFile(ctx, f.store, repo.CommitOptions{Repo: auth.AccessRepo, Branch: auth.AccessBranch, Op: op, Time: f.clock()},
		auth.AccessFile, tree.Entry{}, strings.NewReader("{}"))
	must(t, err)
	must(t, r.Refresh(ctx))
	if err := r.Authorize(ctx, ann, auth.Read, images); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("ann, under a damaged policy: %v", err)
	}
	must(t, r.Authorize(ctx, auth.Owner, auth.Admin, auth.Resource{}))
	if len(f.said) == 0 || !strings.Contains(f.said[0], auth.AccessRepo) {
		t.Errorf("said %q", f.said)
	}
	if err := f.edit.Grant(ctx, "eve", grant(t, "read:images")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a change of a damaged policy: %v, want fs.ErrInvalid", err)
	}
}
