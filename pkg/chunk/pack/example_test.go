package pack_test

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

func Example() {
	ctx := context.Background()
	st, err := pack.New(mem.New(mem.Options{}), pack.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	name, err := pack.SessionName(1, "example")
	if err != nil {
		panic(err)
	}
	session, err := st.Session(ctx, nil, name)
	if err != nil {
		panic(err)
	}
	defer session.Close()
	id, err := session.Put(ctx, chunk.Data, []byte("hello"))
	if err != nil {
		panic(err)
	}
	if err := session.Flush(ctx); err != nil {
		panic(err)
	}

	fmt.Println(session.Segments()) // what a root would name
	snapshot, err := st.Snapshot(ctx, session.Segments())
	if err != nil {
		panic(err)
	}
	b, err := snapshot.Get(ctx, chunk.Data, id)
	fmt.Println(string(b), err)
	// Output:
	// [idx/0000000000000001-example/00000000]
	// hello <nil>
}
