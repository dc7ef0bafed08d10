package tree_test

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

func ExampleApply() {
	ctx, s := context.Background(), &chunk.Mem{}
	v1, err := tree.Apply(ctx, s, tree.Root{}, []tree.Edit{
		{Op: tree.Put, Path: "2026/a.csv", Entry: tree.Entry{Kind: tree.File}},
		{Op: tree.Put, Path: "2026/b.csv", Entry: tree.Entry{Kind: tree.File}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	v2, err := tree.Apply(ctx, s, v1, []tree.Edit{
		{Op: tree.Delete, Path: "2026/b.csv"},
		{Op: tree.Put, Path: "run.sh", Entry: tree.Entry{Kind: tree.File, Exec: true}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for c, err := range tree.Diff(ctx, s, v1, s, v2, tree.DiffOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(c.Kind, c.Path)
	}
	// Output:
	// removed 2026/b.csv
	// added run.sh
}

func ExampleTree_Walk() {
	ctx, s := context.Background(), &chunk.Mem{}
	var edits []tree.Edit
	for _, path := range []string{"a/1", "a/2", "b", "c/d/3"} {
		edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File}})
	}
	root, err := tree.Apply(ctx, s, tree.Root{}, edits)
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range tree.Open(s, root).Walk(ctx, tree.WalkOptions{Shallow: true}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Path)
	}
	// Output:
	// a/
	// b
	// c/
}
