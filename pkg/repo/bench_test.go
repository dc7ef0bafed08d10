package repo

import (
	"fmt"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// BenchmarkCommit commits one small file after another.
func BenchmarkCommit(b *testing.B) {
	for name, open := range map[string]func() objstore.Store{
		"mem": func() objstore.Store { return mem.New(mem.Options{}) },
		"disk": func() objstore.Store {
			s, err := disk.Create(b.Context(), b.TempDir(), disk.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			d := newDirect(b, open(), 1)
			d.o.After = time.After
			move(b, d, CreateRepo{Repo: "a"})
			for i := 0; b.Loop(); i++ {
				mustPut(b, d, "main", fmt.Sprintf("d%d/f%d", i%100, i), fmt.Sprint(i))
			}
		})
	}
}
