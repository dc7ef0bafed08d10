package chunk

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestIDText(t *testing.T) {
	id := Data.Sum([]byte("x"))
	raw, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	var got ID
	if err := json.Unmarshal(raw, &got); err != nil || got != id {
		t.Errorf("%s: %v, %v", raw, got, err)
	}
	if s := id.String(); len(s) != 64 || id.Short() != s[:12] || id.IsZero() || !(ID{}).IsZero() {
		t.Errorf("%s and %s", s, id.Short())
	}
	for _, bad := range []string{"", "ab", strings.ToUpper(id.String()), id.String() + "0", "g" + id.String()[1:], strings.Repeat("é", 32)} {
		if _, err := ParseID(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestKinds(t *testing.T) {
	for k := range Kind(8) {
		valid := k >= 1 && k <= 5
		if k.Valid() != valid || k.Meta() != (k != Data) || strings.Contains(k.String(), "(") == valid {
			t.Errorf("%d: %v", k, k)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("the sum of no kind")
		}
	}()
	Kind(0).Sum(nil)
}

func TestListRefs(t *testing.T) {
	a, b := Data.Sum([]byte("a")), Data.Sum([]byte("b"))
	raw, err := encodeList(1, []listEntry{{ID: a, Size: 1}, {ID: b, Size: 1}, {ID: a, Size: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if refs, err := ListRefs(raw); err != nil || !slices.Equal(refs, []Ref{{Data, a}, {Data, b}, {Data, a}}) {
		t.Errorf("%v, %v", refs, err)
	}
	if raw, err = encodeList(2, []listEntry{{ID: a, Size: 1}}); err != nil {
		t.Fatal(err)
	}
	if refs, err := ListRefs(raw); err != nil || !slices.Equal(refs, []Ref{{List, a}}) {
		t.Errorf("%v, %v", refs, err)
	}
	if _, err := ListRefs(raw[1:]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
