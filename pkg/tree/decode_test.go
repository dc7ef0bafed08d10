package tree

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// TestEveryBitCounts flips every bit of nodes, and cuts them at every length:
// what results is refused, or is the encoding of another node.
func TestEveryBitCounts(t *testing.T) {
	for name, n := range goldenNodes() {
		b := appendNode(nil, n, stored)
		for i := range len(b) * 8 {
			mutant := bytes.Clone(b)
			mutant[i/8] ^= 1 << (i % 8)
			if got, err := decodeNode(mutant); err == nil {
				if err := CheckNode(mutant); err != nil {
					t.Fatalf("%s: bit %d: decoded %v, but %v", name, i, got, err)
				}
			} else if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("%s: bit %d: %v", name, i, err)
			}
		}
		for i := range b {
			if err := CheckNode(b[:i]); !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("%s: cut at %d: %v", name, i, err)
			}
		}
		if err := CheckNode(append(b, 0)); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: with a byte more: %v", name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	id := bytes.Repeat([]byte{1}, 32)
	type m = map[int]any
	file := func(name string) m { return m{1: name, 2: 1} }
	node := func(items ...any) m { return m{1: 1, 2: 0, 3: items} }
	for name, v := range map[string]any{
		"newer version":         m{1: 2, 2: 0, 3: []any{}},
		"unknown field":         m{1: 1, 2: 0, 3: []any{}, 4: 0},
		"missing items":         m{1: 1, 2: 0},
		"level too high":        m{1: 1, 2: 8, 3: []any{}},
		"empty upper node":      m{1: 1, 2: 1, 3: []any{}},
		"unsorted":              node(file("b"), file("a")),
		"twice":                 node(file("a"), file("a")),
		"name empty":            node(file("")),
		"name dots":             node(file("..")),
		"name with slash":       node(file("a/b")),
		"name too long":         node(file(strings.Repeat("a", NameSizeMax+1))),
		"kind unknown":          node(m{1: "a", 2: 4}),
		"kind missing":          node(m{1: "a"}),
		"exec false":            node(m{1: "a", 2: 1, 3: false}),
		"size without id":       node(m{1: "a", 2: 1, 5: 1}),
		"id without size":       node(m{1: "a", 2: 1, 4: id}),
		"size zero":             node(m{1: "a", 2: 1, 4: id, 5: 0}),
		"size huge":             node(m{1: "a", 2: 1, 4: id, 5: uint64(math.MaxInt64) + 1}),
		"depth zero":            node(m{1: "a", 2: 1, 4: id, 5: 1, 6: 0}),
		"depth huge":            node(m{1: "a", 2: 1, 4: id, 5: 1, 6: 10}),
		"id short":              node(m{1: "a", 2: 1, 4: id[:31], 5: 1}),
		"id zero":               node(m{1: "a", 2: 1, 4: make([]byte, 32), 5: 1}),
		"link to nothing":       node(m{1: "a", 2: 2}),
		"link too long":         node(m{1: "a", 2: 2, 4: id, 5: LinkSizeMax + 1}),
		"executable link":       node(m{1: "a", 2: 2, 3: true, 4: id, 5: 1}),
		"executable directory":  node(m{1: "a", 2: 3, 3: true, 7: id, 10: id}),
		"directory without id":  node(m{1: "a", 2: 3, 7: id}),
		"file with directory":   node(m{1: "a", 2: 1, 7: id, 10: id}),
		"file with marker":      node(m{1: "a", 2: 1, 11: m{}}),
		"bytes in no file":      node(m{1: "a", 2: 3, 7: id, 9: 1, 10: id}),
		"totals overflow":       node(m{1: "a", 2: 3, 7: id, 8: 1, 9: int64(math.MaxInt64), 10: id}, m{1: "b", 2: 1, 4: id, 5: 1}),
		"attrs empty":           node(m{1: "a", 2: 1, 12: m{}}),
		"attrs time late":       node(m{1: "a", 2: 1, 12: m{1: int64(timeMax + 1)}}),
		"attrs op zero":         node(m{1: "a", 2: 1, 12: m{2: make([]byte, 16)}}),
		"attrs md5 short":       node(m{1: "a", 2: 1, 12: m{6: id[:15]}}),
		"attrs map empty":       node(m{1: "a", 2: 1, 12: m{5: m{}}}),
		"attrs upper case":      node(m{1: "a", 2: 1, 12: m{5: map[string]string{"A": ""}}}),
		"attrs too large":       node(m{1: "a", 2: 1, 12: m{5: map[string]string{"a": strings.Repeat("x", AttrsSizeMax)}}}),
		"attrs together large":  node(m{1: "a", 2: 3, 7: id, 10: id, 11: m{4: m{3: strings.Repeat("x", 2100)}}, 12: m{3: strings.Repeat("x", 2100)}}),
		"pointer without count": m{1: 1, 2: 1, 3: []any{m{1: "a", 3: id, 6: id}}},
		"pointer to none":       m{1: 1, 2: 1, 3: []any{m{1: "a", 2: 0, 3: id, 6: id}}},
		"pointer key":           m{1: 1, 2: 1, 3: []any{m{1: "a/b", 2: 1, 3: id, 6: id}}},
		"text for a number":     m{1: 1, 2: "0", 3: []any{}},
	} {
		b, err := enc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := decodeNode(b); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	for name, b := range map[string][]byte{
		"long number":      {0xa3, 1, 0x18, 1, 2, 0, 3, 0x80},
		"long length":      {0xa3, 1, 1, 2, 0, 3, 0x98, 0},
		"indefinite array": {0xa3, 1, 1, 2, 0, 3, 0x9f, 0xff},
		"fields unsorted":  {0xa3, 2, 0, 1, 1, 3, 0x80},
		"field twice":      {0xa3, 1, 1, 1, 1, 3, 0x80},
		"huge array":       {0xa3, 1, 1, 2, 0, 3, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"huge name":        {0xa3, 1, 1, 2, 0, 3, 0x81, 0xa2, 1, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"not UTF-8":        {0xa3, 1, 1, 2, 0, 3, 0x81, 0xa2, 1, 0x61, 0xff, 2, 1},
	} {
		if err := CheckNode(b); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVerifyRefuses stores directories that are well-formed node by node and
// not what their entries make.
func TestVerifyRefuses(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	w := newWriter(s)
	write := func(level int, items ...item) item {
		ptr, _, err := w.write(ctx, &node{level: level, items: items})
		if err != nil {
			t.Fatal(err)
		}
		return ptr
	}
	leaf := func(names ...string) item {
		n := []item{}
		for _, name := range names {
			e := Entry{Name: name, Kind: File, Content: content(1)}
			n = append(n, entryItem(e))
		}
		return write(0, n...)
	}
	with := func(ptr item, fn func(*item)) item { fn(&ptr); return ptr }
	inDir := func(root Root) Root {
		e := Entry{Name: "d", Kind: Dir, Dir: root}
		return write(0, entryItem(e)).Dir
	}
	a, z := leaf("a", "b"), leaf("y", "z")
	names := pool()[:12]
	for name, root := range map[string]Root{
		"split without need":       write(1, a, z).Dir,
		"not split":                leaf(sortedCopy(names)...).Dir,
		"chain above one node":     write(1, a).Dir,
		"level skipped":            write(2, a, z).Dir,
		"wrong last key":           write(1, with(a, func(p *item) { p.key = "c" }), z).Dir,
		"wrong count":              write(1, with(a, func(p *item) { p.count++ }), z).Dir,
		"wrong files":              write(1, with(a, func(p *item) { p.Dir.Files++ }), z).Dir,
		"wrong bytes":              write(1, with(a, func(p *item) { p.Dir.Bytes-- }), z).Dir,
		"nodes overlap":            write(1, leaf("a", "m"), leaf("b", "z")).Dir,
		"wrong content below":      inDir(Root{ID: a.Dir.ID, Content: z.Dir.Content, Files: 2, Bytes: a.Dir.Bytes}),
		"wrong files below":        inDir(Root{ID: a.Dir.ID, Content: a.Dir.Content, Files: 3, Bytes: a.Dir.Bytes}),
		"wrong content at the top": {ID: a.Dir.ID, Content: z.Dir.Content, Files: 2, Bytes: a.Dir.Bytes},
	} {
		if err := Verify(ctx, s, root); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		for from, base := range map[string]Root{"a leaf": a.Dir, "another": leaf("b", "n", "z").Dir, "a directory": inDir(a.Dir), "nothing": {}} {
			if err := VerifyChange(ctx, s, base, root); !errors.Is(err, chunk.ErrCorrupt) {
				t.Errorf("%s, from %s: %v", name, from, err)
			}
		}
	}
	if err := Verify(ctx, s, Root{ID: fill[ID](1), Content: fill[ContentID](1)}); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("missing node: %v", err)
	}
	good := inDir(a.Dir)
	if err := Verify(ctx, s, good); err != nil {
		t.Errorf("sound directory: %v", err)
	}
	for range PathDepthMax {
		good = inDir(good)
	}
	if err := Verify(ctx, s, good); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("too deep: %v", err)
	}
}

// TestManyFilesFromFewNodes holds a directory whose every level has two links
// to the next: reading its totals must fail before there are too many files.
func TestManyFilesFromFewNodes(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	root := apply(t, s, Root{}, Edit{Op: Put, Path: "f", Entry: Entry{Kind: File}})
	var err error
	for range 100 {
		twice := []Edit{}
		for _, name := range []string{"a", "b"} {
			twice = append(twice, Edit{Op: Put, Path: name, Entry: Entry{Kind: Dir, Dir: root}})
		}
		if root, err = Apply(ctx, s, Root{}, twice); err != nil {
			break
		}
	}
	if !errors.Is(err, errTooMany) {
		t.Errorf("2^100 files: %v", err)
	}
}

// FuzzDecodeNode holds that what decodes is canonical, also for a second
// library.
func FuzzDecodeNode(f *testing.F) {
	for _, n := range goldenNodes() {
		f.Add(appendNode(nil, n, stored))
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeNode(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if got := appendNode(nil, n, stored); !bytes.Equal(got, b) {
			t.Fatalf("%x encodes as %x", b, got)
		}
		var v any
		if err := cbor.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		if got, err := enc.Marshal(v); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%x is %x in core deterministic CBOR (%v)", b, got, err)
		}
	})
}

// FuzzApplyDiff holds that a comparison's changes make the one directory of
// the other.
func FuzzApplyDiff(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed, seed+1, uint8(100), uint8(3))
	}
	f.Fuzz(func(t *testing.T, seedA, seedB uint64, n, changed uint8) {
		s := &chunk.Mem{}
		rng := rand.New(rand.NewPCG(seedA, seedB))
		ma := randomModel(rng, int(n))
		mb := ma.change(rng, int(changed))
		a, b := ma.build(t, s, ma.paths()), mb.build(t, s, mb.paths())
		for _, o := range []DiffOptions{{}, {Expand: true}, {Storage: true}} {
			var edits []Edit
			for _, c := range diff(t, s, a, b, o) {
				edits = append(edits, c.Edit())
			}
			if got := apply(t, s, a, edits...); got != b {
				t.Fatalf("%+v: got %+v, want %+v", o, got, b)
			}
		}
	})
}
