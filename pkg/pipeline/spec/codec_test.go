package spec

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
)

func TestGolden(t *testing.T) {
	small := Spec{Pipeline: "a", Transform: Transform{Cmd: []string{"x"}}, Input: Input{Repo: "b", Glob: "/"}}
	for file, s := range map[string]Spec{"testdata/full.json": fullSpec(), "testdata/small.json": small} {
		b, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, b)
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.WithDefaults(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	b, err := Encode(fullSpec())
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, data := range map[string]string{
		"empty": "", "cut": text[:len(text)-1], "more": text + " ", "unknown field": `{"x":1,` + text[1:],
		"invalid": strings.Replace(text, `"count"`, `"a/b"`, 1), "default left out": strings.Replace(text, `"name":"in",`, "", 1),
		"other order": strings.Replace(text, `"LEVEL":"3","MODE":"${mode}"`, `"MODE":"${mode}","LEVEL":"3"`, 1),
		"too long":    strings.Repeat(" ", SizeMax+1),
	} {
		if data == text {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if _, err := Decode([]byte(data)); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: error %v, want chunk.ErrCorrupt", name, err)
		}
	}
	if _, err := Encode(Spec{}); err == nil {
		t.Error("an empty spec is encoded")
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []Spec{fullSpec(), {Pipeline: "a", Transform: Transform{Cmd: []string{"x"}}, Input: Input{Repo: "b", Glob: "/"}}} {
		b, err := Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("error %v is of no kind", err)
			}
			return
		}
		if again, err := Encode(s); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again: %v\n%s", err, again)
		}
	})
}
