package memo

import (
	"maps"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Key returns the hash of w. The order of Inputs, Command, Stdin and Execs
// counts; the order of the items of an input does not. FORMAT.md describes the
// bytes that are hashed; they are exactly the parts that [Work.Parts] digests,
// so two works with different keys differ in a part or in the order of parts.
func (w Work) Key() Key { return w.Keyer().Key(w.Inputs) }

// Parts returns a short digest of each component of the key, in the order of
// the key: abi, salt, platform, runtime, what that is made of (runtime:image,
// runtime:host, runtime:exec:PATH), command, stdin, dir, user, code, batch if
// it is one, then env:NAME, param:NAME and secret:NAME by name, then in order of the spec
// input:NAME, with mode:NAME if it has a mode.
func (w Work) Parts() []Part { return w.Keyer().Parts(w.Inputs) }

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
	if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, runtimeName+":") }) {
		lines = slices.DeleteFunc(lines, func(l string) bool { return l == runtimeName+" changed" }) // said more exactly
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

// component is one named part of a work: the CBOR of its value.
type component struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value cbor.RawMessage
}

// components returns what the key covers but the inputs. The names are unique:
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
	if w.Batch {
		cs = append(cs, component{Name: "batch", Value: encode(true)})
	}
	for _, set := range []struct {
		kind   string
		values map[string]string
	}{{"env:", w.Env}, {"param:", w.Params}, {"secret:", w.Secrets}} {
		for _, name := range slices.Sorted(maps.Keys(set.values)) {
			cs = append(cs, component{Name: set.kind + name, Value: encode([]byte(set.values[name]))})
		}
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

// raw returns the strings as byte strings: paths and arguments need not be
// UTF-8.
func raw(list []string) [][]byte {
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out
}
