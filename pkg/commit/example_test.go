package commit_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Two commits, the second on top of the first.
func Example() {
	ctx := context.Background()
	var store chunk.Mem
	root, _ := tree.Empty(ctx, &store)
	c := commit.Commit{
		Tree: root, Author: "zoe", Message: "first",
		Time: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Op: strings.Repeat("0", 31) + "1",
	}
	first, _ := commit.Save(ctx, &store, c)
	c.Parents, c.Message, c.Time = []commit.ID{first}, "second", c.Time.Add(time.Minute)
	second, _ := commit.Save(ctx, &store, c)
	for e, err := range commit.Log(ctx, &store, second, commit.LogOptions{}) {
		fmt.Println(e.Commit.Time.Format(time.TimeOnly), e.Commit.Message, err)
	}
	base, err := commit.MergeBase(ctx, &store, first, second)
	fmt.Println(base == first, err)
	// Output:
	// 09:01:00 second <nil>
	// 09:00:00 first <nil>
	// true <nil>
}
