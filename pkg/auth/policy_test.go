package auth

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

var policyTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func grants(t testing.TB, texts ...string) []Grant {
	t.Helper()
	var all []Grant
	for _, text := range texts {
		g, err := ParseGrant(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

func TestGrantText(t *testing.T) {
	for _, text := range []string{"read:images", "write:images@main", "write:images@feature/*:/2026/11", "admin:*", "run:team-*@dev"} {
		if got := grants(t, text)[0].String(); got != text {
			t.Errorf("%s reads back as %s", text, got)
		}
	}
	for _, text := range []string{
		"", "read", "read:", "own:images", "read:images@", "read:im*ges", "read:**", "read:images@main:/../x", "read:images@main:/a//b",
		"read:images@main:/.", "admin:images@main:/a", "run:images@main:/a",
	} {
		if g, err := ParseGrant(text); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: got %v, %v, want fs.ErrInvalid", text, g, err)
		}
	}
}

// TestCovers is the table of levels × resources: what each grant opens, and
// what lies beside it.
func TestCovers(t *testing.T) {
	all := []Action{Read, Write, Admin, ReadPipeline, WritePipeline, ReadStore}
	for _, tt := range []struct {
		grant string
		on    Resource
		want  []Action
	}{
		{"read:images", Resource{Repo: "images"}, []Action{Read, ReadPipeline}},
		{"read:images", Resource{Repo: "images", Branch: "main", Path: "a"}, []Action{Read, ReadPipeline}},
		{"read:images", Resource{Repo: "images2"}, nil},
		{"read:images", Resource{}, nil},
		{"run:images", Resource{Repo: "images"}, []Action{Read, ReadPipeline, WritePipeline}},
		{"write:images", Resource{Repo: "images"}, []Action{Read, ReadPipeline, Write}},
		{"admin:images", Resource{Repo: "images"}, all},
		{"admin:*", Resource{}, all},
		{"read:im*", Resource{Repo: "images"}, []Action{Read, ReadPipeline}},
		{"read:im*", Resource{}, nil},
		{"read:images@main", Resource{Repo: "images"}, nil},
		{"read:images@main", Resource{Repo: "images", Branch: "main"}, []Action{Read, ReadPipeline}},
		{"read:images@main", Resource{Repo: "images", Branch: "main2"}, nil},
		{"read:images@dev/*", Resource{Repo: "images", Branch: "dev/a"}, []Action{Read, ReadPipeline}},
		{"read:images@dev/*", Resource{Repo: "images", Branch: "dev"}, nil},
		{"read:images@main:/a", Resource{Repo: "images", Branch: "main"}, nil},
		{"read:images@main:/a", Resource{Repo: "images", Branch: "main", Path: "a"}, []Action{Read, ReadPipeline}},
		{"read:images@main:/a", Resource{Repo: "images", Branch: "main", Path: "a/b"}, []Action{Read, ReadPipeline}},
		{"read:images@main:/a", Resource{Repo: "images", Branch: "main", Path: "ab"}, nil},
		{"read:images@main:/a/b", Resource{Repo: "images", Branch: "main", Path: "a"}, nil},
	} {
		for _, a := range all {
			if got := grants(t, tt.grant)[0].Covers(a, tt.on); got != slices.Contains(tt.want, a) {
				t.Errorf("%s: %s on %v: %v", tt.grant, a, tt.on, got)
			}
		}
	}
}

func testPolicy(t testing.TB) Policy {
	return Policy{
		Format: PolicyFormat,
		Principals: map[string][]Grant{
			"ann":       grants(t, "write:images", "read:labels@main"),
			"root":      grants(t, "admin:*"),
			"anonymous": grants(t, "read:public@main:/open"),
			"none":      {},
		},
		Keys: []SealedKey{
			{Access: "AAAAAAAAAAAAAAAAAAAA", Sealed: []byte("sealed"), Principal: "ann", Created: policyTime},
			{Access: "BBBBBBBBBBBBBBBBBBBB", Sealed: []byte("sealed"), Principal: "ann", Scope: grants(t, "read:images@main"), Created: policyTime},
			{Access: "CCCCCCCCCCCCCCCCCCCC", Sealed: []byte("sealed"), Principal: "ann", Created: policyTime, Expires: policyTime.Add(time.Hour)},
		},
	}
}

func TestMay(t *testing.T) {
	p := testPolicy(t)
	main := Resource{Repo: "images", Branch: "main"}
	access := Resource{Repo: AccessRepo, Branch: AccessBranch}
	for _, tt := range []struct {
		who  Principal
		a    Action
		on   Resource
		at   time.Time
		want bool
	}{
		{Owner, Admin, Resource{}, policyTime, true},
		{Owner, Write, access, policyTime, true},
		{Principal{}, Read, main, policyTime, false},
		{Principal{Name: "eve"}, ReadStore, Resource{}, policyTime, false},
		{Principal{Name: "none"}, ReadStore, Resource{}, policyTime, false},
		{Principal{Name: "ann"}, ReadStore, Resource{}, policyTime, true},
		{Principal{Name: "ann"}, Write, main, policyTime, true},
		{Principal{Name: "ann", Key: "AAAAAAAAAAAAAAAAAAAA"}, Write, main, policyTime, true},
		{Principal{Name: "ann", Key: "BBBBBBBBBBBBBBBBBBBB"}, Read, main, policyTime, true},
		{Principal{Name: "ann", Key: "BBBBBBBBBBBBBBBBBBBB"}, Write, main, policyTime, false},                                    // beyond its scope
		{Principal{Name: "ann", Key: "BBBBBBBBBBBBBBBBBBBB"}, Read, Resource{Repo: "labels", Branch: "main"}, policyTime, false}, // dto.
		{Principal{Name: "ann", Key: "CCCCCCCCCCCCCCCCCCCC"}, Read, main, policyTime.Add(time.Hour - 1), true},
		{Principal{Name: "ann", Key: "CCCCCCCCCCCCCCCCCCCC"}, Read, main, policyTime.Add(time.Hour), false}, // expired
		{Principal{Name: "ann", Key: "DDDDDDDDDDDDDDDDDDDD"}, Read, main, policyTime, false},                // revoked
		{Principal{Name: "root", Key: "AAAAAAAAAAAAAAAAAAAA"}, Read, main, policyTime, false},               // another's
		{Principal{Name: "ann"}, Read, access, policyTime, false},
		{Principal{Name: "root"}, Read, access, policyTime, true},
		{Anonymous, Read, Resource{Repo: "public", Branch: "main", Path: "open/a"}, policyTime, true},
		{Anonymous, Read, Resource{Repo: "public", Branch: "main", Path: "a"}, policyTime, false},
	} {
		if got := p.May(tt.who, tt.a, tt.on, tt.at); got != tt.want {
			t.Errorf("%+v %s %v: %v, want %v", tt.who, tt.a, tt.on, got, tt.want)
		}
	}
	for who, sees := range map[string]bool{"ann": true, "eve": false, "anonymous": false, "root": true} {
		if got := p.Sees(Principal{Name: who}, "labels", policyTime); got != sees {
			t.Errorf("%s sees labels: %v", who, got)
		}
		if got := p.Sees(Principal{Name: who}, AccessRepo, policyTime); got != (who == "root") {
			t.Errorf("%s sees the policy: %v", who, got)
		}
	}
}

// TestDefaultsAreForAll: any user of a store may read what specs inherit, and
// only who administers all may change it.
func TestDefaultsAreForAll(t *testing.T) {
	p := Policy{Principals: map[string][]Grant{"ann": grants(t, "read:images"), "bob": nil, "root": grants(t, "admin:*")}}
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		who       string
		a         Action
		repo      string
		may, sees bool
	}{
		{"ann", Read, DefaultsRepo, true, true},
		{"ann", Write, DefaultsRepo, false, true},
		{"ann", Read, AccessRepo, false, false},
		{"bob", Read, DefaultsRepo, false, false},
		{"root", Write, DefaultsRepo, true, true},
	} {
		who := Principal{Name: c.who}
		if got := p.May(who, c.a, Resource{Repo: c.repo, Branch: "main"}, now); got != c.may {
			t.Errorf("%s may %v %s: %v", c.who, c.a, c.repo, got)
		}
		if got := p.Sees(who, c.repo, now); got != c.sees {
			t.Errorf("%s sees %s: %v", c.who, c.repo, got)
		}
	}
}

// TestScopeOnlyNarrows: a key's scope never allows what its principal may not.
func TestScopeOnlyNarrows(t *testing.T) {
	texts := []string{"read:a", "write:a@main", "read:*", "admin:b", "run:a@dev/*", "write:a@main:/x", "read:b@main:/x/y"}
	rapid.Check(t, func(t *rapid.T) {
		pick := func(name string) []Grant {
			var all []Grant
			for _, text := range rapid.SliceOfN(rapid.SampledFrom(texts), 0, 4).Draw(t, name) {
				g, _ := ParseGrant(text)
				all = append(all, g)
			}
			return all
		}
		p := Policy{Principals: map[string][]Grant{"ann": pick("grants")}, Keys: []SealedKey{{Access: "K", Principal: "ann", Scope: pick("scope")}}}
		a := rapid.SampledFrom([]Action{Read, Write, Admin, ReadPipeline, WritePipeline}).Draw(t, "action")
		on := Resource{
			Repo:   rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "repo"),
			Branch: rapid.SampledFrom([]string{"", "main", "dev/x", "dev"}).Draw(t, "ref"),
			Path:   rapid.SampledFrom([]string{"", "x", "x/y", "xy"}).Draw(t, "path"),
		}
		if p.May(Principal{Name: "ann", Key: "K"}, a, on, policyTime) && !p.May(Principal{Name: "ann"}, a, on, policyTime) {
			t.Fatalf("the key may %s %v, its principal may not", a, on)
		}
	})
}

func TestPolicyGolden(t *testing.T) {
	b, err := EncodePolicy(testPolicy(t))
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/policy.golden"
	if *update {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("the policy encodes as\n%s\nwant\n%s", b, want)
	}
	p, err := DecodePolicy(want)
	if err != nil || len(p.Keys) != 3 {
		t.Errorf("golden policy: %v, %v", p, err)
	}
}

func TestPolicyRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Policy){
		"a newer format":        func(p *Policy) { p.Format = 2 },
		"an owner":              func(p *Policy) { p.Principals["owner"] = nil },
		"a strange name":        func(p *Policy) { p.Principals["a b"] = nil },
		"an anonymous writer":   func(p *Policy) { p.Principals["anonymous"] = []Grant{{LevelWrite, "a", "*", ""}} },
		"a grant of nothing":    func(p *Policy) { p.Principals["ann"] = []Grant{{}} },
		"keys out of order":     func(p *Policy) { slices.Reverse(p.Keys) },
		"an anonymous key":      func(p *Policy) { p.Keys[0].Principal = "anonymous" },
		"an owner's key":        func(p *Policy) { p.Keys[0].Principal = "owner" },
		"a key without secret":  func(p *Policy) { p.Keys[0].Sealed = nil },
		"a scope of nonsense":   func(p *Policy) { p.Keys[0].Scope = []Grant{{Level: "x"}} },
		"more grants than many": func(p *Policy) { p.Principals["ann"] = slices.Repeat(grants(t, "read:a"), GrantsMax+1) },
	} {
		p := testPolicy(t)
		spoil(&p)
		if _, err := EncodePolicy(p); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v, want fs.ErrInvalid", name, err)
		}
	}
}

func FuzzDecodePolicy(f *testing.F) {
	b, err := EncodePolicy(testPolicy(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"principals":{},"keys":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePolicy(b)
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Fatalf("%v, want fs.ErrInvalid", err)
			}
			return
		}
		again, err := EncodePolicy(p)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decodes, but encodes as %q, %v", again, err)
		}
		if p.May(Principal{Name: "nobody-here"}, Read, Resource{Repo: "a"}, policyTime) && !strings.Contains(string(b), "nobody-here") {
			t.Fatal("a stranger may read")
		}
	})
}
