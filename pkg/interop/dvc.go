package interop

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// dvcStage is a stage of a dvc.yaml.
type dvcStage struct {
	Cmd     any            `yaml:"cmd"` // a text or a list of them
	Deps    []any          `yaml:"deps"`
	Outs    []any          `yaml:"outs"`
	Metrics []any          `yaml:"metrics"`
	Plots   []any          `yaml:"plots"`
	Wdir    string         `yaml:"wdir"`
	Desc    string         `yaml:"desc"`
	Other   map[string]any `yaml:",inline"`
}

// DVC reads the stages of a dvc.yaml. Each becomes a pipeline of one datum,
// which lays out the code and its inputs as the stage had them, runs the command
// there, and keeps its outs. Files that no stage makes are those of the repo
// data, or of the code. It fails with fs.ErrInvalid for what is no dvc.yaml.
func DVC(content []byte, data string) (Import, error) {
	var file struct {
		Stages map[string]dvcStage `yaml:"stages"`
		Other  map[string]any      `yaml:",inline"`
	}
	var out Import
	if err := yaml.Unmarshal(content, &file); err != nil {
		return out, fmt.Errorf("read dvc.yaml: %w: %w", err, fs.ErrInvalid)
	}
	if len(file.Stages) == 0 {
		return out, fmt.Errorf("read dvc.yaml: it has no stages: %w", fs.ErrInvalid)
	}
	for _, name := range slices.Sorted(maps.Keys(file.Other)) {
		out.note("", name, "has no counterpart here, and was left out")
	}
	makers := map[string]string{} // path: the stage that makes it
	for name, st := range file.Stages {
		for _, p := range st.results() {
			makers[path.Join(st.Wdir, p)] = name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(file.Stages)) {
		st := file.Stages[name]
		if _, ok := st.Other["foreach"]; ok || st.Other["matrix"] != nil {
			out.note(name, "foreach", "stages that stand for several are not imported: write one for each, or make them datums of one")
			continue
		}
		s := st.spec(name, data, makers, &out)
		if err := s.Validate(); err != nil {
			return out, fmt.Errorf("stage %q as a spec of dvx: %w", name, err)
		}
		out.Specs = append(out.Specs, s.WithDefaults())
	}
	out.sorted()
	return out, nil
}

// results returns what a stage makes.
func (st dvcStage) results() []string {
	return slices.Concat(dvcPaths(st.Outs), dvcPaths(st.Metrics), dvcPaths(st.Plots))
}

// dvcPaths returns the paths of a list of which an item may have options.
func dvcPaths(list []any) []string {
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case map[string]any:
			out = append(out, slices.Sorted(maps.Keys(v))...)
		}
	}
	return out
}

func (st dvcStage) spec(name, data string, makers map[string]string, out *Import) spec.Spec {
	reads := map[string]bool{}
	for _, dep := range dvcPaths(st.Deps) {
		maker, ok := madeBy(makers, path.Join(st.Wdir, dep))
		if !ok {
			maker = data
			out.note(name, "deps", fmt.Sprintf("%s is made by no stage: put it into repo %s, or leave it in the code", dep, data))
		}
		reads[maker] = true
	}
	if len(reads) == 0 {
		reads[data] = true
	}
	var inputs []spec.Input
	for _, repo := range slices.Sorted(maps.Keys(reads)) {
		inputs = append(inputs, spec.Input{Repo: repo, Name: repo, Glob: "/"})
	}
	in := inputs[0]
	if len(inputs) > 1 {
		in = spec.Input{Cross: inputs}
	}
	for _, field := range slices.Sorted(maps.Keys(st.Other)) {
		text := "has no counterpart here, and was left out"
		if field == "params" {
			text = "the program reads its parameters from its file, which belongs into the code: a change of the file runs the stage again"
		}
		out.note(name, field, text)
	}
	script := strings.ReplaceAll(st.script(), "${", "$${") // it is no parameter of ours
	if script != st.script() {
		out.note(name, "cmd", "${…} stands as it is for the shell: values of vars and params are not put in")
	}
	return spec.Spec{Pipeline: name, Description: st.Desc, Transform: spec.Transform{Cmd: []string{"sh", "-c", script}}, Input: in}
}

// madeBy returns the stage that makes a path, what is above it or below it.
func madeBy(makers map[string]string, p string) (string, bool) {
	for _, made := range slices.Sorted(maps.Keys(makers)) {
		if made == p || strings.HasPrefix(p, made+"/") || strings.HasPrefix(made, p+"/") {
			return makers[made], true
		}
	}
	return "", false
}

// script lays everything out, runs the stage, and keeps what it made.
func (st dvcStage) script() string {
	lines := []string{
		"set -e", `cd "$TMPDIR"`, `cp -R "$DVX_CODE"/. .`, `for d in "$DVX_IN"/*/; do cp -R "$d". .; done`, "chmod -R u+w .",
	}
	if st.Wdir != "" {
		lines = append(lines, "cd "+quoted(st.Wdir))
	}
	switch cmd := st.Cmd.(type) {
	case []any:
		for _, c := range cmd {
			lines = append(lines, fmt.Sprint(c))
		}
	default:
		lines = append(lines, fmt.Sprint(cmd))
	}
	for _, p := range st.results() {
		to := path.Join(st.Wdir, p)
		lines = append(lines, `mkdir -p "$DVX_OUT"/`+quoted(path.Dir(to)), "cp -R "+quoted(p)+` "$DVX_OUT"/`+quoted(to))
	}
	return strings.Join(lines, "\n")
}

// quoted returns a text as one word of the shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
