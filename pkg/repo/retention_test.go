package repo

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

func TestSetRetention(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	for _, x := range []struct {
		branch string
		keep   *Retention
		want   error
	}{
		{"main", &Retention{Last: 1}, nil},
		{"main", &Retention{Last: 3, Age: 5}, nil},
		{"main", nil, nil},
		{"main", &Retention{}, fs.ErrInvalid},
		{"main", &Retention{Last: -1}, fs.ErrInvalid},
		{"main", &Retention{Age: retentionMax + 1}, fs.ErrInvalid},
		{"none", &Retention{Last: 1}, ErrRefNotFound},
	} {
		op, _ := d.NewOp()
		_, err := d.Move(ownerCtx(t), Txn{Op: op, Ops: []Op{SetRetention{Repo: "a", Branch: x.branch, Keep: x.keep}}})
		if !errors.Is(err, x.want) {
			t.Errorf("%s, %+v: %v, want %v", x.branch, x.keep, err, x.want)
		}
		if v, err := d.View(ownerCtx(t)); err != nil || x.want == nil && (v.Repos["a"].Branches["main"].Keep == nil) != (x.keep == nil) {
			t.Errorf("%+v: %v", x.keep, err)
		}
	}
	r := keptRoot()
	r.Features = []string{"write:later"}
	if _, err := EncodeRoot(r); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("retention without the feature: %v", err)
	}
}

// TestOnlyCollectionNotesWhatIsGone keeps writers from saying that a directory
// was given up.
func TestOnlyCollectionNotesWhatIsGone(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	s, err := d.Session(ownerCtx(t), Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(ownerCtx(t), chunk.Gone, make([]byte, chunk.IDSize)); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
