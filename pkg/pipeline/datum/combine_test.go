package datum

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// versionOf stores a tree for each leaf of an input, by repo.
func versionOf(t interface{ Fatal(...any) }, s chunk.Store, in spec.Input, repos map[string]map[string]string) Version {
	v := Version{Reader: s}
	for l := range in.Leaves() {
		v.Trees = append(v.Trees, plant(t, s, repos[l.Repo]))
	}
	return v
}

func listAll(t interface{ Fatal(...any) }, v Version, in spec.Input) []Datum {
	var all []Datum
	for d, err := range List(context.Background(), v, in) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// names makes files of these names, each with other bytes.
func names(list ...string) map[string]string {
	files := map[string]string{}
	for _, name := range list {
		files[name] = "bytes of " + name
	}
	return files
}

func leafOf(repo, glob string) spec.Input { return spec.Input{Repo: repo, Name: repo, Glob: glob} }

func joined(repo, glob, on string, outer bool) spec.Input {
	in := leafOf(repo, glob)
	in.JoinOn, in.OuterJoin = on, outer
	return in
}

func grouped(repo, glob, by string) spec.Input {
	in := leafOf(repo, glob)
	in.GroupBy = by
	return in
}

// TestCombinations has the cases that the field's documentation gives counts
// for: datums are tuples for cross, matches for join, keys for group.
func TestCombinations(t *testing.T) {
	five := names("ID1234/file1.txt", "ID1234/file2.txt", "ID1234/file3.txt", "ID1234/file4.txt", "ID1234/file5.txt")
	labs := names(
		"T1606331395-LIPID-PATID1-CLIA24D9871327.txt", "T1606331395-LIPID-PATID2-CLIA24D9871327.txt",
		"T1606707579-LIPID-PATID3-CLIA24D9871328.txt", "T1606707597-LIPID-PATID4-CLIA24D9871328.txt",
		"T1606707600-LIPID-PATID1-CLIA24D9871328.txt",
	)
	repos := map[string]map[string]string{
		"readings": five, "parameters": five, "labs": labs, "empty": {},
		"stores":    names("STOREID1.txt", "STOREID2.txt", "STOREID3.txt", "STOREID4.txt"),
		"purchases": names("ORDER1_STOREID1.txt", "ORDER2_STOREID2.txt", "ORDER3_STOREID1.txt", "ORDER4_STOREID5.txt"),
		"returns":   names("ORDER1_STOREID1.txt", "ORDER3_STOREID1.txt", "ORDER2_STOREID2.txt"),
	}
	storeOf := func(outerStores, outerPurchases bool) spec.Input {
		return spec.Input{Join: []spec.Input{
			joined("stores", "/STOREID(*).txt", "$1", outerStores), joined("purchases", "/*_STOREID(*).txt", "$1", outerPurchases),
		}}
	}
	both := func(repo string) spec.Input {
		in := joined(repo, "/ORDER(*)_STOREID(*).txt", "$1", false)
		in.GroupBy = "$2"
		return in
	}
	patients := spec.Input{Group: []spec.Input{grouped("labs", "/*-*-PATID(*)-CLIA(*).txt", "$1")}}
	tests := []struct {
		name  string
		in    spec.Input
		count int
		has   []string
	}{
		{
			"cross of 5 and 5",
			spec.Input{Cross: []spec.Input{leafOf("readings", "/*/*"), leafOf("parameters", "/*/*")}},
			25,
			[]string{"readings:/ID1234/file1.txt;parameters:/ID1234/file5.txt"},
		},
		{"cross with an empty side", spec.Input{Cross: []spec.Input{leafOf("readings", "/*/*"), leafOf("empty", "/*")}}, 0, nil},
		{"cross with an empty first side", spec.Input{Cross: []spec.Input{leafOf("empty", "/*"), leafOf("readings", "/*/*")}}, 0, nil},
		{"join of 5 and 5", spec.Input{Join: []spec.Input{
			joined("readings", "/*/(*).txt", "$1", false), joined("parameters", "/*/(*).txt", "$1", false),
		}}, 5, []string{"readings+parameters=file3"}},
		{"inner join", storeOf(false, false), 3, []string{"stores+purchases=2", "stores+purchases=1;stores:/STOREID1.txt;purchases:/ORDER3_STOREID1.txt"}},
		{"outer join of stores", storeOf(true, false), 5, []string{"stores+purchases=3", "stores+purchases=4"}},
		{"outer join of purchases", storeOf(false, true), 4, []string{"stores+purchases=5"}},
		{"outer join of both", storeOf(true, true), 6, nil},
		{"group by patient", patients, 4, []string{"labs=1", "labs=4"}},
		{"group by clinic", spec.Input{Group: []spec.Input{grouped("labs", "/*-*-PATID(*)-CLIA(*).txt", "$2")}}, 2, []string{"labs=24D9871327"}},
		{"group by both", spec.Input{Group: []spec.Input{grouped("labs", "/*-*-PATID(*)-CLIA(*).txt", "$2-$1")}}, 5, nil},
		{
			"group of joins",
			spec.Input{Group: []spec.Input{{Join: []spec.Input{both("returns"), both("purchases")}}}},
			2,
			[]string{"returns+purchases=1", "returns+purchases=2"},
		},
		{"union", spec.Input{Union: []spec.Input{leafOf("stores", "/*"), leafOf("purchases", "/*")}}, 8, nil},
		{"union with a group", spec.Input{Union: []spec.Input{leafOf("stores", "/*"), patients}}, 8, []string{"stores:/STOREID1.txt", "labs=1"}},
		{"union of overlapping globs", spec.Input{Union: []spec.Input{leafOf("stores", "/*"), leafOf("stores", "/STOREID1*")}}, 4, nil},
		{"union under one name", spec.Input{Union: []spec.Input{
			{Repo: "readings", Name: "in", Glob: "/*/*"}, {Repo: "parameters", Name: "in", Glob: "/*/*"},
		}}, 10, []string{"in(readings):/ID1234/file1.txt", "in(parameters):/ID1234/file1.txt"}},
		{"cross of a union", spec.Input{Cross: []spec.Input{
			{Union: []spec.Input{leafOf("stores", "/*"), leafOf("purchases", "/*")}}, leafOf("readings", "/"),
		}}, 8, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var s chunk.Mem
			got := listAll(t, versionOf(t, &s, test.in, repos), test.in)
			ids := identities(got)
			if len(got) != test.count {
				t.Errorf("%d datums, want %d: %q", len(got), test.count, ids)
			}
			for _, id := range test.has {
				if !slices.Contains(ids, id) {
					t.Errorf("no datum %q among %q", id, ids)
				}
			}
			slices.Sort(ids)
			if len(slices.Compact(slices.Clone(ids))) != len(ids) {
				t.Errorf("identities repeat: %q", ids)
			}
		})
	}
}

// TestGroupSeesAllOfAKey: the items of a group are by input and path, each once.
func TestGroupSeesAllOfAKey(t *testing.T) {
	var s chunk.Mem
	in := spec.Input{Group: []spec.Input{grouped("b", "/(?)*", "$1"), grouped("a", "/(?)*", "$1")}}
	in.Group[1].Lazy, in.Group[0].EmptyFiles = true, true
	v := versionOf(t, &s, in, map[string]map[string]string{"a": names("x1", "y1"), "b": names("x2", "x1")})
	d := listAll(t, v, in)[0]
	var got []string
	for _, in := range d.Inputs {
		for _, it := range in.Items {
			got = append(got, string(in.Mode)+" "+in.Name+" "+it.Path)
		}
	}
	want := []string{"empty b x1", "empty b x2", "lazy a x1"}
	if diff := cmp.Diff(want, got); diff != "" || d.Identity != "b+a=x" {
		t.Errorf("%s: (-want +got):\n%s", d.Identity, diff)
	}
}

// drawInput draws a combination of the repos a, b and c.
func drawInput(t *rapid.T, depth int, repos []string, join, group bool) spec.Input {
	kinds := []string{"leaf", "leaf", "cross", "union", "join", "group"}
	if depth == 0 || len(repos) < 2 {
		kinds = kinds[:1]
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	join, group = join || kind == "join", group || kind == "group"
	if kind == "leaf" {
		in := leafOf(repos[0], rapid.SampledFrom([]string{"/(?)*", "/(*)/*", "/(**)/?(*)", "/(*)"}).Draw(t, "glob"))
		if join {
			in.JoinOn, in.OuterJoin = "$1", rapid.Bool().Draw(t, "outer")
		}
		if group {
			in.GroupBy = "k$1"
		}
		return in
	}
	cut := rapid.IntRange(1, len(repos)-1).Draw(t, "cut")
	parts := []spec.Input{drawInput(t, depth-1, repos[:cut], join, group), drawInput(t, depth-1, repos[cut:], join, group)}
	switch kind {
	case "cross":
		return spec.Input{Cross: parts}
	case "union":
		return spec.Input{Union: parts}
	case "join":
		return spec.Input{Join: parts}
	}
	return spec.Input{Group: parts}
}

// drawFew draws files of few names and contents.
func drawFew(t *rapid.T, label string) map[string]string {
	return rapid.MapOfN(rapid.SampledFrom([]string{"x1", "x2", "y1", "x/1", "x/2", "y/1", "y/x/1"}), rapid.SampledFrom([]string{"0", "1"}), 0, 5).Draw(t, label)
}

// TestCombinedChangesAreTheDifference: of any combination, the changes between
// two versions are the difference of the two lists.
func TestCombinedChangesAreTheDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s chunk.Mem
		in := drawInput(t, 3, []string{"a", "b", "c"}, false, false)
		old, now := map[string]map[string]string{}, map[string]map[string]string{}
		for _, repo := range []string{"a", "b", "c"} {
			old[repo] = drawFew(t, repo)
			now[repo] = maps.Clone(old[repo])
			if rapid.Bool().Draw(t, "changes") {
				now[repo] = drawFew(t, repo+" now")
			}
		}
		vo, vn := versionOf(t, &s, in, old), versionOf(t, &s, in, now)
		was, is := map[string]string{}, map[string]string{}
		for _, d := range listAll(t, vo, in) {
			was[d.Identity] = seenOf(d)
		}
		for _, d := range listAll(t, vn, in) {
			if _, ok := is[d.Identity]; ok {
				t.Fatalf("two datums %q", d.Identity)
			}
			is[d.Identity] = seenOf(d)
		}
		want := map[string]string{}
		for id, saw := range is {
			if o, ok := was[id]; !ok {
				want[id] = fmt.Sprint(tree.Added, saw)
			} else if o != saw {
				want[id] = fmt.Sprint(tree.Modified, saw)
			}
		}
		for id, saw := range was {
			if _, ok := is[id]; !ok {
				want[id] = fmt.Sprint(tree.Removed, saw)
			}
		}
		got := map[string]string{}
		for c, err := range Changes(context.Background(), vo, vn, in) {
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := got[c.Datum.Identity]; ok {
				t.Fatalf("two changes of %q", c.Datum.Identity)
			}
			got[c.Datum.Identity] = fmt.Sprint(c.Kind, seenOf(c.Datum))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v\n(-want +got):\n%s", in, diff)
		}
	})
}

// seenOf returns what the program would see of a datum, as text.
func seenOf(d Datum) string {
	var b strings.Builder
	for _, in := range d.Inputs {
		fmt.Fprint(&b, workOn(in))
	}
	return b.String()
}

// TestReferenceChangesRunNothing: other content of a reference input is no
// change; that it appears or goes is.
func TestReferenceChangesRunNothing(t *testing.T) {
	var s chunk.Mem
	model := leafOf("model", "/m")
	model.Reference = true
	in := spec.Input{Cross: []spec.Input{leafOf("a", "/*"), model}}
	version := func(a map[string]string, m map[string]string) Version {
		return versionOf(t, &s, in, map[string]map[string]string{"a": a, "model": m})
	}
	first := version(names("1", "2"), map[string]string{"m": "v1"})
	count := func(old, now Version) (n int) {
		for _, err := range Changes(t.Context(), old, now, in) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if n := count(first, version(names("1", "2"), map[string]string{"m": "v2"})); n != 0 {
		t.Errorf("a new model changes %d datums", n)
	}
	if n := count(first, version(names("1", "2", "3"), map[string]string{"m": "v2"})); n != 1 {
		t.Errorf("a new file changes %d datums", n)
	}
	if n := count(first, version(names("1", "2"), map[string]string{})); n != 2 {
		t.Errorf("without a model %d datums are gone", n)
	}
}

// TestCombinationsReportErrors: what can't be read, or is not what was
// compiled for, is an error.
func TestCombinationsReportErrors(t *testing.T) {
	missing := tree.Root{ID: tree.ID{1}, Content: tree.ContentID{1}}
	for _, in := range []spec.Input{
		{Cross: []spec.Input{leafOf("a", "/*"), leafOf("b", "/*")}},
		{Union: []spec.Input{leafOf("a", "/*"), leafOf("b", "/*")}},
		{Join: []spec.Input{joined("a", "/(*)", "$1", false), joined("b", "/(*)", "$1", false)}},
		{Group: []spec.Input{grouped("a", "/(*)", "$1"), grouped("b", "/(*)", "$1")}},
	} {
		v := Version{Reader: &chunk.Mem{}, Trees: []tree.Root{missing, missing}}
		for _, err := range List(t.Context(), v, in) {
			if err == nil {
				t.Errorf("%+v: a tree that is not there has datums", in)
			}
		}
		none := Version{Reader: &chunk.Mem{}, Trees: make([]tree.Root, 2)}
		found := false
		for _, err := range Changes(t.Context(), none, v, in) {
			found = err != nil
		}
		if !found {
			t.Errorf("%+v: a tree that is not there has changed without an error", in)
		}
		for _, err := range List(t.Context(), Version{Reader: &chunk.Mem{}, Trees: make([]tree.Root, 3)}, in) {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("three trees for two inputs: %v", err)
			}
		}
	}
}
