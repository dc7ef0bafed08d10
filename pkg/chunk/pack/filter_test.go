package pack

import (
	"encoding/binary"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// TestFilter: it knows every chunk that there is, and few that there are not.
func TestFilter(t *testing.T) {
	id := func(i int) chunk.ID { return chunk.Data.Sum(binary.BigEndian.AppendUint64(nil, uint64(i))) }
	const n = filterLeast + 1000
	footer := Footer{}
	for i := range n {
		footer.Entries = append(footer.Entries, Entry{ID: id(i)})
	}
	f := newFilter([]Footer{{Entries: footer.Entries[:n/2]}, {Entries: footer.Entries[n/2:]}})
	wrong := 0
	for i := range n {
		yes, no := id(i), id(n+i)
		if !f.mayHave(&yes) {
			t.Fatalf("chunk %d is not known", i)
		}
		if f.mayHave(&no) {
			wrong++
		}
	}
	if wrong > n/10 {
		t.Errorf("%d of %d chunks that are not there are taken to be", wrong, n)
	}
	if f := newFilter([]Footer{{Entries: footer.Entries[:10]}}); f != nil {
		t.Error("a few chunks have a filter")
	}
}
