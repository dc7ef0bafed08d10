package interop

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

const stages = `
vars:
  - more.yaml
  - kinds: {us: {limit: 10}, gb: {limit: 15}}
stages:
  prepare:
    cmd: python prepare.py raw.csv ${prepare.split} ${x} \${y} ${prepare}
    deps: [prepare.py, raw.csv]
    params: [split]
    outs:
      - out/train.csv
      - out/test.csv: {cache: false}
  train:
    desc: the model
    frozen: true
    always_changed: true
    cmd: [python train.py, "echo ${x} $${prepare.split}"]
    deps: [out/train.csv]
    outs: [model.pkl: {persist: true, push: false}]
    metrics: [scores.json]
  build:
    foreach: ${kinds}
    do:
      cmd: build ${key} ${item.limit} --seed ${seed}
      deps: [out/, gone.csv, "https://example.org/x"]
      outs: ["${key}.txt", ../x]
  list:
    foreach: [a b, {p: 1}]
    do: {cmd: "list ${item}", wdir: sub, deps: [../raw.csv, ../model.pkl], outs: ["o(${key})"]}
  grid:
    matrix: {model: [cnn, xgb], rate: [0.10, 1e-3]}
    cmd: grid ${item.model} ${item.rate}
    outs: ["${key}.pkl"]
`

// dvcFiles are a project of which raw.csv is DVC's.
func dvcFiles() fstest.MapFS {
	return fstest.MapFS{
		"dvc.yaml":    {Data: []byte(stages)},
		"params.yaml": {Data: []byte("prepare: {split: 0.20, names: [a, 'b c'], deep: {on: true, off: false}}\n")},
		"more.yaml":   {Data: []byte("seed: 7\n")},
		"raw.csv.dvc": {}, "prepare.py": {},
	}
}

func TestDVC(t *testing.T) {
	got, err := DVC(dvcFiles(), "dvc.yaml", "data")
	if err != nil {
		t.Fatal(err)
	}
	specs := map[string]spec.Spec{}
	for _, s := range got.Specs {
		specs[s.Pipeline] = s
	}
	for _, want := range []struct{ pipeline, inputs, line, params string }{
		{"prepare", "data:/raw.csv", "python prepare.py raw.csv 0.20 ${x} ${y} --split 0.20 --names a 'b c' --deep.on", "prepare_split=0.20"},
		{"train", "prepare:/out/train.csv", "echo ${x} $0.20", ""},
		{"build-us", "prepare:/out/test.csv prepare:/out/train.csv data:/", "build us 10 --seed 7", "seed=7"},
		{"build-gb", "prepare:/out/test.csv prepare:/out/train.csv data:/", "build gb 15 --seed 7", "seed=7"},
		{"list-a-b", "data:/raw.csv train:/model.pkl", "list a b", ""},
		{"list-1", "data:/raw.csv train:/model.pkl", "list --p 1", ""},
		{"grid-cnn-0-10", "data:/", "grid cnn 0.10", ""},
		{"grid-xgb-1e-3", "data:/", "grid xgb 1e-3", ""},
	} {
		s := specs[want.pipeline]
		var inputs, params []string
		for in := range s.Input.Leaves() {
			inputs = append(inputs, in.Repo+":"+in.Glob)
		}
		for name, v := range s.Parameters {
			params = append(params, name+"="+v)
		}
		x, err := s.Expand()
		if err != nil || strings.Join(inputs, " ") != want.inputs || strings.Join(params, " ") != want.params ||
			!slices.Contains(strings.Split(x.Cmd[2], "\n"), want.line) {
			t.Errorf("%s: %v\ninputs %s\nparameters %s\n%s", want.pipeline, err, inputs, params, x.Cmd)
		}
	}
	if len(specs) != 10 {
		t.Errorf("%d specs, want 10", len(specs))
	}
	if s := specs["train"]; s.Cache != spec.CacheNever || s.Description != "the model" {
		t.Errorf("train: %+v", s)
	}
	if x, _ := specs["list-1"].Expand(); !strings.Contains(x.Cmd[2], `cp -R 'o()' "$DVX_OUT"/'sub/o()'`) {
		t.Errorf("an out below wdir: %s", x.Cmd[2])
	}
	ignore := specs["train"].Transform.Code.Ignore
	for _, data := range []string{"/raw.csv", "/out/train.csv", "/scores.json", "/.dvc", `/sub/o\(\)`, "/train.yaml"} {
		if !slices.Contains(ignore, data) {
			t.Errorf("%s counts as code: %s", data, ignore)
		}
	}
	noted := map[string]bool{}
	for _, n := range got.Notes {
		noted[n.Pipeline+" "+n.Field] = true
	}
	for _, want := range []string{"prepare deps", "prepare params", "prepare cmd", "train frozen", "train outs", "build-us deps", "build-us outs", "build-us stages.build@us", "grid-cnn-0-10 deps"} {
		if !noted[want] {
			t.Errorf("no note on %s: %v", want, got.Notes)
		}
	}
}

func TestDVCRefused(t *testing.T) {
	for bad, says := range map[string]string{
		"": "no stages", "a: [": "yaml", "stages: 1": "yaml", "stages: {a: 1}": `stage "a"`,
		"stages: {a: {foreach: [1]}}":                                                      "foreach has no do",
		"stages: {a: {deps: [x]}}":                                                         "has no cmd",
		"stages: {a: {cmd: x, outs: ['${nope}']}}":                                         "${nope}",
		"stages: {a: {cmd: x, matrix: {a: 1}}}":                                            "matrix: a: want a list",
		"stages: {a@b: {cmd: x}, a-b: {cmd: x}}":                                           "would both be pipeline a-b",
		"stages: {a: {cmd: x, matrix: {a: &a [" + strings.Repeat("1,", 99) + "], b: *a}}}": "more than 500 stages",
	} {
		_, err := DVC(fstest.MapFS{"dvc.yaml": {Data: []byte(bad)}}, "dvc.yaml", "data")
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80q: %v", bad, err)
		}
	}
	if _, err := DVC(fstest.MapFS{}, "dvc.yaml", "data"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzDVC: whatever a dvc.yaml says, what is made of it are specs, or it is
// refused.
func FuzzDVC(f *testing.F) {
	f.Add([]byte(stages), []byte("prepare: {split: 1}"))
	f.Add([]byte("vars: [{a: &a {x: *a}}]\nstages: {s: {cmd: '${a}', foreach: '${a}', do: {cmd: '${a}'}}}"), []byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, content, params []byte) {
		files := fstest.MapFS{"dvc.yaml": {Data: content}, "params.yaml": {Data: params}}
		got, err := DVC(files, "dvc.yaml", "data")
		if err != nil {
			return
		}
		for _, s := range got.Specs {
			if _, err := spec.Format(s); err != nil {
				t.Errorf("%s: %v", s.Pipeline, err)
			}
		}
	})
}

// TestDVCLaysOut runs the lines that lay a stage out, with inputs that have
// files in one folder: read-only, as a program finds them.
func TestDVCLaysOut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("stages are shell scripts")
	}
	got, err := DVC(fstest.MapFS{"dvc.yaml": {Data: []byte("stages: {a: {cmd: cat d/x d/y d/z, deps: [x]}}")}}, "dvc.yaml", "data")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", dir).Run() })
	for _, name := range []string{"in/one/d/x", "in/two/d/y", "code/d/z", "tmp/"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "tmp/" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+"\n"), 0o444); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, filepath.Dir(name)), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	x, err := got.Specs[0].Expand()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(x.Cmd[0], x.Cmd[1:]...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir+"/tmp", "DVX_IN="+dir+"/in", "DVX_CODE="+dir+"/code", "DVX_OUT="+dir)
	if b, err := cmd.CombinedOutput(); err != nil || string(b) != "in/one/d/x\nin/two/d/y\ncode/d/z\n" {
		t.Errorf("%v: %s", err, b)
	}
}
