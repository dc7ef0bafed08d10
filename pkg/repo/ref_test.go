package repo

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseRef(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for expr, want := range map[string]Ref{
		"images":                                   {Repo: "images"},
		"images@main":                              {Repo: "images", Name: "main"},
		"images@v1.2":                              {Repo: "images", Name: "v1.2"},
		"images@feature/x":                         {Repo: "images", Name: "feature/x"},
		"images@main~3":                            {Repo: "images", Name: "main", Steps: []Step{{N: 3}}},
		"images@main~":                             {Repo: "images", Name: "main", Steps: []Step{{N: 1}}},
		"images@main^2":                            {Repo: "images", Name: "main", Steps: []Step{{Parent: true, N: 2}}},
		"images@main^^~0":                          {Repo: "images", Name: "main", Steps: []Step{{true, 1}, {true, 1}, {false, 0}}},
		"images@0123abcd":                          {Repo: "images", Name: "0123abcd"},
		"images@main{2026-11-20T09:00Z}":           {Repo: "images", Name: "main", At: at},
		"images@main{2026-11-20T10:00+01:00}~1":    {Repo: "images", Name: "main", At: at, Steps: []Step{{N: 1}}},
		"images@main{2026-11-20T09:00:00.0009Z}":   {Repo: "images", Name: "main", At: at},
		"images@main{2026-11-20}":                  {Repo: "images", Name: "main", At: at.Add(-9 * time.Hour)},
		"images:/":                                 {Repo: "images", HasPath: true, Dir: true},
		"images:/a/b":                              {Repo: "images", HasPath: true, Path: "a/b"},
		"images@main:/a@b~1:c":                     {Repo: "images", Name: "main", HasPath: true, Path: "a@b~1:c"},
		"images@main{2026-11-20T09:00Z}~2:/a/b.c/": {Repo: "images", Name: "main", At: at, Steps: []Step{{N: 2}}, HasPath: true, Path: "a/b.c", Dir: true},
	} {
		got, err := ParseRef(expr)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", expr, got, err, want)
		}
	}
	for _, expr := range []string{
		"", "@main", ":/a", "a.b@main", "images@", "images@~1", "images@main:", "images@main:a", "images@main~x",
		"images@main{", "images@main{}", "images@main{yesterday}", "images@main{2026-13-01}", "images@main{2026-11-20T09:00}",
		"images@main~1{2026-11-20}", "images@ma in", "images@main:/a//b", "images@main://", "images@main:/../x",
		"images@main~99999999999999999999", "images@main~1048577", "images@main" + strings.Repeat("^", 65), "images~1",
	} {
		if got, err := ParseRef(expr); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %+v, %v", expr, got, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"images", "images@main~3^2", "a@b{2026-11-20T09:00Z}~:/x/y/", "a@0123ab:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseRef(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q gives %+v, its text %q gives %+v, %v", s, r, r.String(), again, err)
		}
	})
}

// FuzzRefName holds names to what they are used for: a part of expressions.
func FuzzRefName(f *testing.F) {
	for _, s := range []string{"main", "v1.2", "a/b", "a..b", "x.lock", "-a"} {
		f.Add(s, "main")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if CheckRefName(a) != nil || CheckRefName(b) != nil {
			return
		}
		if r, err := ParseRef("r@" + a + "~1:/x"); err != nil || r.Name != a {
			t.Fatalf("%q is read as %q, %v", a, r.Name, err)
		}
		r := Repo{Created: testTime, Default: a, Branches: map[string]Branch{a: {Gen: 1}}}
		free := checkNewRef("r", r, b) == nil
		r.Branches[b] = Branch{Gen: 1}
		if ok := r.check(1) == nil; ok != (free || a == b) {
			t.Fatalf("%q beside %q: new %v, together %v", b, a, free, ok)
		}
	})
}
