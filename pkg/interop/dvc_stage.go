package interop

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// dvcStage is one stage, with its values put in but for its command.
type dvcStage struct {
	Deps    []any          `yaml:"deps"`
	Outs    []any          `yaml:"outs"`
	Metrics []any          `yaml:"metrics"`
	Plots   []any          `yaml:"plots"`
	Wdir    string         `yaml:"wdir"`
	Desc    string         `yaml:"desc"`
	Always  bool           `yaml:"always_changed"`
	Frozen  bool           `yaml:"frozen"`
	Other   map[string]any `yaml:",inline"`

	name     string // of the stage; of one of several, after @ which
	pipeline string
	cmd      *yaml.Node // a text or a list of them
	vars     dvcVars    // in its command
}

// dvcStagesMax bounds the stages of a file, those of foreach and matrix by
// themselves.
const dvcStagesMax = 500

// instances adds what a stage stands for: itself, or one for each item of its
// foreach or setting of its matrix.
func (p *dvcProject) instances(name string, n *yaml.Node) error {
	n = followed(n)
	each, matrix := field(n, "foreach"), field(n, "matrix")
	if each == nil && matrix == nil {
		return p.stage(name, n, p.vars)
	}
	var items []dvcItem
	var err error
	if each != nil {
		if n = field(n, "do"); n == nil {
			return errors.New("foreach has no do")
		}
		items, err = p.vars.each(each)
	} else {
		items, err = p.vars.settings(matrix)
	}
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := p.stage(name+"@"+it.suffix, n, append(slices.Clip(p.vars), it.scope)); err != nil {
			return fmt.Errorf("%s: %w", it.suffix, err)
		}
	}
	return nil
}

// stage adds one stage.
func (p *dvcProject) stage(name string, n *yaml.Node, vars dvcVars) error {
	if len(p.stages) == dvcStagesMax {
		return fmt.Errorf("more than %d stages", dvcStagesMax)
	}
	if n.Kind != yaml.MappingNode {
		return errors.New("is no object")
	}
	wdir, err := vars.resolve(field(n, "wdir"))
	if err != nil {
		return err
	}
	at := ""
	if wdir != nil {
		at = wdir.Value
	}
	more, err := p.readVars(field(n, "vars"), name, at)
	if err != nil {
		return err
	}
	st := dvcStage{name: name, cmd: field(n, "cmd"), vars: append(slices.Clip(vars), more...)}
	if st.cmd == nil {
		return errors.New("has no cmd")
	}
	whole, err := st.vars.resolve(without(n, "cmd", "matrix", "vars"))
	if err != nil {
		return err
	}
	if err := whole.Decode(&st); err != nil {
		return err
	}
	p.stages = append(p.stages, st)
	return nil
}

// readVars reads a list of values and of files with such. Files are named from
// the folder of the stage.
func (p *dvcProject) readVars(n *yaml.Node, stage, wdir string) (dvcVars, error) {
	var out dvcVars
	if n == nil || n.Kind == 0 {
		return nil, nil
	}
	for _, item := range followed(n).Content {
		if item = followed(item); item.Kind == yaml.MappingNode {
			out = append(out, item)
		} else if item.Kind == yaml.ScalarNode {
			name, _, _ := strings.Cut(item.Value, ":")
			name = path.Join(wdir, name)
			vars, err := p.varsFile(name)
			if errors.Is(err, fs.ErrNotExist) || err == nil && vars.Kind != yaml.MappingNode {
				p.out.note(stage, "vars", fmt.Sprintf("%s could not be read as YAML or JSON: what ${…} says of it is not put in", name))
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, vars)
		}
	}
	return out, nil
}

// varsFile reads a file of values; one that is neither YAML nor JSON gives an
// empty node.
func (p *dvcProject) varsFile(name string) (*yaml.Node, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("vars: %s: %w", name, fs.ErrNotExist)
	}
	b, err := fs.ReadFile(p.files, name)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" && ext != ".json" {
		return &n, nil
	}
	if err := yaml.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return followed(&n), nil
}

// left notes what of a stage does not carry over.
func (p *dvcProject) left(st dvcStage) {
	note := func(field, text string) { p.out.note(st.pipeline, field, text) }
	if st.Frozen {
		note("frozen", "stop it with dvx pipeline pause "+st.pipeline)
	}
	for _, name := range slices.Sorted(maps.Keys(st.Other)) {
		switch name {
		case "params":
			note(name, "files with parameters belong into the code: a change of one runs the stage again, whichever value it was")
		case "meta":
			note(name, "has no counterpart here: metadata of a spec has texts")
		default:
			note(name, "has no counterpart here, and was left out")
		}
	}
	for _, list := range []struct {
		field string
		items []any
		none  []string // options that mean nothing here
	}{{"deps", st.Deps, nil}, {"outs", st.Outs, []string{"cache", "desc"}}, {"metrics", st.Metrics, []string{"cache", "desc"}}, {"plots", st.Plots, []string{"cache", "desc"}}} {
		for _, item := range list.items {
			m, _ := item.(map[string]any)
			for _, file := range slices.Sorted(maps.Keys(m)) {
				options, _ := m[file].(map[string]any)
				for _, o := range slices.Sorted(maps.Keys(options)) {
					if o == "persist" {
						note(list.field, file+": persist: each run begins without what the one before left")
					} else if !slices.Contains(list.none, o) {
						note(list.field, fmt.Sprintf("%s: %s has no counterpart here, and was left out", file, o))
					}
				}
			}
		}
	}
}

// results returns what a stage makes.
func (st dvcStage) results() []string {
	return slices.Concat(dvcPaths(st.Outs), dvcPaths(st.Metrics), dvcPaths(st.Plots))
}

// inside returns where in the project a path of the stage is.
func (st dvcStage) inside(p string) (string, bool) {
	at := path.Join(st.Wdir, p)
	return at, !strings.Contains(p, "://") && !path.IsAbs(p) && fs.ValidPath(at)
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

// dvcCmd writes the command of a stage as one script.
type dvcCmd struct {
	p      *dvcProject
	st     dvcStage
	params map[string]string // of the spec
	of     map[string]string // parameter: what it is called there
}

// script lays everything out, runs the stage, and keeps what it made.
func (c *dvcCmd) script() string {
	lines := []string{
		"set -e", `cd "$TMPDIR"`, `cp -R "$DVX_CODE"/. .`, "chmod -R u+w .", // folders are read-only, and the next may have more in them
		`for d in "$DVX_IN"/*/; do cp -R "$d". .; chmod -R u+w .; done`,
	}
	if c.st.Wdir != "" {
		lines = append(lines, "mkdir -p "+word(c.st.Wdir), "cd "+word(c.st.Wdir))
	}
	cmds := []*yaml.Node{c.st.cmd}
	if c.st.cmd.Kind == yaml.SequenceNode {
		cmds = c.st.cmd.Content
	}
	for _, n := range cmds {
		lines = append(lines, c.line(strings.TrimSpace(followed(n).Value)))
	}
	for _, made := range c.st.results() {
		if to, ok := c.st.inside(made); ok {
			lines = append(lines, `mkdir -p "$DVX_OUT"/`+word(path.Dir(to)), "cp -R "+word(made)+` "$DVX_OUT"/`+word(to))
		}
	}
	if len(c.params) > 0 {
		c.p.out.note(c.st.pipeline, "params", "values in the command are parameters here, which dvx pipeline apply -p NAME=VALUE changes, and no longer the file that they are from")
	}
	return strings.Join(lines, "\n")
}

// word returns a text as one word of the shell, in a spec's command.
func word(s string) string { return literal(quoted(s)) }

// literal returns a text as it stands in a spec's command: ${ is no parameter.
func literal(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// quoted returns a text as one word of the shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
