//go:build e2e

package e2e

import (
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/tree"
)

// sameFiles is a small tree with all that may matter: depth, an empty file, a
// file of many chunks, names around each other in order.
func sameFiles() map[string]string {
	big := make([]byte, 9<<20)
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range big {
		big[i] = byte(rng.Uint32())
	}
	files := map[string]string{"empty": "", "big.bin": string(big), "a": "1", "a.b": "2", "a0/x": "3", "z/y/x/w": "4", "ü/ö": "5"}
	for _, c := range "bcdefghijklmnop" {
		files["many/"+string(c)+".txt"] = strings.Repeat(string(c), int(c))
	}
	return files
}

// TestSameBytesSameIDs writes the same files by dvx commit, by dvx put one by
// one in another order, and over gRPC in a third: all have the same content ID.
func TestSameBytesSameIDs(t *testing.T) {
	files := sameFiles()
	names := slices.Sorted(maps.Keys(files))
	u := newUser(t)
	wc := u.in("committed")
	wc.write(files)
	wc.dvx("init")
	wc.dvx("commit", "-m", "all at once")
	store := wc.path(".dvx", "store")
	c := u.with("DVX_STORE", store)
	want := c.show("committed@main").Commit.Tree

	c.dvx("repo", "create", "put")
	rng := mathrand.New(mathrand.NewPCG(3, 4))
	rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	c.write(map[string]string{"junk": "not to stay"})
	c.dvx("put", "junk", "put@main:/many/junk")
	for _, name := range names {
		c.dvx("put", wc.path(name), "put@main:/"+name)
	}
	c.dvx("rm", "put@main:/many/junk")
	if got := c.show("put@main").Commit.Tree; got.Content != want.Content {
		t.Errorf("put one by one: content %s, committed at once: %s", got.Content, want.Content)
	}

	d := u.serve(store)
	c.dvx("repo", "create", "sent")
	slices.Reverse(names)
	putAll(t, d, "sent", names, files)
	if got := c.show("sent@main").Commit.Tree; got.Content != want.Content {
		t.Errorf("sent over gRPC: content %s, committed at once: %s", got.Content, want.Content)
	}
	if out := c.dvx("diff", "committed@main", "sent@main"); out != "" {
		t.Errorf("the two differ:\n%s", out)
	}
	d.stop()

	other := u.in("elsewhere", "committed")
	other.write(files)
	other.dvx("init")
	other.dvx("commit", "-m", "in another store")
	if got := other.show("committed@main").Commit.Tree; got.Content != want.Content {
		t.Errorf("in another store: content %s, want %s", got.Content, want.Content)
	}
	figure(t, "commit, %d puts in another order, gRPC in a third and another store: one content ID %.12s", len(names), want.Content)
}

// putAll writes files with a client of the API, one commit each.
func putAll(t *testing.T, d *daemon, name string, names []string, files map[string]string) {
	t.Helper()
	key, err := auth.LoadKey(d.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx := auth.With(t.Context(), auth.Owner)
	client, err := rpc.Dial(ctx, rpc.ClientOptions{Address: d.GRPC, Key: key, TLS: auth.ClientTLS(key.ServerKey())})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, path := range names {
		op := repo.OpID{0: byte(i + 1), 15: 1}
		o := repo.CommitOptions{Repo: name, Branch: "main", Op: op, Time: time.Now(), Message: "put " + path, Policy: repo.Rebase}
		if _, err := repo.PutFile(ctx, client, o, path, tree.Entry{}, strings.NewReader(files[path])); err != nil {
			t.Fatal(err)
		}
	}
}
