package interop

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

const edges = `{
  "pipeline": {"name": "edges", "project": "vision"},
  "description": "finds edges",
  "transform": {"image": "images/edges:1.0", "cmd": ["python3", "/edges.py", "/pfs/out"], "env": {"A": "1"}, "acceptReturnCode": [3]},
  "input": {"cross": [
    {"pfs": {"repo": "images", "branch": "master", "glob": "/*", "lazy": true}},
    {"join": [
      {"pfs": {"repo": "a", "glob": "/(*).txt", "join_on": "$1", "outer_join": true}},
      {"pfs": {"repo": "b", "glob": "/(*).txt", "joinOn": "$1", "branch": "dev"}}]}]},
  "parallelism_spec": {"constant": 4},
  "datum_timeout": "10m",
  "autoscaling": true
}`

func TestPachyderm(t *testing.T) {
	got, err := Pachyderm([]byte(edges))
	if err != nil {
		t.Fatal(err)
	}
	s := got.Specs[0]
	join := s.Input.Cross[1].Join
	switch {
	case s.Pipeline != "edges", s.Transform.Cmd[2] != "out", s.Transform.Env["A"] != "1", s.Transform.AcceptReturnCode[0] != 3,
		s.Parallelism.Max != 4, s.Datum.Tries != 3, s.Datum.Timeout != "10m":
		t.Errorf("%+v", s)
	case !s.Input.Cross[0].Lazy, s.Input.Cross[0].Branch != "", !join[0].OuterJoin, join[1].JoinOn != "$1", join[1].Branch != "dev":
		t.Errorf("%+v", s.Input)
	}
	noted := map[string]bool{}
	for _, n := range got.Notes {
		noted[n.Field] = true
	}
	for _, field := range []string{"pipeline.project", "transform.image", "autoscaling", "transform"} {
		if !noted[field] {
			t.Errorf("no note on %s: %v", field, got.Notes)
		}
	}
	if len(noted) != 4 {
		t.Errorf("notes %v", got.Notes)
	}
	two, err := Pachyderm([]byte("[" + edges + "," + strings.Replace(edges, `"edges"`, `"more"`, 1) + "]"))
	if err != nil || len(two.Specs) != 2 {
		t.Errorf("%d specs of a list of two: %v", len(two.Specs), err)
	}
	for _, bad := range []string{"", "{", "[1]", `{"pipeline": {"name": "x"}}`, strings.Replace(edges, "/(*).txt", "/(*.txt", 1)} {
		if _, err := Pachyderm([]byte(bad)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

const stages = `
stages:
  prepare:
    cmd: python prepare.py raw.csv
    deps: [prepare.py, raw.csv]
    params: [split]
    outs:
      - out/train.csv
      - out/test.csv: {cache: false}
  train:
    desc: the model
    cmd: [python train.py, "echo ${x}"]
    deps: [out/train.csv]
    outs: [model.pkl]
    metrics: [scores.json]
  grid:
    foreach: [a, b]
    do: {cmd: x}
`

func TestDVC(t *testing.T) {
	got, err := DVC([]byte(stages), "data")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Specs) != 2 || got.Specs[0].Pipeline != "prepare" || got.Specs[0].Input.Repo != "data" || got.Specs[1].Input.Repo != "prepare" {
		t.Fatalf("%+v", got.Specs)
	}
	x, err := got.Specs[1].Expand()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"python train.py", "echo ${x}", `cp -R 'model.pkl' "$DVX_OUT"/'model.pkl'`, `cp -R 'scores.json' "$DVX_OUT"/'scores.json'`} {
		if !strings.Contains(x.Cmd[2], line) {
			t.Errorf("the script has no %q:\n%s", line, x.Cmd[2])
		}
	}
	var fields []string
	for _, n := range got.Notes {
		fields = append(fields, n.Pipeline+" "+n.Field)
	}
	if got := strings.Join(fields, ", "); got != "grid foreach, prepare deps, prepare deps, prepare params, train cmd" {
		t.Errorf("notes %s", got)
	}
	for _, bad := range []string{"", "a: [", "stages: 1"} {
		if _, err := DVC([]byte(bad), "data"); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestPachydermPaths: /pfs/out is the output, what only begins so is an input.
func TestPachydermPaths(t *testing.T) {
	p := &pachyderm{}
	got := p.paths([]string{"cp /pfs/output/a /pfs/out/b", "/pfs/out", "x=/pfs/out;", "/pfs/out.d/c", "ls /pfs/", "/data.pfs/out"})
	want := []string{"cp in/output/a out/b", "out", "x=out;", "in/out.d/c", "ls in/", "/data.pfs/out"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPachydermCron: a clock stays one, of the same repo.
func TestPachydermCron(t *testing.T) {
	got, err := Pachyderm([]byte(`{"pipeline": {"name": "n"}, "transform": {"cmd": ["x"]},
  "input": {"cron": {"name": "tick", "spec": "@every 24h", "start": "2026-11-20T00:00:00Z", "overwrite": true}}}`))
	if err != nil || len(got.Notes) > 0 {
		t.Fatalf("%v, notes %v", err, got.Notes)
	}
	in := got.Specs[0].WithDefaults().Input
	if in.Repo != "n_tick" || in.Name != "tick" || *in.Cron != (spec.Cron{Spec: "@every 24h", Start: "2026-11-20T00:00:00Z", Overwrite: true}) {
		t.Errorf("%+v", in)
	}
}
