package interop

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// dvcProject is a project while its stages become specs.
type dvcProject struct {
	out    *Import
	files  fs.FS
	data   string            // repo of the files that DVC tracks and no stage makes
	vars   dvcVars           // of the whole file
	stages []dvcStage        // sorted by name
	makers map[string]string // path: the pipeline that makes it
	kept   []string          // paths that are data: no part of the code
	code   map[string]bool   // paths that a stage reads as code
}

// DVC reads the stages of the dvc.yaml of that name in a project. Each becomes a
// pipeline of one datum, which lays out the code and its inputs as the stage had
// them, runs the command there, and keeps its outs; foreach and matrix become
// one each. Of what no stage makes, files that DVC tracks (there is a .dvc file)
// are those of the repo data, and others of the project part of the code. Values
// of vars and params in a command become parameters, elsewhere they are put in.
// It fails with fs.ErrInvalid for what is no dvc.yaml.
func DVC(files fs.FS, name, data string) (Import, error) {
	p := &dvcProject{out: &Import{}, files: files, data: data, makers: map[string]string{}, code: map[string]bool{"params.yaml": true}}
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return Import{}, err
	}
	if err := p.read(content); err != nil {
		return Import{}, fmt.Errorf("read dvc.yaml: %w: %w", err, fs.ErrInvalid)
	}
	ignore := p.noCode()
	for _, st := range p.stages {
		s := p.spec(st, ignore)
		if err := s.Validate(); err != nil {
			return Import{}, fmt.Errorf("stage %q as a spec of dvx: %w", st.name, err)
		}
		p.out.Specs = append(p.out.Specs, s.WithDefaults())
	}
	p.out.sorted()
	return *p.out, nil
}

// read reads the file, down to what each stage makes.
func (p *dvcProject) read(content []byte) error {
	var file struct {
		Vars   yaml.Node            `yaml:"vars"`
		Stages map[string]yaml.Node `yaml:"stages"`
		Other  map[string]any       `yaml:",inline"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return err
	}
	if len(file.Stages) == 0 {
		return errors.New("it has no stages")
	}
	for _, name := range slices.Sorted(maps.Keys(file.Other)) {
		text := "has no counterpart here, and was left out"
		if name == "metrics" || name == "plots" {
			text = "are files of the outputs here, as all others"
		}
		p.out.note("", name, text)
	}
	if params, err := p.varsFile("params.yaml"); err == nil {
		p.vars = append(p.vars, params)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	more, err := p.readVars(&file.Vars, "", "")
	if err != nil {
		return err
	}
	p.vars = append(p.vars, more...)
	for _, name := range slices.Sorted(maps.Keys(file.Stages)) {
		n := file.Stages[name]
		if err := p.instances(name, &n); err != nil {
			return fmt.Errorf("stage %q: %w", name, err)
		}
	}
	return p.nameStages()
}

// nameStages gives each stage the name of its pipeline, and notes what it makes.
func (p *dvcProject) nameStages() error {
	taken := map[string]string{}
	for i := range p.stages {
		st := &p.stages[i]
		st.pipeline = pipelineName(st.name)
		if other, ok := taken[st.pipeline]; ok {
			return fmt.Errorf("stages %q and %q would both be pipeline %s: rename one", other, st.name, st.pipeline)
		}
		taken[st.pipeline] = st.name
		if st.pipeline != st.name {
			p.out.note(st.pipeline, "stages."+st.name, fmt.Sprintf("is pipeline %s here", st.pipeline))
		}
		for _, made := range st.results() {
			at, ok := st.inside(made)
			if !ok {
				p.out.note(st.pipeline, "outs", fmt.Sprintf("%s is outside of the project, and not kept", made))
				continue
			}
			p.makers[at] = st.pipeline
			p.kept = append(p.kept, at)
		}
	}
	for _, st := range p.stages {
		for _, dep := range dvcPaths(st.Deps) {
			at, ok := st.inside(dep)
			if p.code[at] = true; ok && p.tracked(at) {
				p.kept = append(p.kept, at)
			}
		}
	}
	slices.Sort(p.kept)
	p.kept = slices.Compact(p.kept)
	return nil
}

// pipelineName returns the name of a stage as a pipeline can have it.
func pipelineName(stage string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, stage)
	return cmp.Or(strings.TrimLeft(name, "-_"), "stage")
}

// tracked reports whether DVC keeps the file or folder at a path: there is a
// file PATH.dvc, or one of a folder that it is in.
func (p *dvcProject) tracked(at string) bool {
	for ; at != "."; at = path.Dir(at) {
		if _, err := fs.Stat(p.files, at+".dvc"); err == nil {
			return true
		}
	}
	return false
}

func (p *dvcProject) spec(st dvcStage, ignore []string) spec.Spec {
	p.left(st)
	cmd := &dvcCmd{p: p, st: st, params: map[string]string{}, of: map[string]string{}}
	s := spec.Spec{
		Pipeline: st.pipeline, Description: st.Desc,
		Transform:  spec.Transform{Cmd: []string{"sh", "-c", cmd.script()}, Code: &spec.Code{Ignore: ignore}},
		Parameters: cmd.params,
	}
	if st.Always {
		s.Cache = spec.CacheNever
	}
	inputs := p.inputs(st)
	s.Input = inputs[0]
	if len(inputs) > 1 {
		s.Input = spec.Input{Cross: inputs}
	}
	return s
}

// inputs returns what a stage reads: each dep that is no code by itself, so that
// nothing else runs it again.
func (p *dvcProject) inputs(st dvcStage) []spec.Input {
	var inputs []spec.Input
	names, seen := map[string]bool{}, map[[2]string]bool{}
	add := func(repo, at string) {
		if seen[[2]string{repo, at}] {
			return
		}
		seen[[2]string{repo, at}] = true
		name := repo
		for i := 2; names[spec.EnvName(name)]; i++ {
			name = fmt.Sprintf("%s-%d", repo, i)
		}
		names[spec.EnvName(name)] = true
		inputs = append(inputs, spec.Input{Repo: repo, Name: name, Glob: "/" + globLiteral(at)})
	}
	for _, dep := range dvcPaths(st.Deps) {
		at, ok := st.inside(dep)
		if !ok {
			p.out.note(st.pipeline, "deps", fmt.Sprintf("%s is outside of the project: a change of it runs nothing again; an input with url does", dep))
			continue
		}
		made := p.madeBy(at)
		for _, m := range made {
			add(p.makers[m], m)
		}
		_, err := fs.Stat(p.files, at)
		switch {
		case p.tracked(at):
			p.out.note(st.pipeline, "deps", fmt.Sprintf("%s belongs into repo %s: dvx put -r %s %s@main:/%s", at, p.data, at, p.data, at))
			add(p.data, at)
		case len(made) == 0 && err == nil: // code
		case len(made) == 0:
			p.out.note(st.pipeline, "deps", fmt.Sprintf("%s is made by no stage and not there: put it into repo %s, or into the code", at, p.data))
			add(p.data, "")
		}
	}
	if len(inputs) == 0 {
		p.out.note(st.pipeline, "deps", fmt.Sprintf("it reads code alone: it runs once there is a version of repo %s, and again for another one", p.data))
		add(p.data, "")
	}
	return inputs
}

// madeBy returns the outs of all stages that a path is, is in, or holds.
func (p *dvcProject) madeBy(at string) []string {
	var out []string
	for _, made := range slices.Sorted(maps.Keys(p.makers)) {
		if made == at || strings.HasPrefix(at, made+"/") || strings.HasPrefix(made, at+"/") || at == "." {
			out = append(out, made)
		}
	}
	return out
}

// noCode returns globs of what is in the project's folder and no code: what DVC
// and the stages keep there, and the specs that this makes.
func (p *dvcProject) noCode() []string {
	out := []string{"/.dvc", "/dvc.lock", "/dvc.yaml", "/**/*.dvc"}
	for _, st := range p.stages {
		if file := st.pipeline + ".yaml"; !p.code[file] {
			out = append(out, "/"+file)
		}
	}
	for _, at := range p.kept {
		out = append(out, "/"+globLiteral(at))
	}
	return out
}

// globLiteral returns a path as a glob that selects it alone, after a slash; "."
// is all.
func globLiteral(at string) string {
	if at == "." {
		return ""
	}
	return globSpecials.ReplaceAllString(at, `\$0`)
}

// globSpecials are the characters that mean something in a glob.
var globSpecials = regexp.MustCompile(`[\\*?\[\]{}()!]`)
