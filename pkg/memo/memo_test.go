package memo

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(string(want), string(got)))
	}
}

func fullWork() Work {
	return Work{
		ABI: 1, Salt: "s", Platform: "linux/amd64",
		Runtime: Runtime{Host: "h", Execs: []Executable{{"/bin/sh", "aa"}, {"/bin/dash", "bb"}}},
		Command: []string{"sh", "-c", "x"}, Stdin: []string{"one", ""},
		Env:    map[string]string{"B": "2", "A": "1"},
		Params: map[string]string{"p": "0.5"}, Secrets: map[string]string{"token": "v3"},
		Dir: "d", User: "u", Code: tree.ContentID{3},
		Inputs: []Input{
			{Name: "in", Items: []Item{
				{Path: "a", Kind: tree.File, Exec: true, Content: chunk.Content{ID: chunk.ID{1}, Size: 7, Depth: 1}},
				{Path: "b", Kind: tree.Symlink, Content: chunk.Content{ID: chunk.ID{2}, Size: 1}},
			}},
			{Name: "ref", Items: []Item{{Path: "", Kind: tree.Dir, Dir: tree.ContentID{4}}}},
		},
	}
}

// workChanges change one thing each; every one of them must give another key.
var workChanges = map[string]func(*Work){
	"abi":              func(w *Work) { w.ABI = 2 },
	"salt":             func(w *Work) { w.Salt = "" },
	"batch":            func(w *Work) { w.Batch = true },
	"platform":         func(w *Work) { w.Platform = "linux/arm64" },
	"image":            func(w *Work) { w.Runtime.Image = "sha256:00" },
	"host":             func(w *Work) { w.Runtime.Host = "i" },
	"exec path":        func(w *Work) { w.Runtime.Execs[0].Path = "/bin/bash" },
	"exec digest":      func(w *Work) { w.Runtime.Execs[1].Digest = "bc" },
	"exec order":       func(w *Work) { slices.Reverse(w.Runtime.Execs) },
	"exec gone":        func(w *Work) { w.Runtime.Execs = w.Runtime.Execs[:1] },
	"exec fields move": func(w *Work) { w.Runtime.Execs[0] = Executable{"/bin/sha", "a"} },
	"image for host":   func(w *Work) { w.Runtime.Image, w.Runtime.Host = "h", "" },
	"argument":         func(w *Work) { w.Command[2] = "y" },
	"argument split":   func(w *Work) { w.Command = []string{"sh", "-c", "x", ""} },
	"argument joined":  func(w *Work) { w.Command = []string{"sh", "-cx"} },
	"command order":    func(w *Work) { slices.Reverse(w.Command) },
	"stdin":            func(w *Work) { w.Stdin = w.Stdin[:1] },
	"stdin to command": func(w *Work) { w.Command, w.Stdin = append(w.Command, w.Stdin...), nil },
	"env value":        func(w *Work) { w.Env["A"] = "2" },
	"env swapped":      func(w *Work) { w.Env["A"], w.Env["B"] = "2", "1" },
	"env gone":         func(w *Work) { delete(w.Env, "A") },
	"env empty":        func(w *Work) { w.Env["C"] = "" },
	"env to params":    func(w *Work) { delete(w.Env, "A"); w.Params["A"] = "1" },
	"param":            func(w *Work) { w.Params["p"] = "0.50" },
	"secret":           func(w *Work) { w.Secrets["token"] = "v4" },
	"secret to param":  func(w *Work) { w.Params, w.Secrets = map[string]string{"p": "0.5", "token": "v3"}, nil },
	"dir":              func(w *Work) { w.Dir = "" },
	"user":             func(w *Work) { w.User = "" },
	"dir for user":     func(w *Work) { w.Dir, w.User = "u", "d" },
	"code":             func(w *Work) { w.Code = tree.ContentID{} },
	"input name":       func(w *Work) { w.Inputs[0].Name = "inn" },
	"input order":      func(w *Work) { slices.Reverse(w.Inputs) },
	"input gone":       func(w *Work) { w.Inputs = w.Inputs[:1] },
	"items move": func(w *Work) {
		w.Inputs[1].Items = append(w.Inputs[1].Items, w.Inputs[0].Items[1])
		w.Inputs[0].Items = w.Inputs[0].Items[:1]
	},
	"item path":  func(w *Work) { w.Inputs[0].Items[0].Path = "aa" },
	"item kind":  func(w *Work) { w.Inputs[0].Items[1].Kind = tree.File },
	"item exec":  func(w *Work) { w.Inputs[0].Items[0].Exec = false },
	"item id":    func(w *Work) { w.Inputs[0].Items[0].Content.ID[31] = 1 },
	"item size":  func(w *Work) { w.Inputs[0].Items[0].Content.Size = 8 },
	"item depth": func(w *Work) { w.Inputs[0].Items[0].Content.Depth = 0 },
	"item dir":   func(w *Work) { w.Inputs[1].Items[0].Dir = tree.ContentID{5} },
	"item gone":  func(w *Work) { w.Inputs[0].Items = w.Inputs[0].Items[:1] },
}

// TestKeyCoversEverything: each change gives a key of its own, and a part (or
// the order of parts) that says so.
func TestKeyCoversEverything(t *testing.T) {
	keys := map[Key]string{fullWork().Key(): "unchanged"}
	for name, change := range workChanges {
		w := fullWork()
		change(&w)
		if cmp.Equal(w, fullWork()) {
			t.Errorf("%s: the test changes nothing", name)
		}
		if other := keys[w.Key()]; other != "" {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[w.Key()] = name
		if lines := Explain(fullWork().Parts(), w.Parts()); len(lines) == 0 {
			t.Errorf("%s: no part explains the difference", name)
		}
	}
}

// TestKeyIgnores: what user code can't see has no part in the key.
func TestKeyIgnores(t *testing.T) {
	for name, change := range map[string]func(*Work){
		"order of items":    func(w *Work) { slices.Reverse(w.Inputs[0].Items) },
		"content of a dir":  func(w *Work) { w.Inputs[1].Items[0].Content.Size = 9; w.Inputs[1].Items[0].Exec = true },
		"dir of a file":     func(w *Work) { w.Inputs[0].Items[0].Dir = tree.ContentID{9} },
		"exec of a symlink": func(w *Work) { w.Inputs[0].Items[1].Exec = true },
	} {
		w := fullWork()
		change(&w)
		if w.Key() != fullWork().Key() {
			t.Errorf("%s changes the key", name)
		}
	}
	empty := Work{Command: []string{}, Env: map[string]string{}, Inputs: []Input{}, Runtime: Runtime{Execs: []Executable{}}}
	if empty.Key() != (Work{}).Key() {
		t.Error("an empty list and none have different keys")
	}
}

// TestKeyGolden holds the bytes of version 1: a change here makes every result
// in every store a miss.
func TestKeyGolden(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		name string
		work Work
	}{{"empty", Work{}}, {"full", fullWork()}} {
		fmt.Fprintf(&b, "%s %v\n", c.name, c.work.Key())
		for _, p := range c.work.Parts() {
			fmt.Fprintf(&b, "  %s %s\n", p.Digest, p.Name)
		}
	}
	golden(t, "testdata/key.golden", []byte(b.String()))
}

func drawWork(t *rapid.T) Work {
	text := rapid.SampledFrom([]string{"", "a", "b", "ab", "a:b", "\x00", "\xff"})
	texts := rapid.SliceOfN(text, 0, 3)
	dict := rapid.MapOfN(text, text, 0, 3)
	return Work{
		Salt: text.Draw(t, "salt"), Platform: text.Draw(t, "platform"), Command: texts.Draw(t, "command"), Stdin: texts.Draw(t, "stdin"),
		Env: dict.Draw(t, "env"), Params: dict.Draw(t, "params"), Secrets: dict.Draw(t, "secrets"), Dir: text.Draw(t, "dir"), User: text.Draw(t, "user"),
	}
}

// TestKeysDiffer: two works have one key only if they are equal.
func TestKeysDiffer(t *testing.T) {
	spell := func(w Work) string {
		b, err := json.Marshal([]any{quote(w.Salt), quote(w.Platform), quote(w.Command...), quote(w.Stdin...), pairs(w.Env), pairs(w.Params), pairs(w.Secrets), quote(w.Dir), quote(w.User)})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawWork(t), drawWork(t)
		if (a.Key() == b.Key()) != (spell(a) == spell(b)) {
			t.Fatalf("keys equal: %v\n%s\n%s", a.Key() == b.Key(), spell(a), spell(b))
		}
		if (a.Key() == b.Key()) != (len(Explain(a.Parts(), b.Parts())) == 0) {
			t.Fatalf("explained as %q", Explain(a.Parts(), b.Parts()))
		}
	})
}

func quote(list ...string) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return out
}

func pairs(m map[string]string) []string {
	out := []string{}
	for k, v := range m {
		out = append(out, fmt.Sprintf("%q=%q", k, v))
	}
	slices.Sort(out)
	return out
}

func TestExplain(t *testing.T) {
	a := fullWork()
	b := fullWork()
	b.Command = nil
	b.Env = map[string]string{"B": "3", "C": "1"}
	b.Inputs = b.Inputs[1:]
	want := []string{"command changed", "env:B changed", "env:C added", "env:A removed", "input:in removed"}
	if diff := cmp.Diff(want, Explain(a.Parts(), b.Parts())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b = fullWork()
	slices.Reverse(b.Inputs)
	if got := Explain(a.Parts(), b.Parts()); !slices.Equal(got, []string{"order of inputs changed"}) {
		t.Errorf("inputs reversed: %q", got)
	}
	if got := Explain(a.Parts(), a.Parts()); got != nil {
		t.Errorf("nothing changed: %q", got)
	}
}

func TestKeyText(t *testing.T) {
	k := fullWork().Key()
	b, err := json.Marshal(map[string]Key{"k": k})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]Key
	if err := json.Unmarshal(b, &m); err != nil || m["k"] != k {
		t.Errorf("%s reads as %v, %v", b, m, err)
	}
	if got, err := ParseKey(k.String()); err != nil || got != k {
		t.Errorf("ParseKey: %v, %v", got, err)
	}
	for _, s := range []string{"", "00", strings.ToUpper(k.String()), k.String() + "0"} {
		if _, err := ParseKey(s); err == nil {
			t.Errorf("%q is a key", s)
		}
	}
	if !(Key{}).IsZero() || k.IsZero() || len(k.Short()) != 12 {
		t.Errorf("zero or short: %v", k.Short())
	}
}

// record returns a record whose key begins with b.
func record(b byte, scope string) Record {
	return Record{
		Key:    Key{b},
		Output: tree.Root{ID: tree.ID{b, 1}, Content: tree.ContentID{b, 2}, Files: 3, Bytes: 4},
		Log:    chunk.Content{ID: chunk.ID{5}, Size: 6, Depth: 1}, Exit: 3,
		Started: time.Date(2026, 11, 20, 9, 0, 0, 123, time.UTC), Ended: time.Date(2026, 11, 20, 9, 1, 0, 0, time.UTC),
		Scope: scope, By: "owner", Parts: fullWork().Parts(),
	}
}
