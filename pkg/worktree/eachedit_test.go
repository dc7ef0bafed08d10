package worktree

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestEachEdit: the edits come in order and are those of Edits; a consumer that
// fails, or does not take all of them, ends the scan.
func TestEachEdit(t *testing.T) {
	dir, _ := workingCopy(t)
	d := disk{"a-b": "1", "a/b/c": "2", "empty/": ""}
	for i := range 3000 {
		d[fmt.Sprintf("many/%05d", i)] = fmt.Sprint(i)
	}

	d.write(t, dir)
	s, o := &chunk.Mem{}, Options{Dir: dir}
	want, _, err := Edits(t.Context(), s, tree.Root{}, o)
	must(t, err)
	if !slices.IsSortedFunc(want, func(a, b tree.Edit) int { return strings.Compare(a.Path, b.Path) }) {
		t.Error("the edits are not in order")
	}
	var got []string
	stats, err := EachEdit(t.Context(), s, tree.Root{}, o, func(edits iter.Seq2[tree.Edit, error]) error {
		for e, err := range edits {
			must(t, err)
			got = append(got, e.Path)
		}
		return nil
	})
	if err != nil || len(got) != len(want) || int(stats.Files) != len(d)-1 {
		t.Errorf("%d edits of %d files, %v; want %d", len(got), stats.Files, err, len(want))
	}
	broken := errors.New("the consumer is broken")
	for name, tt := range map[string]struct {
		take func(iter.Seq2[tree.Edit, error]) error
		want error
	}{
		"a consumer that fails": {func(edits iter.Seq2[tree.Edit, error]) error {
			for _, err := range edits {
				return errors.Join(broken, err)
			}
			return nil
		}, broken},
		"one that stops":      {func(edits iter.Seq2[tree.Edit, error]) error { _, stop := iter.Pull2(edits); stop(); return nil }, errEnough},
		"one that takes none": {func(iter.Seq2[tree.Edit, error]) error { return nil }, errEnough},
	} {
		if _, err := EachEdit(t.Context(), s, tree.Root{}, o, tt.take); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
