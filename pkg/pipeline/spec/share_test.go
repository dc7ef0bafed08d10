package spec

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestShareOf(t *testing.T) {
	tests := []struct {
		share       Share
		total, want int64
	}{
		{Share{}, 10, 0},
		{Share{Count: 3}, 10, 3},
		{Share{Hundreds: 1000}, 10, 1},
		{Share{Hundreds: 1000}, 9, 0},
		{Share{Hundreds: 1000}, 19, 1},
		{Share{Hundreds: 50}, 1000, 5},
		{Share{Hundreds: 10000}, 7, 7},
		{Share{Hundreds: 10000}, 1 << 62, 1 << 62},
	}
	for _, test := range tests {
		if got := test.share.Of(test.total); got != test.want {
			t.Errorf("%v of %d: %d, want %d", test.share, test.total, got, test.want)
		}
	}
}

// TestShareText: what is written is read again, and nothing else is a share.
func TestShareText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Share{Count: rapid.IntRange(0, 1e9).Draw(t, "count")}
		if rapid.Bool().Draw(t, "part") {
			s = Share{Hundreds: rapid.IntRange(1, shareWhole).Draw(t, "hundreds")}
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again Share
		if err := json.Unmarshal(b, &again); err != nil || again != s {
			t.Fatalf("%+v is %s, read as %+v (%v)", s, b, again, err)
		}
	})
	for _, text := range []string{`"10"`, `"0%"`, `"101%"`, `"-1%"`, `"1e1%"`, `"0.001%"`, `"%"`, `"ten%"`, `1.5`, `{}`, `"Inf%"`} {
		var s Share
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s is read as %v", text, s)
		}
	}
}

func TestParseMaxFailed(t *testing.T) {
	read := func(v string) (Spec, error) {
		return Parse("s.yaml", []byte("pipeline: p\ntransform: {cmd: [a]}\ninput: {repo: r, glob: /}\nmax_failed: "+v+"\n"))
	}
	for v, want := range map[string]Share{"3": {Count: 3}, "0": {}, "10%": {Hundreds: 1000}, `"0.50%"`: {Hundreds: 50}} {
		s, err := read(v)
		if err != nil || s.MaxFailed != want {
			t.Errorf("%s: %+v (%v), want %+v", v, s.MaxFailed, err, want)
			continue
		}
		b, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(b); err != nil || again.MaxFailed != want {
			t.Errorf("%s: stored as %s, read as %+v (%v)", v, b, again.MaxFailed, err)
		}
	}
	for v, want := range map[string]string{
		"-1": "-1 is less than 0", "1.5": "want a number like 3, or a percentage", "200%": "want a number like 3, or a percentage", "[1]": "want a number like 3", "true": "want a number like 3",
	} {
		if _, err := read(v); err == nil || !strings.Contains(err.Error(), "line 4, column 13: max_failed: "+want) {
			t.Errorf("%s: %v, want %q", v, err, want)
		}
	}
}
