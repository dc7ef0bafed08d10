package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// rights says what eve may do; the owner may do all.
type rights func(a auth.Action, r auth.Resource) bool

func (may rights) Authorize(ctx context.Context, p auth.Principal, a auth.Action, r auth.Resource) error {
	if p.Name == "eve" && (a == auth.ReadStore || may(a, r)) {
		return nil
	}
	return auth.OwnerOnly{}.Authorize(ctx, p, a, r)
}

// attacked is a fixture with the repos open and secret, a commit in each.
func attacked(t *testing.T, a auth.Authorizer) (f *fixture, open, secret commit.ID) {
	t.Helper()
	f = newFixture(t, a)
	ctx := auth.With(t.Context(), auth.Owner)
	move(ctx, t, f.direct, repo.CreateRepo{Repo: "open"}, repo.CreateRepo{Repo: "secret"})
	return f, put(ctx, t, f.direct, "open", "a", "public"), put(ctx, t, f.direct, "secret", "s", "the secret")
}

func TestKeyStaysOnThisMachine(t *testing.T) {
	key := auth.Key{Access: strings.Repeat("A", 20), Secret: strings.Repeat("s", 43), Principal: "owner"}
	for _, address := range []string{
		"dvx.example:7777", "192.0.2.1:7777", "[2001:db8::1]:7777", "0.0.0.0:7777", "localhost.example:7777",
		"127.0.0.1.example:7777", "dns:///127.0.0.1:7777", "passthrough:///127.0.0.1:7777", "", ":7777",
	} {
		if _, err := Dial(t.Context(), ClientOptions{Address: address, Key: key}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%q: %v, want fs.ErrPermission before anything is sent", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:7777", "localhost:7777", "[::1]:7777", "127.9.9.9:7777", "unix:/run/dvx"} {
		if !onThisMachine(address) {
			t.Errorf("%q is refused, but nothing leaves the machine", address)
		}
	}
}

// A caller who may read one branch says that a commit of another is on it.
func TestNamingABranchProvesNothing(t *testing.T) {
	f, head, _ := attacked(t, rights(func(a auth.Action, r auth.Resource) bool { return a == auth.Read && r.Branch == "public" }))
	eve := f.client(t, f.eve)
	if _, err := eve.Reader(t.Context(), repo.Scope{Repo: "open", Branch: "public", Commit: head}); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("reader of main's commit, said to be on public: %v, want ErrDenied", err)
	}
}

// The right to write is no right to read: a session would show its base.
func TestWritingShowsNothing(t *testing.T) {
	f, _, _ := attacked(t, rights(func(a auth.Action, _ auth.Resource) bool { return a == auth.Write }))
	eve := f.client(t, f.eve)
	if _, err := eve.Session(t.Context(), repo.Scope{Repo: "open", Branch: "main"}); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("session without the right to read: %v, want ErrDenied", err)
	}
}

func TestCommitNamesOnlyItsOwn(t *testing.T) {
	f, head, hidden := attacked(t, rights(func(a auth.Action, r auth.Resource) bool { return r.Repo == "open" && a != auth.WritePipeline }))
	ctx := auth.With(t.Context(), auth.Owner)
	stolen, err := repo.Resolve(ctx, f.direct, "secret@main")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		make func(c *commit.Commit)
		want error
	}{
		{"a tree of another repo", func(c *commit.Commit) { c.Tree = stolen.Commit.Tree }, ErrScope},
		{"a parent of another repo", func(c *commit.Commit) { c.Parents = []commit.ID{hidden} }, ErrScope},
		{"a spec of another repo", func(c *commit.Commit) {
			c.Prov = &commit.Provenance{Pipeline: "open", Branch: "main", Spec: hidden, Job: strings.Repeat("0", 64)}
		}, ErrScope},
		{"a datum table of another repo", func(c *commit.Commit) {
			c.Prov = &commit.Provenance{Pipeline: "open", Branch: "main", Spec: head, Job: strings.Repeat("0", 64), Datums: &stolen.Commit.Tree}
		}, ErrScope},
		{"provenance, without the right to run pipelines", func(c *commit.Commit) {
			c.Prov = &commit.Provenance{Pipeline: "open", Branch: "main", Spec: head, Job: strings.Repeat("0", 64)}
		}, auth.ErrDenied},
		{"nothing else", func(c *commit.Commit) { c.Parents = []commit.ID{head} }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := f.client(t, f.eve).Session(ctx, repo.Scope{Repo: "open", Branch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			c := commit.Commit{Author: "eve", Time: f.now, Op: testOp(t).String()}
			if c.Tree, err = tree.Empty(ctx, s); err != nil {
				t.Fatal(err)
			}
			tt.make(&c)
			if _, err = commit.Save(ctx, s, c); err == nil {
				err = s.Flush(ctx)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// What a reference names is read with the daemon's credentials: nobody but the
// owner may make one.
func TestOnlyTheOwnerRefersToOtherBuckets(t *testing.T) {
	f, _, _ := attacked(t, rights(func(auth.Action, auth.Resource) bool { return true }))
	for name, tt := range map[string]struct {
		key  auth.Key
		want error
	}{"eve": {f.eve, auth.ErrDenied}, "owner": {f.owner, nil}} {
		s, err := f.client(t, tt.key).Session(t.Context(), repo.Scope{Repo: "open", Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = chunk.PutReference(t.Context(), s, chunk.Reference{Bucket: "private", Key: "k", ETag: "e", Size: 1})
		if err == nil {
			err = s.Flush(t.Context())
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Every operation that makes a name point at a commit is tried with one of
// another repo, without a session and within one.
func TestNoNameForForeignCommits(t *testing.T) {
	f, _, hidden := attacked(t, twoUsers{})
	ctx := auth.With(t.Context(), auth.Owner)
	eve := f.client(t, f.eve)
	s, err := eve.Session(ctx, repo.Scope{Repo: "open", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, op := range []repo.Op{
		repo.CreateBranch{Repo: "open", Branch: "b", From: hidden},
		repo.MoveBranch{Repo: "open", Branch: "b", To: hidden},
		repo.MoveBranch{Repo: "open", Branch: "main", To: hidden, Force: true},
		repo.CreateTag{Repo: "open", Tag: "t", Commit: hidden},
		repo.MoveSpec{Repo: "open", Branch: "main", To: hidden},
	} {
		if _, err := eve.Move(ctx, repo.Txn{Op: testOp(t), Ops: []repo.Op{op}}); !errors.Is(err, repo.ErrRefNotFound) {
			t.Errorf("%+v: %v, want ErrRefNotFound", op, err)
		}
		if _, err := s.Publish(ctx, repo.Txn{Op: testOp(t), Ops: []repo.Op{op}}); !errors.Is(err, repo.ErrRefNotFound) {
			t.Errorf("%+v in a session: %v, want ErrRefNotFound", op, err)
		}
	}
	for _, op := range []repo.Op{
		repo.MoveBranch{Repo: "secret", Branch: "b", To: hidden},
		repo.DeleteTag{Repo: "secret", Tag: "t"},
		repo.CreateRepo{Repo: "new"},
		repo.DeleteRepo{Repo: "open"},
		repo.Protect{Repo: "open", Branch: "main", Principals: []string{"eve"}},
		repo.SetRetention{Repo: "open", Branch: "main", Keep: &repo.Retention{Last: 1}},
	} {
		ops := []repo.Op{repo.CreateBranch{Repo: "open", Branch: "decoy"}, op}
		if _, err := s.Publish(ctx, repo.Txn{Op: testOp(t), Ops: ops}); !errors.Is(err, auth.ErrDenied) {
			t.Errorf("%+v behind one that is allowed: %v, want ErrDenied", op, err)
		}
	}
}

func TestProtectedThroughDaemon(t *testing.T) {
	f, head, _ := attacked(t, twoUsers{})
	ctx := auth.With(t.Context(), auth.Owner)
	older := head
	head = put(ctx, t, f.direct, "open", "b", "more")
	move(ctx, t, f.direct, repo.Protect{Repo: "open", Branch: "main", Principals: []string{"owner"}})
	eve := f.client(t, f.eve)
	for _, op := range []repo.Op{
		repo.MoveBranch{Repo: "open", Branch: "main", Expect: head, To: older, Force: true},
		repo.DeleteBranch{Repo: "open", Branch: "main", Expect: head},
		repo.MoveSpec{Repo: "open", Branch: "main", To: older},
	} {
		if _, err := eve.Move(ctx, repo.Txn{Op: testOp(t), Ops: []repo.Op{op}}); !errors.Is(err, repo.ErrProtected) {
			t.Errorf("%+v: %v, want ErrProtected", op, err)
		}
	}
	keep := repo.Retention{Last: 3, Age: 5000}
	move(ctx, t, f.client(t, f.owner), repo.SetRetention{Repo: "open", Branch: "main", Keep: &keep})
	if v, err := eve.View(ctx); err != nil || v.Repos["open"].Branches["main"].Keep == nil || *v.Repos["open"].Branches["main"].Keep != keep {
		t.Errorf("retention through a daemon: %v", err)
	}
	// As if the branch were new, so that it is made rather than moved.
	as := repo.MoveBranch{Repo: "open", Branch: "main", To: older}
	if _, err := eve.Move(ctx, repo.Txn{Op: testOp(t), Ops: []repo.Op{as}}); !errors.Is(err, repo.ErrConflict) {
		t.Errorf("%+v: %v, want ErrConflict", as, err)
	}
	o := repo.CommitOptions{Repo: "open", Branch: "main", Op: testOp(t), Time: f.now, Author: "eve", Policy: repo.Rebase}
	if _, err := repo.PutFile(ctx, eve, o, "mine", tree.Entry{}, strings.NewReader("x")); !errors.Is(err, repo.ErrProtected) {
		t.Errorf("commit: %v, want ErrProtected", err)
	}
	if res, err := repo.Resolve(ctx, f.direct, "open@main"); err != nil || res.ID != head {
		t.Errorf("main is at %v, %v, want it untouched at %v", res.ID, err, head)
	}
	move(ctx, t, eve, repo.MoveBranch{Repo: "open", Branch: "hers", To: older}) // what is not protected is hers to make
}

func TestHandles(t *testing.T) {
	f, head, _ := attacked(t, twoUsers{})
	ctx := t.Context()
	owner, eve := f.client(t, f.owner), f.client(t, f.eve)
	s, err := owner.Session(ctx, repo.Scope{Repo: "open", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	handle := s.(*session).handle
	taken := &session{c: eve, handle: handle, sent: map[chunk.ID]struct{}{}}
	if err := taken.Flush(ctx); !errors.Is(err, ErrScope) {
		t.Errorf("flush of another's session: %v, want ErrScope", err)
	}
	txn := repo.Txn{Op: testOp(t), Ops: []repo.Op{repo.CreateBranch{Repo: "open", Branch: "b", From: head}}}
	if _, err := taken.Publish(ctx, txn); !errors.Is(err, ErrScope) {
		t.Errorf("publish of another's session: %v, want ErrScope", err)
	}
	eve.closeScope(handle)
	if err := s.Flush(ctx); err != nil {
		t.Errorf("the owner's session after eve closed it: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dead := range []string{handle, "", strings.Repeat("0", 32)} {
		if err := (&session{c: owner, handle: dead}).Flush(ctx); !errors.Is(err, ErrScope) {
			t.Errorf("handle %q: %v, want ErrScope", dead, err)
		}
	}
}

func TestNobodyTakesAllScopes(t *testing.T) {
	f, head, _ := attacked(t, twoUsers{})
	ctx := t.Context()
	eve, owner := f.client(t, f.eve), f.client(t, f.owner)
	fill := func(limit int, open func() error) {
		t.Helper()
		for i := range limit {
			if err := open(); err != nil {
				t.Fatalf("number %d: %v", i, err)
			}
		}
		if err := open(); !errors.Is(err, objstore.ErrThrottled) {
			t.Errorf("one more than %d: %v, want ErrThrottled", limit, err)
		}
	}
	fill(sessionsMax/share, func() error {
		_, err := eve.Session(ctx, repo.Scope{Repo: "open", Branch: "main"})
		return err
	})
	fill(scopesMax/share-sessionsMax/share, func() error {
		clear(eve.readers) // or the open one would do
		_, err := eve.Reader(ctx, repo.Scope{Repo: "open", Commit: head})
		return err
	})
	if _, err := owner.Session(ctx, repo.Scope{Repo: "open", Branch: "main"}); err != nil {
		t.Errorf("session of the owner: %v", err)
	}
	if _, err := owner.Reader(ctx, repo.Scope{Repo: "open", Commit: head}); err != nil {
		t.Errorf("reader of the owner: %v", err)
	}
}

func TestNamedIsBounded(t *testing.T) {
	f, head, _ := attacked(t, twoUsers{})
	owner := f.client(t, f.owner)
	if _, err := owner.Reader(t.Context(), repo.Scope{Repo: "open", Commit: head}); err != nil {
		t.Fatal(err)
	}
	named := &f.server.scopes.named
	if n := named.Load(); n != 1 {
		t.Errorf("%d chunks are named, want the commit", n)
	}
	named.Store(namedAllMax)
	if _, err := owner.Reader(t.Context(), repo.Scope{Repo: "open", Commit: commit.ID{1}}); errors.Is(err, objstore.ErrThrottled) {
		t.Errorf("a commit that is not there: %v", err)
	}
	s, err := owner.Session(t.Context(), repo.Scope{Repo: "open", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), chunk.Data, []byte("one more")); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, objstore.ErrThrottled) {
		t.Errorf("one chunk more than all scopes may name: %v, want ErrThrottled", err)
	}
	named.Store(1)
	if err := f.server.scopes.closeAll(); err != nil {
		t.Error(err)
	}
	if n := named.Load(); n != 0 {
		t.Errorf("%d chunks are named after all scopes ended", n)
	}
}

// Small chunks go in batches whose IDs fit into one answer.
func TestManySmallChunks(t *testing.T) {
	f, _, _ := attacked(t, twoUsers{})
	s, err := f.client(t, f.owner).Session(t.Context(), repo.Scope{Repo: "open", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const idSize = 34 // bytes of an ID in the answer
	most := 0
	for i := range uint32(batchCount + 1) {
		if _, err := s.Put(t.Context(), chunk.Data, binary.BigEndian.AppendUint32(nil, i)); err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
		most = max(most, len(s.(*session).batch))
	}
	if most*idSize > messageSizeMax/2 {
		t.Errorf("%d chunks in one call: their IDs may not fit into an answer", most)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := binary.BigEndian.AppendUint32(nil, batchCount)
	if b, err := s.Get(t.Context(), chunk.Data, chunk.Data.Sum(last)); err != nil || string(b) != string(last) {
		t.Errorf("the last chunk: %x, %v", b, err)
	}
}

// Who may see no pipeline sees neither its jobs nor what they printed.
func TestJobsOfOthersAreNotShown(t *testing.T) {
	f, _, _ := attacked(t, rights(func(a auth.Action, _ auth.Resource) bool { return a != auth.ReadPipeline }))
	ctx := t.Context()
	c := f.client(t, f.eve)
	jobs := c.Jobs()
	if list, err := jobs.Pipelines(ctx); err != nil || len(list) != 0 {
		t.Errorf("pipelines: %v, %v, want none", list, err)
	}
	for j, err := range jobs.Jobs(ctx, "") {
		t.Errorf("job %v, %v, want none", j.ID, err)
	}
	if _, err := jobs.Job(ctx, oneJob().ID.String()); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("job by ID: %v, want ErrDenied", err)
	}
	for _, err := range jobs.Datums(ctx, oneJob().ID) {
		if !errors.Is(err, auth.ErrDenied) {
			t.Errorf("datums: %v, want ErrDenied", err)
		}
	}
	for _, name := range []string{"", "count"} {
		stream, err := jobs.logs.ReadLogs(ctx, &dvxv1.ReadLogsRequest{Pipeline: name})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("newest log of %q: %v, %v, want fs.ErrNotExist, as if there were no job", name, m.GetJob(), err)
		}
	}
}

// TestNamedByKind: that a directory was written does not make its ID one of a
// file's content, of which there are no bytes.
func TestNamedByKind(t *testing.T) {
	f := newFixture(t, auth.OwnerOnly{})
	ctx := auth.With(t.Context(), auth.Owner)
	c := f.client(t, f.owner)
	if _, err := c.Move(ctx, repo.Txn{Op: testOp(t), Ops: []repo.Op{repo.CreateRepo{Repo: "images"}}}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Session(ctx, repo.Scope{Repo: "images", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	dir, err := tree.Empty(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	forged := new(chunk.Mem)
	root, err := tree.Apply(ctx, forged, tree.Root{}, []tree.Edit{
		{Op: tree.Put, Path: "spec.json", Entry: tree.Entry{Kind: tree.File, Content: chunk.Content{ID: chunk.ID(dir.ID), Size: 5}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := forged.Get(ctx, chunk.Node, chunk.ID(root.ID))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Put(ctx, chunk.Node, b); err == nil {
		err = s.Flush(ctx)
	}
	if !errors.Is(err, ErrScope) {
		t.Errorf("a file whose content is a directory: %v, want ErrScope", err)
	}
}
