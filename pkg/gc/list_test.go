package gc

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

var update = flag.Bool("update", false, "write the golden files anew")

func exampleList() list {
	return list{time: time.UnixMilli(1_795_000_000_123).UTC(), objects: []object{
		{"packs/0000000000000002-ab/00000000", 16 << 20}, {"idx/0000000000000001-cd/00000000", 300}, {"memo/000000000003-ef", 0},
	}}
}

func TestListGolden(t *testing.T) {
	l := exampleList()
	got := l.encode()
	const name = "testdata/list.golden"
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	back, err := decodeList(want)
	if err != nil || !back.time.Equal(l.time) || len(back.objects) != 3 || back.objects[0].key != "idx/0000000000000001-cd/00000000" {
		t.Errorf("%+v, %v", back, err)
	}
	for i := range want {
		bad := bytes.Clone(want)
		bad[i] ^= 1
		if _, err := decodeList(bad); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func FuzzDecodeList(f *testing.F) {
	l := exampleList()
	f.Add(l.encode())
	f.Add((&list{}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, append(bytes.Clone(b), listSum(b)+"\n"...)} {
			l, err := decodeList(in)
			if err != nil && !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatal(err)
			}
			if err == nil && !bytes.Equal(l.encode(), in) {
				t.Error("another encoding was accepted")
			}
		}
	})
}
