package repo

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

var update = flag.Bool("update", false, "write the golden files")

const testUUID = "0198d2a0-6c1e-7b6c-8b0a-3f1d2c4b5a69"

var testTime = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func fill(b byte) (id commit.ID) {
	for i := range id {
		id[i] = b
	}
	return id
}

func op(n byte) (o OpID) {
	o[0], o[15] = 1, n
	return o
}

func emptyRoot() *Root {
	return &Root{Format: Format, Store: testUUID, Gen: 1, Op: op(1), Repos: map[string]Repo{}}
}

func fullRoot() *Root {
	return &Root{
		Format: Format, Store: testUUID, Gen: 7, Op: op(7), Prev: Hash(fill(9)),
		Repos: map[string]Repo{
			"images": {
				Created: testTime, Description: "all <images> & more", Default: "main",
				Branches: map[string]Branch{
					"main":       {Commit: fill(1), Gen: 6, Owner: "owner", Protect: []string{"ci", "owner"}},
					"staging/jo": {Gen: 3, Owner: "jo", Fork: "main"},
				},
				Tags: map[string]Tag{"v1.2": {Commit: fill(2), Gen: 4, Owner: "owner", Message: "first"}},
			},
			"edges": {
				Created: testTime.Add(time.Millisecond), Default: "main",
				Branches: map[string]Branch{"main": {Commit: fill(3), Gen: 7}},
				Specs:    map[string]Branch{"main": {Commit: fill(4), Gen: 5, Owner: "owner"}},
			},
		},
		Segments:  []Segment{{Key: "idx/000000000001-ab/0", Chunks: 12}, {Key: "idx/000000000002-cd/0", Chunks: 3}},
		Memo:      []string{"memo/000000000002-cd/0"},
		History:   []string{"history/000000000002-cd/0"},
		Ops:       []OpRecord{{Op: op(6), Gen: 6, Moved: []Moved{{"images", "main", fill(1)}}}, {Op: op(7), Gen: 7}},
		Floor:     2,
		Term:      3,
		Leader:    "host-1",
		Graveyard: []Grave{{Gen: 5, List: "gc/000000000005/list"}},
		Pins:      []Pin{{Commit: fill(5), Reason: "audit"}},
		Features:  []string{"write:later"},
	}
}

// openRoot is a root with open commits: of a branch that is empty, and of one
// whose writes were folded.
func openRoot() *Root {
	dir := func(b byte) tree.Root {
		return tree.Root{ID: tree.ID(fill(b)), Content: tree.ContentID(fill(b + 1)), Files: int64(b), Bytes: 100}
	}
	r := fullRoot()
	r.Features = []string{openCommits, "write:later"}
	folded := dir(20)
	r.Ops[1].Open = true
	b := r.Repos["images"].Branches["staging/jo"]
	b.Seal = &Sealing{Idle: 10_000, Writes: 7, Marker: "DONE"}
	r.Repos["images"].Branches["staging/jo"] = b
	r.Open = map[string]OpenCommit{
		"images@main": {
			Base: fill(1), Tree: &folded, Batches: []OpenBatch{{dir(30), 2}, {dir(40), 1}}, Writes: 5000,
			Since: testTime, Last: testTime.Add(time.Second), Gen: 7, By: "jo",
		},
		"images@staging/jo": {Batches: []OpenBatch{{dir(50), 1}}, Writes: 1, Since: testTime, Last: testTime, Gen: 6},
	}
	return r
}

// keptRoot is a root with branches that keep the files of some versions only.
func keptRoot() *Root {
	r := fullRoot()
	r.Features = []string{retentionFeature, "write:later"}
	for name, keep := range map[string]*Retention{"main": {Last: 10, Age: 30 * 24 * 3600 * 1000}, "staging/jo": {Last: 1}} {
		b := r.Repos["images"].Branches[name]
		b.Keep = keep
		r.Repos["images"].Branches[name] = b
	}
	return r
}

func testConfig() Config {
	return Config{Format: Format, Store: testUUID, Chunker: chunk.DefaultParams(), Hash: HashName, Mode: ModePlain}
}

func golden(t *testing.T, file string, b []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s: encoded\n%s\nwant\n%s", file, b, want)
	}
	return want
}

func TestRootGolden(t *testing.T) {
	for file, r := range map[string]*Root{"root-empty.json": emptyRoot(), "root-full.json": fullRoot(), "root-open.json": openRoot(), "root-kept.json": keptRoot()} {
		b, err := EncodeRoot(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRoot(golden(t, file, b))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: decoded %+v", file, got)
		}
	}
}

func TestConfigGolden(t *testing.T) {
	unsummed := testConfig()
	unsummed.Unsummed = true
	for file, c := range map[string]Config{"dvx.json": testConfig(), "dvx-unsummed.json": unsummed} {
		b, err := EncodeConfig(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeConfig(golden(t, file, b))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: decoded %+v, %v", file, got, err)
		}
	}
}

// resum puts the right checksum on a root that was edited by hand, so that the
// tests below reach the checks behind it.
func resum(s string) []byte {
	i := strings.LastIndex(s, `"sum":"`) + len(`"sum":"`)
	b := []byte(s[:i] + `"}`)
	return append(b[:i:i], rootSumHash.sum(b).String()+`"}`...)
}

func TestDecodeRootRefuses(t *testing.T) {
	b, err := EncodeRoot(fullRoot())
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return string(resum(strings.Replace(good, old, new, 1)))
	}
	for name, in := range map[string]string{
		"empty":               "",
		"null":                "null",
		"no sum":              `{"format":1}`,
		"flipped byte":        strings.Replace(good, "host-1", "host-2", 1),
		"trailing newline":    good + "\n",
		"white space":         swap(`,"gen"`, ` ,"gen"`),
		"unknown field":       swap(`,"gen"`, `,"x":1,"gen"`),
		"unknown field below": swap(`"default":"main"`, `"default":"main","x":1`),
		"duplicate field":     swap(`"floor":2`, `"floor":1,"floor":2`),
		"format 0":            swap(`"format":1`, `"format":0`),
		"null repos":          swap(`"repos":{`, `"open":null,"repos":{`),
		"bad store":           swap(testUUID, strings.ToUpper(testUUID)),
		"zero gen":            swap(`"gen":7`, `"gen":0`),
		"branch of later gen": swap(`"gen":6`, `"gen":8`),
		"no previous root":    swap(fill(9).String(), strings.Repeat("0", 64)),
		"zero op":             swap(op(7).String(), strings.Repeat("0", 32)),
		"floor above gen":     swap(`"floor":2`, `"floor":8`),
		"ops out of order":    swap(`"gen":6,"moved"`, `"gen":7,"moved"`),
		"repo name":           swap(`"images":{`, `"im.ages":{`),
		"branch name":         swap(`staging/jo`, `staging//jo`),
		"prefix":              swap(`staging/jo`, `main/jo`),
		"tag like a branch":   swap(`"v1.2"`, `"main"`),
		"tag of nothing":      swap(fill(2).String(), strings.Repeat("0", 64)),
		"spec of nothing":     swap(fill(4).String(), strings.Repeat("0", 64)),
		"unsorted protection": swap(`["ci","owner"]`, `["owner","ci"]`),
		"segment key":         swap(`idx/000000000001-ab/0`, `idx/../0`),
		"segment twice":       swap(`idx/000000000001-ab/0`, `idx/000000000002-cd/0`),
		"negative segment":    swap(`"chunks":12`, `"chunks":-12`),
		"time of seconds":     swap(`"created":"2026-11-20T09:00:00.000Z"`, `"created":"2026-11-20T09:00:00Z"`),
		"open without":        swap(`"floor":2`, `"open":{"images/main":{}},"floor":2`),
		"pages without":       swap(`"floor":2`, `"refPages":"x","floor":2`),
		"features in capital": swap(`"write:later"`, `"write:Later"`),
		"too large":           good + strings.Repeat(" ", RootSizeMax),
	} {
		if _, err := DecodeRoot([]byte(in)); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
	}
}

func TestDecodeOpenRefuses(t *testing.T) {
	b, err := EncodeRoot(openRoot())
	if err != nil {
		t.Fatal(err)
	}
	for name, swap := range map[string][2]string{
		"no feature":       {`["open-commits","write:later"]`, `["write:later"]`},
		"sealing of years": {`"seal":{"idle":10000`, `"seal":{"idle":86400001`},
		"a path to mark":   {`"marker":"DONE"`, `"marker":"a/DONE"`},
		"no branch":        {`"images@main":`, `"images@maim":`},
		"another base":     {`"images@main":{"base":"0101`, `"images@main":{"base":"0102`},
		"no writes":        {`"writes":5000`, `"writes":0`},
		"an empty batch":   {`"writes":2}`, `"writes":0}`},
		"a later gen":      {`"gen":7,"by"`, `"gen":8,"by"`},
		"time backwards":   {`"last":"2026-11-20T09:00:01.000Z"`, `"last":"2026-11-20T08:59:59.999Z"`},
		"time of seconds":  {`"since":"2026-11-20T09:00:00.000Z"`, `"since":"2026-11-20T09:00:00Z"`},
		"negative totals":  {`"files":30`, `"files":-30`},
		"neither":          {`"tree":{"id":"1414`, `"trie":{"id":"1414`},
		"a principal's \n": {`"by":"jo"`, `"by":"j\no"`},
	} {
		s := strings.Replace(string(b), swap[0], swap[1], 1)
		if s == string(b) {
			t.Fatalf("%s: nothing to replace", name)
		}
		if _, err := DecodeRoot(resum(s)); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
	}
}

func TestFeatures(t *testing.T) {
	r := fullRoot()
	r.Features = []string{"ref-pages"}
	r.RefPages = "x"
	b, err := EncodeRoot(r)
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Replace(b, []byte(`"format":1`), []byte(`"format":2,"news":true`), 1)
	for name, in := range map[string][]byte{"feature": b, "format": later} {
		var fe *FeatureError
		if _, err := DecodeRoot(in); !errors.As(err, &fe) || fe.Writing || !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("root of a later %s: %v", name, err)
		}
	}
	r = fullRoot() // with a feature that only writers must know
	if _, _, err := Apply(r, Txn{Op: op(8), Ops: []Op{CreateRepo{Repo: "x"}}}, Env{Now: testTime}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("write with an unknown feature: %v", err)
	}
	c := testConfig()
	c.Features = []string{"keys"}
	b, err = EncodeConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeConfig(b); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("configuration with an unknown feature: %v", err)
	}
}

func TestRootTooLarge(t *testing.T) {
	r := fullRoot()
	for i := range 8000 {
		r.Repos[fmt.Sprintf("repo-%d", i)] = Repo{
			Created: testTime, Default: "main", Branches: map[string]Branch{"main": {Commit: fill(1), Gen: 1}},
		}
	}
	if _, err := EncodeRoot(r); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "exceed the limit") {
		t.Errorf("root of %d repos: %v", len(r.Repos), err)
	}
}

func FuzzDecodeRoot(f *testing.F) {
	for _, r := range []*Root{emptyRoot(), fullRoot(), openRoot()} {
		b, err := EncodeRoot(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte(`"sum":"`)) {
			b = resum(string(b))
		}
		r, err := DecodeRoot(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("%v is not a kind of corruption", err)
			}
			return
		}
		again, err := EncodeRoot(r)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded again: %q, %v", again, err)
		}
	})
}

func FuzzDecodeConfig(f *testing.F) {
	b, err := EncodeConfig(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeConfig(b)
		if err != nil {
			return
		}
		again, err := EncodeConfig(c)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded again: %q, %v", again, err)
		}
	})
}
