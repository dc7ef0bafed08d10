package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
)

func envOf(p string) Env { return Env{Now: testTime, Principal: auth.Principal{Name: p}} }

// must applies ops one transaction each, from the empty root.
func must(t *testing.T, ops ...Op) *Root {
	t.Helper()
	r := emptyRoot()
	for i, o := range ops {
		next, _, err := Apply(r, Txn{Op: op(byte(100 + i)), Ops: []Op{o}}, envOf("owner"))
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		r = next
	}
	return r
}

func TestApplyErrors(t *testing.T) {
	base := must(t,
		CreateRepo{Repo: "a"},
		MoveBranch{Repo: "a", Branch: "main", To: fill(1)},
		CreateBranch{Repo: "a", Branch: "dev/x", From: fill(1), Fork: "main"},
		CreateTag{Repo: "a", Tag: "v1", Commit: fill(1)},
		CreateBranch{Repo: "a", Branch: "prod", From: fill(1)},
		Protect{Repo: "a", Branch: "prod", Principals: []string{"ci", "ci", "bot"}},
		MoveSpec{Repo: "p", Branch: "main", To: fill(3)},
	)
	for _, c := range []struct {
		op   Op
		want error
	}{
		{CreateRepo{Repo: "a"}, fs.ErrExist},
		{CreateRepo{Repo: "a.b"}, fs.ErrInvalid},
		{CreateRepo{Repo: "b", Branch: "x..y"}, fs.ErrInvalid},
		{CreateRepo{Repo: "b", Description: "\xff"}, fs.ErrInvalid},
		{DeleteRepo{Repo: "b"}, ErrRepoNotFound},
		{DeleteRepo{Repo: "a"}, ErrProtected},
		{DeleteRepo{Repo: "p", Seen: base.Gen - 1}, ErrConflict},
		{CreateBranch{Repo: "b", Branch: "x"}, ErrRepoNotFound},
		{CreateBranch{Repo: "a", Branch: "main"}, fs.ErrExist},
		{CreateBranch{Repo: "a", Branch: "v1"}, fs.ErrExist},
		{CreateBranch{Repo: "a", Branch: "main/x"}, fs.ErrExist},
		{CreateBranch{Repo: "a", Branch: "dev"}, fs.ErrExist},
		{CreateBranch{Repo: "a", Branch: "v1/x"}, fs.ErrExist},
		{CreateBranch{Repo: "a", Branch: "-x"}, fs.ErrInvalid},
		{CreateBranch{Repo: "a", Branch: "x", Fork: "nix"}, ErrRefNotFound},
		{MoveBranch{Repo: "b", Branch: "main", To: fill(2)}, ErrRepoNotFound},
		{MoveBranch{Repo: "a", Branch: "main", Expect: fill(2), To: fill(3)}, ErrConflict},
		{MoveBranch{Repo: "a", Branch: "main", To: fill(3)}, ErrConflict},
		{MoveBranch{Repo: "a", Branch: "gone", Expect: fill(2), To: fill(3)}, ErrConflict},
		{MoveBranch{Repo: "a", Branch: "v1", To: fill(3)}, fs.ErrExist},
		{MoveBranch{Repo: "a", Branch: "main", Expect: fill(1)}, fs.ErrInvalid},
		{MoveBranch{Repo: "a", Branch: "prod", Expect: fill(1), To: fill(2), Force: true}, ErrProtected},
		{DeleteBranch{Repo: "a", Branch: "main", Expect: fill(1)}, fs.ErrInvalid},
		{DeleteBranch{Repo: "a", Branch: "dev/x"}, ErrConflict},
		{DeleteBranch{Repo: "a", Branch: "prod", Expect: fill(1)}, ErrProtected},
		{DeleteBranch{Repo: "a", Branch: "nix"}, ErrRefNotFound},
		{CreateTag{Repo: "a", Tag: "v1", Commit: fill(2)}, fs.ErrExist},
		{CreateTag{Repo: "a", Tag: "main", Commit: fill(2)}, fs.ErrExist},
		{CreateTag{Repo: "a", Tag: "v2"}, fs.ErrInvalid},
		{DeleteTag{Repo: "a", Tag: "v2"}, ErrRefNotFound},
		{MoveSpec{Repo: "p", Branch: "main", To: fill(4)}, ErrConflict},
		{MoveSpec{Repo: "q", Branch: "main"}, ErrRepoNotFound},
		{MoveSpec{Repo: "p", Branch: "dev"}, ErrRefNotFound},
		{MoveSpec{Repo: "a", Branch: "prod", To: fill(4)}, ErrProtected},
		{Protect{Repo: "a", Branch: "nix"}, ErrRefNotFound},
		{Protect{Repo: "a", Branch: "main", Principals: []string{"a\nb"}}, fs.ErrInvalid},
		{nil, fs.ErrInvalid},
	} {
		before, err := EncodeRoot(base)
		if err != nil {
			t.Fatal(err)
		}
		next, _, err := Apply(base, Txn{Op: op(1), Ops: []Op{CreateRepo{Repo: "first"}, c.op}}, envOf("owner"))
		if next != nil || !errors.Is(err, c.want) {
			t.Errorf("%#v: %v, want %v", c.op, err, c.want)
		}
		if after, err := EncodeRoot(base); err != nil || !slices.Equal(before, after) {
			t.Fatalf("%#v changed its base", c.op)
		}
	}
}

func TestApplyProtection(t *testing.T) {
	base := must(t, CreateRepo{Repo: "a"}, Protect{Repo: "a", Branch: "main", Principals: []string{"ci"}})
	move := Txn{Op: op(1), Ops: []Op{MoveBranch{Repo: "a", Branch: "main", To: fill(1)}}}
	if _, _, err := Apply(base, move, envOf("jo")); !errors.Is(err, ErrProtected) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("jo: %v", err)
	}
	if _, _, err := Apply(base, move, envOf("ci")); err != nil {
		t.Errorf("ci: %v", err)
	}
	lift := Txn{Op: op(2), Ops: []Op{Protect{Repo: "a", Branch: "main"}}}
	if _, _, err := Apply(base, lift, envOf("jo")); !errors.Is(err, ErrProtected) {
		t.Errorf("jo lifts: %v", err)
	}
	for _, p := range []string{"owner", "ci"} {
		next, _, err := Apply(base, lift, envOf(p))
		if err != nil || next.Repos["a"].Branches["main"].Protect != nil {
			t.Errorf("%s lifts: %v", p, err)
		}
	}
	free := must(t, CreateRepo{Repo: "a"})
	if _, _, err := Apply(free, Txn{Op: op(3), Ops: []Op{Protect{Repo: "a", Branch: "main", Principals: []string{"jo"}}}}, envOf("jo")); !errors.Is(err, ErrProtected) {
		t.Errorf("jo protects the owner's branch: %v", err)
	}
}

func TestApplyForkCycle(t *testing.T) {
	base := must(t,
		CreateRepo{Repo: "a"},
		CreateBranch{Repo: "a", Branch: "x"},
		CreateBranch{Repo: "a", Branch: "y", Fork: "x"},
		DeleteBranch{Repo: "a", Branch: "x"},
	)
	if _, _, err := Apply(base, Txn{Op: op(1), Ops: []Op{CreateBranch{Repo: "a", Branch: "x", Fork: "y"}}}, envOf("owner")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("fork of itself: %v", err)
	}
}

func TestApplyReplay(t *testing.T) {
	r := must(t, CreateRepo{Repo: "a"})
	first := Txn{Op: op(1), Ops: []Op{MoveBranch{Repo: "a", Branch: "main", To: fill(1)}}}
	r, res, err := Apply(r, first, envOf("owner"))
	if err != nil || res.Replay {
		t.Fatal(res, err)
	}
	for i := range OpsMax - 1 {
		var o OpID
		o[0], o[1], o[2] = 2, byte(i>>8), byte(i)
		if r, _, err = Apply(r, Txn{Op: o}, envOf("owner")); err != nil {
			t.Fatal(err)
		}
	}
	again, res2, err := Apply(r, first, envOf("owner"))
	if err != nil || again != r || !res2.Replay || res2.Gen != res.Gen {
		t.Errorf("repeated: %+v, %v", res2, err)
	}
	rec, ok := r.FindOp(op(1))
	if want := []Moved{{"a", "main", fill(1)}}; !ok || !reflect.DeepEqual(rec.Moved, want) {
		t.Errorf("record %+v, %v", rec, ok)
	}
	if r, _, err = Apply(r, Txn{Op: op(9)}, envOf("owner")); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.FindOp(op(1)); ok || len(r.Ops) != OpsMax {
		t.Errorf("%d operations remembered", len(r.Ops))
	}
}

func TestApplyEnv(t *testing.T) {
	base := fullRoot()
	base.Features = nil
	for _, c := range []struct {
		name string
		env  Env
		want error
	}{
		{"old session", Env{Start: 1}, ErrDoomed},
		{"session at the floor", Env{Start: 2}, nil},
		{"segment there", Env{Needs: []string{"idx/000000000001-ab/0"}}, nil},
		{"segment gone", Env{Needs: []string{"idx/x"}}, errMoved},
		{"drop of a segment gone", Env{Drop: []string{"idx/x"}}, errMoved},
		{"same term", Env{Attachments: Attachments{Term: 3}}, nil},
		{"old term", Env{Attachments: Attachments{Term: 2}}, ErrDeposed},
		{"memo gone", Env{Attachments: Attachments{DropMemo: []string{"memo/x"}}}, ErrConflict},
		{"history gone", Env{Attachments: Attachments{DropHistory: []string{"memo/x"}}}, ErrConflict},
	} {
		if _, _, err := Apply(base, Txn{Op: op(8)}, c.env); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	env := Env{
		Now: testTime,
		Add: []Segment{{Key: "idx/n", Chunks: 9}}, Drop: []string{"idx/000000000001-ab/0"},
		Attachments: Attachments{
			AddMemo: []string{"memo/n"}, DropMemo: []string{"memo/000000000002-cd/0"},
			AddHistory: []string{"history/n"}, Lead: "host-2",
		},
	}
	next, _, err := Apply(base, Txn{Op: op(8)}, env)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Segment{{Key: "idx/000000000002-cd/0", Chunks: 3}, {Key: "idx/n", Chunks: 9}}; !slices.Equal(next.Segments, want) {
		t.Errorf("segments %v", next.Segments)
	}
	if !slices.Equal(next.Memo, []string{"memo/n"}) || len(next.History) != 2 || next.Term != 4 || next.Leader != "host-2" {
		t.Errorf("root %+v", next)
	}
	if _, err := EncodeRoot(next); err != nil {
		t.Error(err)
	}
}

func TestNewOpID(t *testing.T) {
	id, err := NewOpID(testTime, strings.NewReader(strings.Repeat("\xff", 16)))
	if err != nil || id.String() != "01a1f82f1e80"+"7fffbfffffffffffffff" {
		t.Errorf("%v, %v", id, err)
	}
	if _, err := NewOpID(testTime, strings.NewReader("short")); err == nil {
		t.Error("too little randomness was enough")
	}
	for _, s := range []string{"", "01A1F82F1E807FFFBFFFFFFFFFFFFFFF", strings.Repeat("0", 33), strings.Repeat("z", 32)} {
		if _, err := ParseOpID(s); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if got, err := ParseOpID("01a1f82f-1e80-7fff-bfff-ffffffffffff"); err != nil || got != id {
		t.Errorf("with dashes: %v, %v", got, err)
	}
}

// TestApplyModel runs random operations against Apply and a plain map of
// names, and holds every root to its format and to its predecessor's hash.
func TestApplyModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, model := emptyRoot(), map[string]commit.ID{}
		repo := rapid.SampledFrom([]string{"a", "b"})
		name := rapid.SampledFrom([]string{"main", "x", "x/y", "v"})
		id := rapid.Custom(func(t *rapid.T) commit.ID { return fill(byte(rapid.IntRange(0, 4).Draw(t, "id"))) })
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			rp, nm := repo.Draw(t, "repo"), name.Draw(t, "name")
			branch, tag := rp+"@"+nm, rp+"#"+nm
			_, hasRepo := model[rp]
			free := hasRepo
			for _, n := range []string{"main", "x", "x/y", "v"} {
				_, b := model[rp+"@"+n]
				_, g := model[rp+"#"+n]
				if (b || g) && (n == nm || strings.HasPrefix(n, nm+"/") || strings.HasPrefix(nm, n+"/")) {
					free = false
				}
			}
			at, hasBranch := model[branch]
			_, hasTag := model[tag]
			expect, to := id.Draw(t, "expect"), id.Draw(t, "to")
			var o Op
			var ok bool
			effect := func() {}
			switch rapid.IntRange(0, 6).Draw(t, "op") {
			case 0:
				o, ok = CreateRepo{Repo: rp}, !hasRepo
				effect = func() { model[rp], model[rp+"@main"] = fill(0), fill(0) }
			case 1:
				o, ok = DeleteRepo{Repo: rp}, hasRepo
				effect = func() {
					for k := range model {
						if strings.HasPrefix(k, rp) {
							delete(model, k)
						}
					}
				}
			case 2:
				o, ok = CreateBranch{Repo: rp, Branch: nm, From: to}, free
				effect = func() { model[branch] = to }
			case 3:
				o, ok = MoveBranch{Repo: rp, Branch: nm, Expect: expect, To: to}, !to.IsZero() && (hasBranch && at == expect || free && expect.IsZero())
				effect = func() { model[branch] = to }
			case 4:
				o, ok = DeleteBranch{Repo: rp, Branch: nm, Expect: expect}, hasBranch && at == expect && nm != "main"
				effect = func() { delete(model, branch) }
			case 5:
				o, ok = CreateTag{Repo: rp, Tag: nm, Commit: to}, free && !to.IsZero()
				effect = func() { model[tag] = to }
			case 6:
				o, ok = DeleteTag{Repo: rp, Tag: nm}, hasTag
				effect = func() { delete(model, tag) }
			}
			next, _, err := Apply(r, Txn{Op: op(byte(i + 1)), Ops: []Op{o}}, envOf("owner"))
			if (err == nil) != ok {
				t.Fatalf("step %d: %+v: %v, the model says %v", i, o, err, ok)
			}
			if err != nil {
				continue
			}
			effect()
			checkNext(t, r, next)
			checkNames(t, next, model)
			r = next
		}
	})
}

func checkNext(t *rapid.T, base, next *Root) {
	b, err := EncodeRoot(base)
	if err != nil {
		t.Fatal(err)
	}
	nb, err := EncodeRoot(next)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeRoot(nb)
	if err != nil || !reflect.DeepEqual(back, next) {
		t.Fatalf("decoded %+v, %v, want %+v", back, err, next)
	}
	if next.Gen != base.Gen+1 || next.Prev != HashRoot(b) {
		t.Fatalf("root %d follows root %d", next.Gen, base.Gen)
	}
}

func checkNames(t *rapid.T, r *Root, model map[string]commit.ID) {
	got := map[string]commit.ID{}
	for name, repo := range r.Repos {
		got[name] = commit.ID{}
		for b, v := range repo.Branches {
			got[name+"@"+b] = v.Commit
		}
		for g, v := range repo.Tags {
			got[name+"#"+g] = v.Commit
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(model) {
		t.Fatalf("names %v, want %v", got, model)
	}
}
