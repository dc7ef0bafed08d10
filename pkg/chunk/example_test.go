package chunk_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

func ExampleWriteContent() {
	ctx := context.Background()
	var store chunk.Mem
	c, err := chunk.WriteContent(ctx, &store, chunk.DefaultParams(), strings.NewReader("equal bytes have equal contents"))
	if err != nil {
		panic(err)
	}
	fmt.Println(c.ID.Short(), c.Size, c.Depth)

	r, err := chunk.OpenContent(ctx, &store, c)
	if err != nil {
		panic(err)
	}
	b, err := io.ReadAll(r)
	fmt.Println(string(b), err)
	// Output:
	// d3a1a0b791bf 31 0
	// equal bytes have equal contents <nil>
}
