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
	got, err := Pachyderm([]byte(edges), false)
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
	two, err := Pachyderm([]byte("["+edges+","+strings.Replace(edges, `"edges"`, `"more"`, 1)+"]"), false)
	if err != nil || len(two.Specs) != 2 {
		t.Errorf("%d specs of a list of two: %v", len(two.Specs), err)
	}
	for _, bad := range []string{"", "{", "[1]", `{"pipeline": {"name": "x"}}`, strings.Replace(edges, "/(*).txt", "/(*.txt", 1)} {
		if _, err := Pachyderm([]byte(bad), false); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%.30q: %v", bad, err)
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
  "input": {"cron": {"name": "tick", "spec": "@every 24h", "start": "2026-11-20T00:00:00Z", "overwrite": true}}}`), false)
	if err != nil || len(got.Notes) > 0 {
		t.Fatalf("%v, notes %v", err, got.Notes)
	}
	in := got.Specs[0].WithDefaults().Input
	if in.Repo != "n_tick" || in.Name != "tick" || *in.Cron != (spec.Cron{Spec: "@every 24h", Start: "2026-11-20T00:00:00Z", Overwrite: true}) {
		t.Errorf("%+v", in)
	}
}

// TestPachydermFields: what has a counterpart carries over in whatever way it is
// written, what has none is noted, and what is not given is neither.
func TestPachydermFields(t *testing.T) {
	got, err := Pachyderm([]byte(`
pipeline: {name: full, project: {name: default}}
transform:
  cmd: [sh, -c, "ls /pfs > /pfs/out/x; echo ${HOME} $PACH_JOB_ID"]
  stdin: ["find /pfs", "cat /pfs/a/x /pfs/a/y", "ls /pfs/a/pfs/b /pfs/out/"]
  env: {N: 3, OUT: /pfs/out, ON: true}
  image: x:1
  secrets: [{name: s}]
  user: ""
input:
  cross:
  - pfs: {repo: a, glob: "/@(x|y)/(*)", s3: false, repo_type: user, trigger: {commits: 3}}
  - cron: {name: tick, spec: "@never"}
parallelismSpec: {constant: "4"}
datumTries: "2"
resourceRequests: {cpu: 0.5, memory: 64M, disk: 1G, gpu: {}}
resourceLimits: {cpu: 2, memory: lots}
reprocessSpec: every_job
egress: {URL: "s3://b/d"}
s3Out: true
jobTimeout: [1]
autoscaling: false
`), true)
	if err != nil {
		t.Fatal(err)
	}
	s := got.Specs[0]
	x, err := s.Expand()
	if err != nil {
		t.Fatal(err)
	}
	if c := append(x.Cmd[2:], x.Stdin...); !slices.Equal(c, []string{"ls in > out/x; echo ${HOME} $PACH_JOB_ID", "find in", "cat in/a/x in/a/y", "ls in/a/pfs/b out/"}) {
		t.Errorf("commands %q", c)
	}
	in := s.Input.Cross
	switch {
	case s.Transform.Image != "x:1", x.Env["N"] != "3", x.Env["OUT"] != "out", x.Env["ON"] != "true",
		s.Parallelism.Max != 4, s.Datum.Tries != 2, s.Cache != spec.CacheNever,
		s.Requests != spec.Resources{CPU: "0.5", Memory: "64M"}, s.Limits != spec.Resources{CPU: "2"}:
		t.Errorf("%+v", s)
	case in[0].Glob != "/(x|y)/(*)", in[1].Repo != "full_tick", in[1].Cron != nil, in[1].Glob != "/*":
		t.Errorf("%+v", in)
	}
	var noted []string
	for _, n := range got.Notes {
		noted = append(noted, n.Field)
	}
	want := strings.Fields(`egress input.cross[0].pfs.trigger input.cross[1].cron job_timeout resource_limits.memory
		resource_requests.disk s3_out transform transform transform.secrets`)
	if !slices.Equal(noted, want) {
		t.Errorf("notes on %q, want %q", noted, want)
	}
}

// TestPachydermLeftOut: a pipeline that can be none of ours does not keep the
// others out, and what Pachyderm prints of one is read as its spec.
func TestPachydermLeftOut(t *testing.T) {
	got, err := Pachyderm([]byte(`{"pipeline": {"name": "s"}, "spout": {}, "transform": {"cmd": ["x"]}}
{"pipeline": {"name": "p"}, "version": "1", "state": "PIPELINE_RUNNING", "details": {"salt": "x", "created_at": "now",
 "transform": {"cmd": ["x"]}, "input": {"pfs": {"repo": "a", "glob": "/*"}}}}`), false)
	if err != nil || len(got.Specs) != 1 || got.Specs[0].Pipeline != "p" || len(got.Notes) != 1 || got.Notes[0].Pipeline != "s" ||
		!strings.Contains(got.Notes[0].Text, "a spout has no input") {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = Pachyderm([]byte(`{"pipeline": {"name": "s"}, "service": {"internalPort": 80}, "transform": {"cmd": ["x"]}}`), false)
	if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), `"s" can't be one of dvx: a service`) {
		t.Errorf("a service: %v", err)
	}
}

// FuzzPachyderm: whatever a file says, what is made of it are specs, or it is
// refused.
func FuzzPachyderm(f *testing.F) {
	f.Add([]byte(edges))
	f.Add([]byte("pipeline: {name: a}\ntransform: {cmd: [/pfs/a/pfs/b, x]}\ninput: {pfs: {repo: a, glob: /}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, images := range []bool{false, true} {
			got, err := Pachyderm(data, images)
			if err != nil {
				continue
			}
			for _, s := range got.Specs {
				if _, err := spec.Format(s); err != nil {
					t.Errorf("%s: %v", s.Pipeline, err)
				}
			}
		}
	})
}
