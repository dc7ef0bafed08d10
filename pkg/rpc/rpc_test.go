package rpc

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// fixture is a store in memory with a daemon in front of it.
type fixture struct {
	direct   *repo.Direct
	server   *Server
	dial     []grpc.DialOption
	owner    auth.Key
	eve      auth.Key
	now      time.Time
	log      bytes.Buffer
	auditing sync.Mutex
	audited  []auth.Event
}

// twoUsers lets the owner do all and eve whatever is not about the repo "secret".
type twoUsers struct{}

func (twoUsers) Authorize(ctx context.Context, p auth.Principal, a auth.Action, r auth.Resource) error {
	if p.Name == "eve" && r.Repo != "secret" && a != auth.Admin {
		return nil
	}
	return auth.OwnerOnly{}.Authorize(ctx, p, a, r)
}

func newFixture(t *testing.T, a auth.Authorizer) *fixture {
	t.Helper()
	return newFixtureWith(t, a, func(*ServerOptions) {})
}

func newFixtureWith(t *testing.T, a auth.Authorizer, edit func(*ServerOptions)) *fixture {
	t.Helper()
	f := &fixture{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return f.now }
	var err error
	f.direct, err = repo.Init(auth.With(t.Context(), auth.Owner), mem.New(mem.Options{Now: now}), repo.InitOptions{Options: repo.Options{Now: now, Rand: rand.Reader}})
	if err != nil {
		t.Fatal(err)
	}
	if f.owner, err = auth.NewKey(rand.Reader, auth.Owner); err != nil {
		t.Fatal(err)
	}
	if f.eve, err = auth.NewKey(rand.Reader, auth.Principal{Name: "eve"}); err != nil {
		t.Fatal(err)
	}
	o := ServerOptions{
		Store: f.direct, Jobs: noJobs{}, Keys: auth.Keys{f.owner, f.eve}, Authorizer: a,
		Log: slog.New(slog.NewTextHandler(&f.log, nil)), Now: now, Audit: f.note,
	}
	edit(&o)
	f.server = NewServer(o)
	lis := bufconn.Listen(1 << 20)
	go func() { _ = f.server.GRPC().Serve(lis) }()
	t.Cleanup(func() {
		f.server.GRPC().Stop()
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
	})
	f.dial = []grpc.DialOption{grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return lis.Dial() })}
	return f
}

// note keeps what the server tells its auditor.
func (f *fixture) note(e auth.Event) {
	f.auditing.Lock()
	defer f.auditing.Unlock()
	f.audited = append(f.audited, e)
}

func (f *fixture) client(t *testing.T, key auth.Key) *Client {
	t.Helper()
	c, err := Dial(t.Context(), ClientOptions{Address: "passthrough:///buf", Key: key, Dial: f.dial, Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func testOp(t *testing.T) repo.OpID {
	t.Helper()
	op, err := repo.NewOpID(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// put commits one file and returns the commit.
func put(ctx context.Context, t *testing.T, s repo.Store, name, path, body string) commit.ID {
	t.Helper()
	res, err := repo.PutFile(ctx, s, repo.CommitOptions{Repo: name, Branch: "main", Op: testOp(t), Time: time.Now(), Author: "test", Policy: repo.Rebase},
		path, tree.Entry{}, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return res.ID
}

func move(ctx context.Context, t *testing.T, s repo.Store, ops ...repo.Op) {
	t.Helper()
	if _, err := s.Move(ctx, repo.Txn{Op: testOp(t), Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

// story is a sequence of work whose transcript must be the same on a store and
// through a daemon.
func story(ctx context.Context, t *testing.T, s repo.Store) string {
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := byte(0)
	op := func() (o repo.OpID) { n++; o[0] = n; return o }

	if _, err := s.Move(ctx, repo.Txn{Op: op(), Ops: []repo.Op{repo.CreateRepo{Repo: "images", Branch: "main"}}}); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB: several chunks and pieces
	for i, body := range []string{"one", "two", big, ""} {
		res, err := repo.PutFile(ctx, s, repo.CommitOptions{Repo: "images", Branch: "main", Op: op(), Time: at.Add(time.Duration(i) * time.Hour), Author: "a"},
			fmt.Sprintf("d%d/f%d", i%2, i), tree.Entry{}, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		say("put %d: %v", i, res.ID)
	}
	for e, err := range repo.Log(ctx, s, "images@main", commit.LogOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		say("log %v %d files", e.ID, e.Commit.Tree.Files)
	}
	for c, err := range repo.Diff(ctx, s, "images@main~3", "images@main", tree.DiffOptions{Expand: true}) {
		if err != nil {
			t.Fatal(err)
		}
		say("diff %v %s", c.Kind, c.Path)
	}
	r, e, err := repo.GetFile(ctx, s, "images@main~1:/d0/f2")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b) != big {
		t.Fatalf("big file came back as %d bytes, %v", len(b), err)
	}
	say("get %v", e.Content.ID)
	head, err := repo.Resolve(ctx, s, "images@main")
	if err != nil {
		t.Fatal(err)
	}
	move(ctx, t, s, repo.CreateBranch{Repo: "images", Branch: "staging", From: head.ID, Fork: "main"}, repo.CreateTag{Repo: "images", Tag: "v1", Commit: head.ID})
	// Twice the same operation: one effect.
	again := repo.Txn{Op: op(), Ops: []repo.Op{repo.CreateRepo{Repo: "second"}}}
	for range 2 {
		res, err := s.Move(ctx, again)
		if err != nil {
			t.Fatal(err)
		}
		say("replay %v", res.Replay)
	}
	_, err = s.Move(ctx, repo.Txn{Op: op(), Ops: []repo.Op{repo.MoveBranch{Repo: "images", Branch: "main", Expect: commit.ID{1}, To: head.ID}}})
	say("conflict %v", errors.Is(err, repo.ErrConflict))
	_, err = s.Move(ctx, repo.Txn{Op: op(), Ops: []repo.Op{repo.CreateRepo{Repo: "images"}}})
	say("exists %v", errors.Is(err, fs.ErrExist))
	_, err = repo.Resolve(ctx, s, "nowhere@main")
	say("no repo %v", errors.Is(err, repo.ErrRepoNotFound))
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"images", "second"} {
		say("%s: %d branches, %d tags, default %s", name, len(v.Repos[name].Branches), len(v.Repos[name].Tags), v.Repos[name].Default)
	}
	say("config %v", s.Config().Chunker)
	return out.String()
}

func TestSameThroughDaemon(t *testing.T) {
	ctx := auth.With(t.Context(), auth.Owner)
	direct := newFixture(t, auth.OwnerOnly{})
	remote := newFixture(t, auth.OwnerOnly{})
	want := story(ctx, t, direct.direct)
	got := story(ctx, t, remote.client(t, remote.owner))
	if got != want {
		t.Errorf("directly:\n%s\nthrough the daemon:\n%s", want, got)
	}
	if remote.log.Len() > 0 {
		t.Errorf("internal errors: %s", remote.log.String())
	}
}

func TestScopeNamesWhatMayBeRead(t *testing.T) {
	ctx := auth.With(t.Context(), auth.Owner)
	f := newFixture(t, twoUsers{})
	move(ctx, t, f.direct, repo.CreateRepo{Repo: "open"}, repo.CreateRepo{Repo: "secret"})
	put(ctx, t, f.direct, "open", "a", "public")
	hidden := put(ctx, t, f.direct, "secret", "s", "the secret")
	hiddenChunk := chunk.Data.Sum([]byte("the secret"))
	openHead, err := repo.Resolve(ctx, f.direct, "open@main")
	if err != nil {
		t.Fatal(err)
	}

	eve := f.client(t, f.eve)
	if _, err := eve.Reader(ctx, repo.Scope{Repo: "secret", Commit: hidden}); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("reader of a forbidden repo: %v, want ErrDenied", err)
	}
	if _, err := eve.Reader(ctx, repo.Scope{Repo: "open", Commit: hidden}); !errors.Is(err, repo.ErrRefNotFound) {
		t.Errorf("forbidden commit named in an open repo: %v, want ErrRefNotFound", err)
	}
	r, err := eve.Reader(ctx, openHead.Scope())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(ctx, chunk.Data, hiddenChunk); !errors.Is(err, ErrScope) {
		t.Errorf("forbidden chunk by its ID: %v, want ErrScope", err)
	}
	own := chunk.Data.Sum([]byte("public"))
	if _, err := r.Get(ctx, chunk.Data, own); !errors.Is(err, ErrScope) {
		t.Errorf("chunk of the scope before anything named it: %v, want ErrScope", err)
	}
	e, err := tree.Open(r, openHead.Commit.Tree).Lookup(ctx, "a")
	if !errors.Is(err, ErrScope) {
		t.Errorf("tree before the commit was read: %v %v, want ErrScope", e, err)
	}
	if _, err := commit.Load(ctx, r, openHead.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Open(r, openHead.Commit.Tree).Lookup(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if b, err := r.Get(ctx, chunk.Data, own); err != nil || string(b) != "public" {
		t.Errorf("chunk that the tree names: %q, %v", b, err)
	}
	if v, err := eve.View(ctx); err != nil || len(v.Repos) != 1 {
		t.Errorf("eve sees %d repos, %v, want only the open one", len(v.Repos), err)
	}
}

func TestScopeGraft(t *testing.T) {
	ctx := auth.With(t.Context(), auth.Owner)
	f := newFixture(t, twoUsers{})
	move(ctx, t, f.direct, repo.CreateRepo{Repo: "open"}, repo.CreateRepo{Repo: "secret"})
	put(ctx, t, f.direct, "secret", "s", "the secret")
	eve := f.client(t, f.eve)
	// Eve knows a chunk's ID and tries to make it hers by naming it in a tree.
	stolen := tree.Entry{Kind: tree.File, Content: chunk.Content{ID: chunk.Data.Sum([]byte("the secret")), Size: 10}}
	_, err := repo.Commit(ctx, eve, repo.CommitOptions{Repo: "open", Branch: "main", Op: testOp(t), Time: f.now, Author: "eve"},
		func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
			return d.Apply(ctx, []tree.Edit{{Op: tree.Put, Path: "mine", Entry: stolen}})
		})
	if !errors.Is(err, ErrScope) {
		t.Fatalf("grafting a chunk: %v, want ErrScope", err)
	}
}

func TestScopeBelongsToItsPrincipal(t *testing.T) {
	ctx := auth.With(t.Context(), auth.Owner)
	f := newFixture(t, twoUsers{})
	move(ctx, t, f.direct, repo.CreateRepo{Repo: "open"})
	id := put(ctx, t, f.direct, "open", "a", "x")
	owner, eve := f.client(t, f.owner), f.client(t, f.eve)
	r, err := owner.Reader(ctx, repo.Scope{Repo: "open", Commit: id})
	if err != nil {
		t.Fatal(err)
	}
	handle := r.(*reader).handle
	if _, err := (&reader{c: eve, handle: handle}).Get(ctx, chunk.Commit, chunk.ID(id)); !errors.Is(err, ErrScope) {
		t.Errorf("eve uses the owner's scope: %v, want ErrScope", err)
	}
	if _, err := r.Get(ctx, chunk.Commit, chunk.ID(id)); err != nil {
		t.Errorf("the owner's scope: %v", err)
	}
	f.now = f.now.Add(11 * time.Minute)
	if _, err := eve.Reader(ctx, repo.Scope{Repo: "open", Commit: id}); err != nil { // sweeps
		t.Fatal(err)
	}
	if _, err := r.Get(ctx, chunk.Commit, chunk.ID(id)); !errors.Is(err, ErrScope) {
		t.Errorf("scope idle for 11 minutes: %v, want ErrScope", err)
	}
}

func TestEveryMethodAsks(t *testing.T) {
	f := newFixture(t, denyAll{})
	calls := 0
	for service, info := range f.server.GRPC().GetServiceInfo() {
		if strings.HasPrefix(service, "grpc.health") {
			continue
		}
		for _, m := range info.Methods {
			calls++
			method := "/" + service + "/" + m.Name
			for _, c := range []struct {
				name, token string
				want        error
			}{
				{"no key", "", auth.ErrUnauthenticated},
				{"wrong secret", f.owner.Access + ".x", auth.ErrUnauthenticated},
				{"key without rights", f.owner.Token(), fs.ErrPermission},
			} {
				if m.Name == "CloseScope" && errors.Is(c.want, fs.ErrPermission) {
					continue // ends scopes of the caller's own, and there are none: a handle is the right
				}
				if err := invoke(t, f, method, m, c.token); !errors.Is(err, c.want) {
					t.Errorf("%s with %s: %v, want %v", method, c.name, err, c.want)
				}
			}
		}
	}
	if calls < 20 {
		t.Errorf("only %d methods were tried", calls)
	}
}

// denyAll refuses everything.
type denyAll struct{}

func (denyAll) Authorize(context.Context, auth.Principal, auth.Action, auth.Resource) error {
	return fmt.Errorf("nobody may do anything: %w", auth.ErrDenied)
}

// invoke calls a method with a request that names something.
func invoke(t *testing.T, f *fixture, method string, m grpc.MethodInfo, token string) error {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///buf", append(f.dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	if token != "" {
		ctx = withToken(ctx, token)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsServerStream, ClientStreams: m.IsClientStream}, method)
	if err != nil {
		return fromStatus(err)
	}
	if err := stream.SendMsg(requestFor(method)); err != nil && !errors.Is(err, io.EOF) {
		return fromStatus(err)
	}
	if err := stream.CloseSend(); err != nil {
		return fromStatus(err)
	}
	return fromStatus(stream.RecvMsg(&dvxv1.GetViewResponse{}))
}

// requestFor returns a request that is sound as far as it can be.
func requestFor(method string) any {
	switch name := method[strings.LastIndexByte(method, '/')+1:]; name {
	case "Move":
		return &dvxv1.MoveRequest{Txn: &dvxv1.Txn{OpId: make([]byte, 16), Ops: []*dvxv1.Op{{Op: &dvxv1.Op_CreateRepo{CreateRepo: &dvxv1.CreateRepo{Repo: "x"}}}}}}
	case "Diff":
		return &dvxv1.DiffRequest{From: "x@main", To: "x@main"}
	case "GetCommit", "ListCommits", "ListEntries", "ReadFile", "WriteFile":
		return &dvxv1.GetCommitRequest{Ref: "x@main:/a"} // the ref is field 1 of all of them
	default:
		return &dvxv1.GetViewRequest{}
	}
}

func TestErrorKindsCrossTheWire(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, k := range kinds() {
		err := fromStatus(toStatus(t.Context(), log, "m", fmt.Errorf("open images: %w", k.err)))
		if !errors.Is(err, k.err) || !strings.Contains(err.Error(), "open images") {
			t.Errorf("%s arrived as %v", k.name, err)
		}
	}
	if err := fromStatus(toStatus(t.Context(), log, "m", syscall.EPIPE)); strings.Contains(err.Error(), "pipe") {
		t.Errorf("an error without a kind shows its detail: %v", err)
	}
	var buf bytes.Buffer
	_ = toStatus(t.Context(), slog.New(slog.NewTextHandler(&buf, nil)), "m", syscall.EPIPE)
	if !strings.Contains(buf.String(), "broken pipe") {
		t.Errorf("and the log does not say it: %s", buf.String())
	}
}

func TestUnreachable(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// The port of a client: nobody listens on it, nor can as long as it is held.
	conn, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	addr := conn.LocalAddr().String()
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Dial(t.Context(), ClientOptions{Address: addr})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v, want ErrUnreachable", err)
	}
}
