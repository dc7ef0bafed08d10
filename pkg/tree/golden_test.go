package tree

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
)

var update = flag.Bool("update", false, "write the golden files")

// fill returns an ID of one repeated byte.
func fill[T ~[32]byte](b byte) (id T) {
	copy(id[:], bytes.Repeat([]byte{b}, 32))
	return id
}

// goldenNodes are nodes that between them have every field.
func goldenNodes() map[string]*node {
	data := chunk.Content{ID: fill[chunk.ID](0xaa), Size: 1000}
	list := chunk.Content{ID: fill[chunk.ID](0xbb), Size: 1 << 40, Depth: 3}
	dir := Root{ID: fill[ID](0xcc), Content: fill[ContentID](0xdd), Files: 2, Bytes: 300}
	attrs := Attrs{
		Time: time.UnixMilli(1_795_000_000_123).UTC(), Op: OpID{1, 2, 3}, ContentType: "text/csv",
		Headers: map[string]string{"cache-control": "no-cache", "expires": "0"},
		Meta:    map[string]string{"b": "", "aa": "ü", "a": "1"},
		MD5:     bytes.Repeat([]byte{0xee}, 16), ETag: "0123-2",
	}
	entries := func(list ...Entry) *node {
		n := &node{}
		for _, e := range list {
			n.items = append(n.items, entryItem(e))
		}
		return n
	}
	return map[string]*node{
		"empty": {},
		"small": entries(
			Entry{Name: "a", Kind: File, Content: data},
			Entry{Name: "a-b", Kind: File},
			Entry{Name: "a", Kind: Dir, Dir: dir},
			Entry{Name: "huge", Kind: File, Content: list},
			Entry{Name: "link", Kind: Symlink, Content: data},
			Entry{Name: "run", Kind: File, Exec: true, Content: data},
			Entry{Name: "void", Kind: Dir, Dir: emptyRoot()},
			Entry{Name: "ü", Kind: File, Content: data},
		),
		"attrs": entries(
			Entry{Name: "all", Kind: File, Content: data, Attrs: attrs},
			Entry{Name: "epoch", Kind: Symlink, Content: data, Attrs: Attrs{Time: time.UnixMilli(0).UTC()}},
		),
		"marker": entries(
			Entry{Name: "bare", Kind: Dir, Dir: dir, Marker: &Marker{}},
			Entry{Name: "full", Kind: Dir, Dir: dir, Marker: &Marker{Content: list, Attrs: attrs}, Attrs: Attrs{Op: OpID{9}}},
		),
		"pointers": {level: 1, items: []item{
			{key: "m/", count: 300, Entry: Entry{Dir: dir}},
			{key: "z", count: 70_000, Entry: Entry{Dir: Root{ID: fill[ID](1), Content: fill[ContentID](2)}}},
		}},
	}
}

// checkGolden holds got against a file of testdata.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: format version %d has changed: %s", path, version, d)
	}
}

func TestGoldenNodes(t *testing.T) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range goldenNodes() {
		t.Run(name, func(t *testing.T) {
			if err := n.check(); err != nil {
				t.Fatal(err)
			}
			b := appendNode(nil, n, stored)
			vis := appendNode(nil, n, visible)
			var out strings.Builder
			for _, f := range []struct {
				what  string
				bytes []byte
			}{{"stored", b}, {"visible", vis}} {
				text, err := cbor.Diagnose(f.bytes)
				if err != nil {
					t.Fatal(err)
				}
				text = strings.ReplaceAll(text, "{1: \"", "\n  {1: \"")
				fmt.Fprintf(&out, "%s form:\n%s\n%s\n", f.what, hex.Dump(f.bytes), text)
			}
			_, content := new(contentHasher).sum(n, nil)
			fmt.Fprintf(&out, "storage ID %v\ncontent ID %v\n", chunk.Node.Sum(b), content)
			checkGolden(t, name, out.String())

			got, err := decodeNode(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(n, got, cmp.AllowUnexported(node{}, item{}), cmp.Comparer(func(a, b []item) bool {
				return len(a)+len(b) == 0 || cmp.Equal(a, b, cmp.AllowUnexported(item{}))
			})); d != "" {
				t.Errorf("decoded: %s", d)
			}
			var v any
			if err := cbor.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			if again, err := enc.Marshal(v); err != nil || !bytes.Equal(again, b) {
				t.Errorf("not core deterministic CBOR: %x, %v", again, err)
			}
		})
	}
}

// shape lists the nodes of a directory, from the root down.
func shape(t *testing.T, s chunk.Reader, root Root) string {
	t.Helper()
	ctx := context.Background()
	var out strings.Builder
	fmt.Fprintf(&out, "%+v\n", root)
	n, err := loadRoot(ctx, s, root)
	if err != nil {
		t.Fatal(err)
	}
	var list func(n *node)
	list = func(n *node) {
		for i := range n.items {
			if n.level == 0 {
				return
			}
			child, err := loadChild(ctx, s, n, i)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "level %d: %4d items to %-8s %v\n", child.level, len(child.items), child.last(), n.items[i].Dir.ID)
			list(child)
		}
	}
	list(n)
	return out.String()
}

// plainNames returns n sorted names that end no node at level 0.
func plainNames(n int) []string {
	k := &keyHasher{}
	names := make([]string, 0, n)
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprintf("p%06d", i)
		if h := k.sum(name); !h.ends(0) {
			names = append(names, name)
		}
	}
	return names
}

func TestGoldenShapes(t *testing.T) {
	ctx := context.Background()
	for name, paths := range map[string][]string{
		"large":  numbered(3000),
		"forced": plainNames(9000),
	} {
		t.Run(name, func(t *testing.T) {
			s := &chunk.Mem{}
			root, err := Build(ctx, s, func(yield func(string, Entry) bool) {
				for _, path := range paths {
					if !yield(path, Entry{Kind: File, Content: chunk.Content{ID: fill[chunk.ID](7), Size: 7}}) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, name, shape(t, s, root))
			if err := Verify(ctx, s, root); err != nil {
				t.Error(err)
			}
		})
	}
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("n%06d", i)
	}
	return names
}
