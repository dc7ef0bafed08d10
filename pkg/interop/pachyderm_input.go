package interop

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

func (p *pachyderm) input(at string, o object) spec.Input {
	var in spec.Input
	for kind, list := range map[string]*[]spec.Input{"cross": &in.Cross, "union": &in.Union, "join": &in.Join, "group": &in.Group} {
		parts, _ := o[kind].([]any)
		delete(o, kind)
		for i, v := range parts {
			m, _ := v.(map[string]any)
			*list = append(*list, p.input(fmt.Sprintf("%s.%s[%d]", at, kind, i), fields(m)))
		}
	}
	if _, ok := o["cron"]; ok {
		in = p.cron(at+".cron", p.object(at+".", o, "cron"))
	}
	if _, ok := o["pfs"]; ok {
		in = p.leaf(at+".pfs", p.object(at+".", o, "pfs"))
	}
	p.rest(at+".", o)
	return in
}

func (p *pachyderm) cron(at string, o object) spec.Input {
	in := spec.Input{
		Name: p.text(at+".", o, "name"), Repo: p.text(at+".", o, "repo"),
		Cron: &spec.Cron{Spec: p.text(at+".", o, "spec"), Start: p.text(at+".", o, "start"), Overwrite: p.flag(at+".", o, "overwrite")},
	}
	if in.Cron.Spec == "@never" {
		in = spec.Input{Name: in.Name, Repo: cmp.Or(in.Repo, p.name+"_"+in.Name), Glob: "/*"}
		p.note(at, fmt.Sprintf("comes by hand alone: make repo %s, and put a file into it for each time", in.Repo))
	}
	p.project(at+".project", o, "the repo is one of the store")
	p.rest(at+".", o)
	return in
}

func (p *pachyderm) leaf(at string, o object) spec.Input {
	text := func(name string) string { return p.text(at+".", o, name) }
	flag := func(name string) bool { return p.flag(at+".", o, name) }
	in := spec.Input{
		Repo: text("repo"), Name: text("name"), Branch: text("branch"), Glob: p.glob(at, text("glob")),
		JoinOn: text("join_on"), OuterJoin: flag("outer_join"), GroupBy: text("group_by"),
		Lazy: flag("lazy"), EmptyFiles: flag("empty_files"),
	}
	if in.Branch == "master" {
		in.Branch = "" // the branch of the pipeline, which is main by default
	}
	if flag("s3") {
		p.note(at+".s3", "is not supported yet: the files are laid out in in/"+cmp.Or(in.Name, in.Repo))
	}
	if kind := text("repo_type"); kind != "" && kind != "user" {
		p.note(at+".repo_type", fmt.Sprintf("%q: there is one kind of repo", kind))
	}
	if v, ok := o["trigger"]; ok && !empty(v) {
		p.note(at+".trigger", "is not supported yet: each version of the repo triggers; have the program's input written less often, or to another branch")
	}
	delete(o, "trigger")
	p.project(at+".project", o, fmt.Sprintf("the repo is %s of the store", in.Repo))
	p.rest(at+".", o)
	return in
}

// globGroups are groups that say how often something is repeated.
var globGroups = regexp.MustCompile(`[+?*]\(`)

// glob writes a glob as it is here: @(a|b) is (a|b).
func (p *pachyderm) glob(at, glob string) string {
	if globGroups.MatchString(strings.ReplaceAll(glob, "(*)", "")) {
		p.note(at+".glob", fmt.Sprintf("%q: + ? and * before a group mean no repetition here: look at what dvx datum preview selects", glob))
	}
	return strings.ReplaceAll(glob, "@(", "(")
}
