package chunk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// exampleLists are the nodes in testdata.
func exampleLists() map[string]*listNode {
	entries := func(n int, size int64) []listEntry {
		var out []listEntry
		for i := 0; len(out) < n; i++ {
			id := Data.Sum(fmt.Append(nil, i))
			if !boundary(id) {
				out = append(out, listEntry{ID: id, Size: size + int64(i)})
			}
		}
		return out
	}
	return map[string]*listNode{
		"list-two.cbor":     {Level: 1, Entries: entries(2, 1<<20)},
		"list-one.cbor":     {Level: 3, Entries: entries(1, 1<<40)},
		"list-hundred.cbor": {Level: 2, Entries: entries(100, 1<<31)},
	}
}

func TestListGolden(t *testing.T) {
	for name, n := range exampleLists() {
		raw, err := encodeList(n.Level, n.Entries)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, raw)
		got, err := decodeList(raw)
		if err != nil || got.Level != n.Level || fmt.Sprint(got.Entries) != fmt.Sprint(n.Entries) {
			t.Errorf("%s: decoded %+v, %v", name, got, err)
		}
	}
}

func TestIDGolden(t *testing.T) {
	var out bytes.Buffer
	for _, k := range []Kind{Data, List, Node, Commit} {
		for _, s := range []string{"", "dvx", string(make([]byte, 3000))} {
			fmt.Fprintf(&out, "%v %d %s\n", k, len(s), k.Sum([]byte(s)))
		}
	}
	golden(t, "ids.golden", out.Bytes())
}

func TestDecodeListRejects(t *testing.T) {
	id := func(b byte) string { return "5820" + hex.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	two := "82" + id(1) + "01" + "82" + id(2) + "02"
	good := "a3" + "0001" + "0101" + "0282" + two
	raw, err := hex.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeList(raw); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                "",
		"truncated":            good[:len(good)-2],
		"trailing byte":        good + "00",
		"version":              "a3" + "0002" + "0101" + "0282" + two,
		"level 0":              "a3" + "0001" + "0100" + "0282" + two,
		"level 9":              "a3" + "0001" + "0109" + "0282" + two,
		"no entries":           "a3" + "0001" + "0101" + "0280",
		"null entries":         "a3" + "0001" + "0101" + "02f6",
		"unknown key":          "a4" + "0001" + "0101" + "0282" + two + "0301",
		"missing key":          "a2" + "0001" + "0282" + two,
		"key order":            "a3" + "0101" + "0001" + "0282" + two,
		"long integer":         "a3" + "001801" + "0101" + "0282" + two,
		"indefinite":           "bf" + "0001" + "0101" + "0282" + two + "ff",
		"id as array":          "a3" + "0001" + "0101" + "0281" + "82" + "81" + "01" + "01",
		"short id":             "a3" + "0001" + "0101" + "0281" + "82" + "4101" + "01",
		"zero id":              "a3" + "0001" + "0101" + "0281" + "82" + id(0) + "01",
		"zero size":            "a3" + "0001" + "0101" + "0281" + "82" + id(1) + "00",
		"negative size":        "a3" + "0001" + "0101" + "0281" + "82" + id(1) + "20",
		"chunk too large":      "a3" + "0001" + "0101" + "0281" + "82" + id(1) + "1a00800001",
		"size beyond int64":    "a3" + "0001" + "0102" + "0281" + "82" + id(1) + "1bffffffffffffffff",
		"sizes that overflow":  "a3" + "0001" + "0102" + "0282" + "82" + id(1) + "1b7fffffffffffffff" + "82" + id(2) + "01",
		"three-element entry":  "a3" + "0001" + "0101" + "0281" + "83" + id(1) + "01" + "01",
		"huge declared length": "a3" + "0001" + "0101" + "029a7fffffff",
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(name, err)
		}
		if n, err := decodeList(raw); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
}

func TestDecodeListRejectsOtherShapes(t *testing.T) {
	entries := make([]listEntry, listMax+1)
	for i := range entries {
		entries[i] = listEntry{ID: ID{1}, Size: 1}
		entries[i].ID[31] = 1 // not a boundary
	}
	ok := func(n int) bool {
		raw, err := encodeList(1, entries[:n])
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeList(raw)
		return err == nil
	}
	if !ok(listMax) || ok(listMax+1) {
		t.Error("the largest node is not of listMax entries")
	}
	entries[listMin-2].ID[31] = 0 // a boundary before the minimum
	if !ok(100) {
		t.Error("a boundary below the minimum must not end a node")
	}
	entries[listMin-1].ID[31] = 0
	if ok(100) || !ok(listMin) {
		t.Error("a boundary at the minimum must end a node")
	}
}

func TestListBuilderLimits(t *testing.T) {
	b := listBuilder{store: &Mem{}}
	if err := b.add(t.Context(), listEntry{ID: ID{1}, Size: math.MaxInt64}); err != nil {
		t.Fatal(err)
	}
	if err := b.add(t.Context(), listEntry{ID: ID{1}, Size: 1}); err == nil {
		t.Error("the size overflowed")
	}
}

// FuzzDecodeList: what decodes, encodes to the same bytes, and its sizes add
// up.
func FuzzDecodeList(f *testing.F) {
	for name := range exampleLists() {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := decodeList(raw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("kind of error: %v", err)
			}
			return
		}
		again, err := encodeList(n.Level, n.Entries)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("encodes to %x, %v", again, err)
		}
		if n.total() < int64(len(n.Entries)) {
			t.Fatalf("%d bytes in %d entries", n.total(), len(n.Entries))
		}
	})
}
