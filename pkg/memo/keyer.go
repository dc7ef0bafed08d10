package memo

import (
	"cmp"
	"encoding/hex"
	"slices"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Keyer makes the keys of works that differ in their inputs only, as those of
// one job do: what they share is encoded and digested once. It may be used
// concurrently.
type Keyer struct {
	shared []byte // the encoded components that all works have in common
	count  int    // how many those are
	parts  []Part // their digests
}

// Keyer returns the keyer of all works that are as w but for their Inputs.
func (w Work) Keyer() *Keyer {
	cs := w.components()
	k := &Keyer{count: len(cs)}
	for _, c := range cs {
		k.shared = append(k.shared, encode(c)...)
		k.parts = append(k.parts, newPart(c.Name, c.Value))
		if c.Name == runtimeName {
			k.parts = append(k.parts, w.Runtime.parts()...)
		}
	}
	return k
}

// runtimeName is the component that has parts of its own.
const runtimeName = "runtime"

// parts returns the digests of what the runtime is made of. They are not in the
// key by themselves: they say what about the runtime differs.
func (r Runtime) parts() []Part {
	var parts []Part
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, newPart(runtimeName+":"+name, appendBytes(nil, value)))
		}
	}
	add("image", r.Image)
	add("host", r.Host)
	for _, e := range r.Execs {
		add("exec:"+e.Path, e.Digest)
	}
	return parts
}

// Key returns the key of the work with these inputs.
func (k *Keyer) Key(inputs []Input) Key {
	head := appendHead(append(make([]byte, 0, 12), 0x82), cborUint, keyVersion)
	count, own := k.count, []byte(nil)
	component := func(name string) {
		count++
		own = append(appendHead(append(own, 0x82), cborText, uint64(len(name))), name...)
	}
	for _, in := range inputs {
		component("input:" + in.Name)
		own = in.append(own)
		if in.Mode != "" {
			component("mode:" + in.Name)
			own = appendBytes(own, in.Mode)
		}
	}
	head = appendHead(head, cborArray, uint64(count))
	return Key(sum(keyHasher, head, k.shared, own))
}

// Parts returns the digests of the components of that key, in its order.
func (k *Keyer) Parts(inputs []Input) []Part {
	parts := slices.Grow(slices.Clone(k.parts), len(inputs))
	for _, in := range inputs {
		parts = append(parts, newPart("input:"+in.Name, in.append(nil)))
		if in.Mode != "" {
			parts = append(parts, newPart("mode:"+in.Name, appendBytes(nil, in.Mode)))
		}
	}
	return parts
}

func newPart(name string, value []byte) Part {
	d := sum(partHasher, value)
	return Part{Name: name, Digest: hex.EncodeToString(d[:partDigestSize])}
}

// append appends the value of an input's component: its items, sorted.
func (in Input) append(b []byte) []byte {
	items := in.Items
	less := func(x, y Item) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Kind, y.Kind)) }
	if !slices.IsSortedFunc(items, less) {
		items = slices.SortedFunc(slices.Values(items), less)
	}
	b = appendHead(b, cborArray, uint64(len(items)))
	for _, it := range items {
		b = it.append(b)
	}
	return b
}

// append appends a row of what user code can see of an item; which fields
// follow is said by the kind.
func (it Item) append(b []byte) []byte {
	row := func(fields uint64) []byte {
		b = appendBytes(appendHead(b, cborArray, fields), it.Path)
		return appendHead(b, cborUint, uint64(it.Kind))
	}
	switch it.Kind {
	case tree.Dir:
		return appendBytes(row(3), it.Dir[:])
	case tree.File:
		exec := byte(cborFalse)
		if it.Exec {
			exec = cborTrue
		}
		b = append(row(6), exec)
	default:
		b = row(5)
	}
	b = appendBytes(b, it.Content.ID[:])
	b = appendHead(b, cborUint, uint64(it.Content.Size))
	return appendHead(b, cborUint, uint64(it.Content.Depth))
}
