package commit_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

var update = flag.Bool("update", false, "write the golden files")

func id(b byte) commit.ID {
	var v commit.ID
	for i := range v {
		v[i] = b
	}
	return v
}

func root(b byte) tree.Root {
	return tree.Root{ID: tree.ID(id(b)), Content: tree.ContentID(id(b + 1)), Files: 3, Bytes: 1 << 40}
}

func minimal() commit.Commit {
	return commit.Commit{
		Tree: root(0x10), Author: "owner", Op: strings.Repeat("0a", 16),
		Time: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC),
	}
}

func full() commit.Commit {
	c := minimal()
	c.Parents = []commit.ID{id(1), id(2)}
	c.Author = "Zoë <zoe@example.org>"
	c.Committer = "owner"
	c.Time = time.Date(2026, 11, 20, 9, 0, 0, 7_000_000, time.UTC)
	c.Message = "line one\n\ttab <b>&amp;</b> \u2028 \"quoted\" \\ \x01\x7f"
	c.Labels = map[string]string{"z": "", "a": "1", "é": "two\nlines"}
	c.Run = "run-1"
	c.Origins = []commit.Ref{{Repo: "images", Branch: "main", Commit: id(3)}, {Repo: "labels", Commit: id(4)}}
	datums := root(0x20)
	c.Prov = &commit.Provenance{
		Pipeline: "edges", Branch: "staging/x", Spec: id(5), Job: strings.Repeat("c", 64),
		Inputs: []commit.Input{
			{Name: "in", Ref: commit.Ref{Repo: "images", Branch: "main", Commit: id(3)}},
		},
		Parameters: map[string]string{"threshold": "0.5"}, Principal: "owner",
		Code: strings.Repeat("d", 64), Image: "sha256:" + strings.Repeat("e", 64), Datums: &datums,
	}
	return c
}

func indexed() commit.Commit {
	c := minimal()
	c.Parents = []commit.ID{id(1)}
	c.Changes = &commit.Changes{Since: id(6), Tree: root(0x30)}
	return c
}

var golden = []struct {
	file string
	make func() commit.Commit
	id   string
}{
	{"minimal.json", minimal, "6238a0d540bcd46677f379da5f07c9276fb1a2f2d7876bd9772ed0141b90534f"},
	{"full.json", full, "9718783e2a4af13000ee27b0583e59857e4f1b844b89d68cbabba4a86be6f5e3"},
	{"indexed.json", indexed, "2ac472099e08a4863b06136121c2abc14314f6b115b4546894075a4c055037d8"},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		path := filepath.Join("testdata", g.file)
		b, err := commit.Encode(g.make())
		if err != nil {
			t.Fatal(err)
		}
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
			t.Errorf("%s: encoded\n%s\nwant\n%s", g.file, b, want)
		}
		c, err := commit.Decode(want)
		if err != nil {
			t.Fatalf("%s: %v", g.file, err)
		}
		if !reflect.DeepEqual(c, g.make()) {
			t.Errorf("%s: decoded %+v", g.file, c)
		}
		sum, err := c.Sum()
		if err != nil || sum.String() != g.id {
			t.Errorf("%s: ID %v, %v, want %s", g.file, sum, err, g.id)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	b, err := commit.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	marked, err := commit.Encode(indexed())
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]string{
		"changes, no parent": strings.Replace(string(marked), `"parents":["`+id(1).String()+`"],`, "", 1),
		"changes since none": strings.Replace(string(marked), id(6).String(), strings.Repeat("0", 64), 1),
		"empty":              "",
		"not json":           "{",
		"null":               "null",
		"trailing newline":   good + "\n",
		"trailing object":    good + "{}",
		"white space":        swap(`,"author"`, `, "author"`),
		"unknown field":      swap(`,"author"`, `,"x":1,"author"`),
		"duplicate field":    swap(`"author":`, `"author":"a","author":`),
		"field in capitals":  swap(`"author"`, `"Author"`),
		"missing author":     swap(`"author":"Zoë <zoe@example.org>",`, ``),
		"escaped html":       swap("<b>", `\u003cb>`),
		"escaped slash":      swap("staging/x", `staging\/x`),
		"lone surrogate":     swap("line one", `\ud800`),
		"upper-case id":      swap(strings.Repeat("c", 64), strings.Repeat("C", 64)),
		"unsorted labels":    swap(`"a":"1","z":""`, `"z":"","a":"1"`),
		"empty list":         swap(`"run":"run-1"`, `"run":""`),
		"null inputs":        swap(`"inputs":[{"name":"in","repo":"images","branch":"main","commit":"`+id(3).String()+`"}]`, `"inputs":null`),
		"time with zone":     swap("00.007Z", "00.007+00:00"),
		"time in seconds":    swap("00.007Z", "00Z"),
		"time too precise":   swap("00.007Z", "00.0070Z"),
		"negative total":     swap(`"files":3`, `"files":-3`),
		"float total":        swap(`"files":3`, `"files":3.0`),
		"zero parent":        swap(id(2).String(), strings.Repeat("0", 64)),
		"parent twice":       swap(id(2).String(), id(1).String()),
		"bad op":             swap(strings.Repeat("0a", 16), strings.Repeat("0A", 16)),
		"bad repo":           swap(`"repo":"images"`, `"repo":"im.ages"`),
		"bad branch":         swap("staging/x", "staging//x"),
		"too large":          swap("line one", strings.Repeat("x", commit.SizeMax)),
	} {
		if _, err := commit.Decode([]byte(in)); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(*commit.Commit){
		"no tree":          func(c *commit.Commit) { c.Tree = tree.Root{} },
		"no author":        func(c *commit.Commit) { c.Author = "" },
		"author of lines":  func(c *commit.Commit) { c.Author = "a\nb" },
		"no time":          func(c *commit.Commit) { c.Time = time.Time{} },
		"local time":       func(c *commit.Commit) { c.Time = c.Time.In(time.FixedZone("x", 3600)) },
		"microseconds":     func(c *commit.Commit) { c.Time = c.Time.Add(time.Microsecond) },
		"year 10000":       func(c *commit.Commit) { c.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no op":            func(c *commit.Commit) { c.Op = "" },
		"invalid utf-8":    func(c *commit.Commit) { c.Message = "\xff" },
		"nul":              func(c *commit.Commit) { c.Message = "a\x00" },
		"long message":     func(c *commit.Commit) { c.Message = strings.Repeat("m", commit.MessageSizeMax+1) },
		"empty label":      func(c *commit.Commit) { c.Labels = map[string]string{"": "x"} },
		"long label":       func(c *commit.Commit) { c.Labels = map[string]string{"k": strings.Repeat("v", commit.ValueSizeMax+1)} },
		"many parents":     func(c *commit.Commit) { c.Parents = make([]commit.ID, commit.ParentsMax+1) },
		"job":              func(c *commit.Commit) { c.Prov.Job = "x" },
		"pipeline":         func(c *commit.Commit) { c.Prov.Pipeline = "" },
		"spec":             func(c *commit.Commit) { c.Prov.Spec = commit.ID{} },
		"code":             func(c *commit.Commit) { c.Prov.Code = "x" },
		"nameless input":   func(c *commit.Commit) { c.Prov.Inputs = []commit.Input{{}} },
		"input of nothing": func(c *commit.Commit) { c.Prov.Inputs[0].Commit = commit.ID{} },
		"empty datums":     func(c *commit.Commit) { c.Prov.Datums = &tree.Root{} },
		"over 1 MiB": func(c *commit.Commit) {
			c.Labels = map[string]string{}
			for i := range 17 {
				c.Labels[strings.Repeat("k", i+1)] = strings.Repeat("v", commit.ValueSizeMax)
			}
		},
	} {
		c := full()
		change(&c)
		if b, err := commit.Encode(c); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %.100q, %v, want invalid", name, b, err)
		}
	}
}

func TestSaveLoad(t *testing.T) {
	var m chunk.Mem
	c := full()
	got, err := commit.Save(t.Context(), &m, c)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := c.Sum(); err != nil || sum != got {
		t.Errorf("Sum %v, %v, Save %v", sum, err, got)
	}
	back, err := commit.Load(t.Context(), &m, got)
	if err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("loaded %+v, %v", back, err)
	}
	if _, err := commit.Load(t.Context(), &m, id(9)); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("absent commit: %v", err)
	}
	bad, err := m.Put(t.Context(), chunk.Commit, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := commit.Load(t.Context(), &m, commit.ID(bad)); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("malformed commit: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := minimal()
		c.Message = rapid.StringMatching(`[^\x00]{0,40}`).Draw(t, "message")
		c.Time = time.UnixMilli(rapid.Int64Range(-1e12, 1e13).Draw(t, "time")).UTC()
		if n := rapid.IntRange(0, 4).Draw(t, "parents"); n > 0 {
			for i := range n {
				c.Parents = append(c.Parents, id(byte(i+1)))
			}
		}
		m := rapid.MapOf(rapid.StringMatching(`[^\x00-\x1f\x7f]{1,8}`), rapid.StringMatching(`[^\x00]{0,8}`)).Draw(t, "labels")
		if len(m) > 0 {
			c.Labels = m
		}
		b, err := commit.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := commit.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, c) {
			t.Fatalf("got %+v, want %+v", back, c)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, g := range golden {
		b, err := os.ReadFile(filepath.Join("testdata", g.file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := commit.Decode(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("%v is not a kind of corruption", err)
			}
			return
		}
		again, err := commit.Encode(c)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded again: %q, %v", again, err)
		}
	})
}
