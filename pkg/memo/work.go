package memo

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Key returns the hash of w. The order of Inputs, Command, Stdin and Execs
// counts; the order of the items of an input does not. FORMAT.md describes the
// bytes that are hashed; they are exactly the parts that [Work.Parts] digests,
// so two works with different keys differ in a part or in the order of parts.
func (w Work) Key() Key {
	return Key(sum(keyContext, encode(keyed{Version: keyVersion, Parts: w.components()})))
}

// Parts returns a short digest of each component of the key, in the order of
// the key: abi, salt, platform, runtime, command, stdin, dir, user, code, then
// env:NAME, param:NAME and secret:NAME by name, then input:NAME in order of
// the spec.
func (w Work) Parts() []Part {
	cs := w.components()
	parts := make([]Part, len(cs))
	for i, c := range cs {
		d := sum(partContext, c.Value)
		parts[i] = Part{Name: c.Name, Digest: hex.EncodeToString(d[:partDigestSize])}
	}
	return parts
}

// Explain says how the work with parts b differs from the one with parts a, a
// line for each component: "command changed", "env:HOME added", "input:images
// removed". It is empty if nothing differs.
func Explain(a, b []Part) []string {
	before, after := digests(a), digests(b)
	var lines []string
	for _, p := range b {
		switch old, ok := before[p.Name]; {
		case !ok:
			lines = append(lines, p.Name+" added")
		case old != p.Digest:
			lines = append(lines, p.Name+" changed")
		}
	}
	for _, p := range a {
		if _, ok := after[p.Name]; !ok {
			lines = append(lines, p.Name+" removed")
		}
	}
	if len(lines) == 0 && !slices.Equal(a, b) {
		lines = append(lines, "order of inputs changed")
	}
	return lines
}

func digests(parts []Part) map[string]string {
	m := make(map[string]string, len(parts))
	for _, p := range parts {
		m[p.Name] = p.Digest
	}
	return m
}

// keyVersion is the version of the bytes that are hashed. Changing what a key
// covers, or how, takes a new version and makes all earlier records misses.
const keyVersion = 1

// keyed is what a key is the hash of.
type keyed struct {
	_       struct{} `cbor:",toarray"`
	Version int
	Parts   []component
}

// component is one named part of a work: the CBOR of its value.
type component struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value cbor.RawMessage
}

// components returns everything that the key covers. The names are unique:
// only the kinds with a colon repeat, and their names do not.
func (w Work) components() []component {
	cs := []component{
		{Name: "abi", Value: encode(w.ABI)},
		{Name: "salt", Value: encode([]byte(w.Salt))},
		{Name: "platform", Value: encode([]byte(w.Platform))},
		{Name: "runtime", Value: w.Runtime.encode()},
		{Name: "command", Value: encode(raw(w.Command))},
		{Name: "stdin", Value: encode(raw(w.Stdin))},
		{Name: "dir", Value: encode([]byte(w.Dir))},
		{Name: "user", Value: encode([]byte(w.User))},
		{Name: "code", Value: encode(w.Code[:])},
	}
	for _, set := range []struct {
		kind   string
		values map[string]string
	}{{"env:", w.Env}, {"param:", w.Params}, {"secret:", w.Secrets}} {
		for _, name := range slices.Sorted(maps.Keys(set.values)) {
			cs = append(cs, component{Name: set.kind + name, Value: encode([]byte(set.values[name]))})
		}
	}
	for _, in := range w.Inputs {
		cs = append(cs, component{Name: "input:" + in.Name, Value: in.encode()})
	}
	return cs
}

func (r Runtime) encode() []byte {
	execs := make([][2][]byte, len(r.Execs))
	for i, e := range r.Execs {
		execs[i] = [2][]byte{[]byte(e.Path), []byte(e.Digest)}
	}
	return encode([]any{[]byte(r.Image), []byte(r.Host), execs})
}

func (in Input) encode() []byte {
	items := slices.SortedFunc(slices.Values(in.Items), func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
	rows := make([][]any, len(items))
	for i, it := range items {
		rows[i] = it.row()
	}
	return encode(rows)
}

// row lists what user code can see of an item; which fields follow is said by
// the kind.
func (it Item) row() []any {
	row := []any{[]byte(it.Path), it.Kind}
	switch it.Kind {
	case tree.Dir:
		return append(row, it.Dir[:])
	case tree.File:
		row = append(row, it.Exec)
	case tree.Symlink: // nothing more
	}
	return append(row, it.Content.ID[:], it.Content.Size, it.Content.Depth)
}

// raw returns the strings as byte strings: paths and arguments need not be
// UTF-8.
func raw(list []string) [][]byte {
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out
}
