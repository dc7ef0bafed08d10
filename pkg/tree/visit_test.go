package tree

import (
	"context"
	"errors"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

type visited struct {
	kind chunk.Kind
	id   chunk.ID
}

// TestVisitChangeMissesNothing: what a directory consists of is what base
// consists of and what the change visits, the nodes that are skipped aside.
func TestVisitChangeMissesNothing(t *testing.T) {
	gather := func(t *testing.T, s chunk.Reader, base, root Root, skip func(chunk.ID) bool) map[visited]bool {
		got := map[visited]bool{}
		err := VisitChange(t.Context(), s, base, root, skip, func(kind chunk.Kind, id chunk.ID) error {
			got[visited{kind, id}] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	rngModels(t, 60, func(t *testing.T, s *chunk.Mem, a, b Root) {
		old, all := gather(t, s, Root{}, a, nil), gather(t, s, Root{}, b, nil)
		for name, skip := range map[string]func(chunk.ID) bool{
			"no skip":      nil,
			"what is here": func(id chunk.ID) bool { return old[visited{chunk.Node, id}] || old[visited{chunk.List, id}] },
		} {
			change := gather(t, s, a, b, skip)
			for v := range all {
				if !old[v] && !change[v] {
					t.Errorf("%s: %v %v was not visited", name, v.kind, v.id.Short())
				}
			}
			for v := range change {
				if !all[v] {
					t.Errorf("%s: %v %v is not of the directory", name, v.kind, v.id.Short())
				}
			}
		}
		if same := gather(t, s, b, b, nil); len(same) > 0 {
			t.Errorf("%d chunks visited of no change", len(same))
		}
	})
}

// TestVisitChangeFollowsChange counts what is read and visited for one file
// among many, and that an error of the visitor ends the visit.
func TestVisitChangeFollowsChange(t *testing.T) {
	s := &chunk.Mem{}
	a, err := Build(t.Context(), s, flat(100_000))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Apply(t.Context(), s, a, []Edit{{Op: Put, Path: "file-00054321", Entry: Entry{Kind: File, Exec: true}}})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := s.Counts()
	nodes := 0
	err = VisitChange(t.Context(), s, a, b, nil, func(chunk.Kind, chunk.ID) error {
		nodes++
		return nil
	})
	after, _ := s.Counts()
	if err != nil || nodes > 3 || after-before > 6 {
		t.Errorf("%d chunks visited, %d read, %v", nodes, after-before, err)
	}
	broken := errors.New("enough")
	fail := func(chunk.Kind, chunk.ID) error { return broken }
	if err := VisitChange(context.Background(), s, a, b, nil, fail); !errors.Is(err, broken) {
		t.Errorf("the visitor's error became %v", err)
	}
}
