package repo_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// A store in memory, a repo, two versions of a file.
func Example() {
	ctx := auth.With(context.Background(), auth.Owner)
	now := func() time.Time { return time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC) }
	o := repo.Options{Now: now, Rand: rand.NewChaCha8([32]byte{1})}
	store, err := repo.Init(ctx, mem.New(mem.Options{}), repo.InitOptions{Options: o})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	op, _ := store.NewOp()
	if _, err := store.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.CreateRepo{Repo: "images"}}}); err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"old", "new"} {
		op, _ := store.NewOp()
		c := repo.CommitOptions{Repo: "images", Op: op, Time: now(), Message: text}
		if _, err := repo.PutFile(ctx, store, c, "a/b.txt", tree.Entry{}, strings.NewReader(text)); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, expr := range []string{"images@main:/a/b.txt", "images@main~1:/a/b.txt"} {
		file, _, err := repo.GetFile(ctx, store, expr)
		if err != nil {
			fmt.Println(err)
			return
		}
		b, _ := io.ReadAll(file)
		fmt.Printf("%s: %s\n", expr, b)
	}
	// Output:
	// images@main:/a/b.txt: new
	// images@main~1:/a/b.txt: old
}

func ExampleParseRef() {
	r, err := repo.ParseRef("images@main{2026-11-20}~2:/2026/a.png")
	fmt.Println(r.Repo, r.Name, r.Steps[0].N, r.Path, err)
	// Output: images main 2 2026/a.png <nil>
}
