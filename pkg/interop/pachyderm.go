package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// Pachyderm reads pipeline specs in Pachyderm's JSON: one or several objects,
// or a list of them, with field names in either of its two spellings. It fails
// with fs.ErrInvalid for what is no such spec, or would be none of ours.
func Pachyderm(data []byte) (Import, error) {
	var out Import
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, fmt.Errorf("read Pachyderm spec: %w: %w", err, fs.ErrInvalid)
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, one := range list {
			m, ok := one.(map[string]any)
			if !ok {
				return out, fmt.Errorf("read Pachyderm spec: want an object: %w", fs.ErrInvalid)
			}
			p := &pachyderm{out: &out}
			s := p.spec(fields(m))
			if err := s.Validate(); err != nil {
				return out, fmt.Errorf("pipeline %q as a spec of dvx: %w", s.Pipeline, err)
			}
			out.Specs = append(out.Specs, s.WithDefaults())
		}
	}
	out.sorted()
	if len(out.Specs) == 0 {
		return out, fmt.Errorf("read Pachyderm spec: is empty: %w", fs.ErrInvalid)
	}
	return out, nil
}

// object is the fields of an object that are not read yet, in snake case.
type object map[string]any

// fields returns an object's fields in snake case.
func fields(m map[string]any) object {
	o := object{}
	for name, v := range m {
		var b strings.Builder
		for _, r := range name {
			if unicode.IsUpper(r) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		}
		o[b.String()] = v
	}
	return o
}

// take removes a field and returns it as T, the zero value if it is another.
func take[T any](o object, name string) T {
	v, _ := o[name].(T)
	delete(o, name)
	return v
}

func (o object) object(name string) object { return fields(take[map[string]any](o, name)) }

func (o object) texts(name string) []string {
	var out []string
	for _, v := range take[[]any](o, name) {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

func (o object) dict(name string) map[string]string {
	out := map[string]string{}
	for k, v := range take[map[string]any](o, name) {
		out[k] = fmt.Sprint(v)
	}
	return out
}

// pachyderm reads one spec.
type pachyderm struct {
	out  *Import
	name string
	pfs  bool // a path was rewritten
}

func (p *pachyderm) note(field, text string) { p.out.note(p.name, field, text) }

// rest notes the fields of an object that were not read.
func (p *pachyderm) rest(at string, o object) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		p.note(at+name, "has no counterpart here, and was left out")
	}
}

func (p *pachyderm) spec(o object) spec.Spec {
	id := o.object("pipeline")
	p.name = take[string](id, "name")
	s := spec.Spec{Pipeline: p.name, Description: take[string](o, "description")}
	p.rest("pipeline.", id)
	s.Transform = p.transform(o.object("transform"))
	s.Input = p.input("input", o.object("input"))
	s.Datum.Tries = 3 // as there, if it is not said
	if n := take[float64](o, "datum_tries"); n > 0 {
		s.Datum.Tries = int(n)
	}
	s.Datum.Timeout, s.JobTimeout = take[string](o, "datum_timeout"), take[string](o, "job_timeout")
	par := o.object("parallelism_spec")
	s.Parallelism.Max = int(take[float64](par, "constant"))
	p.rest("parallelism_spec.", par)
	meta := o.object("metadata")
	for _, set := range []string{"annotations", "labels"} {
		for k, v := range meta.dict(set) {
			if s.Metadata == nil {
				s.Metadata = map[string]string{}
			}
			s.Metadata[k] = v
		}
	}
	p.rest("metadata.", meta)
	if b := take[string](o, "output_branch"); b != "" && b != "master" {
		p.note("output_branch", fmt.Sprintf("%q: here outputs are on the pipeline's branch; register it with --branch %s", b, b))
	}
	switch v := take[string](o, "reprocess_spec"); v {
	case "", "until_success":
	default:
		p.note("reprocess_spec", fmt.Sprintf("%q: results are not run again by themselves; change reprocess to run all again, or say cache: never", v))
	}
	if take[bool](o, "reprocess") {
		p.note("reprocess", "change the text of reprocess to run all again")
	}
	take[bool](o, "update")
	p.rest("", o)
	return s
}

func (p *pachyderm) transform(o object) spec.Transform {
	t := spec.Transform{
		Cmd: p.paths(o.texts("cmd")), Stdin: p.paths(o.texts("stdin")), ErrCmd: p.paths(o.texts("err_cmd")),
		Env: o.dict("env"), WorkingDir: take[string](o, "working_dir"), Code: &spec.Code{None: true},
	}
	for _, n := range take[[]any](o, "accept_return_code") {
		if f, ok := n.(float64); ok {
			t.AcceptReturnCode = append(t.AcceptReturnCode, int(f))
		}
	}
	if strings.HasPrefix(t.WorkingDir, "/") {
		p.note("transform.working_dir", fmt.Sprintf("%q is in the image: left out", t.WorkingDir))
		t.WorkingDir = ""
	}
	if image := take[string](o, "image"); image != "" {
		p.note("transform.image", fmt.Sprintf("%q: programs run on the host. Put the code that the image holds into a folder, name it in transform.code.path, and correct the paths in cmd", image))
	}
	if p.pfs {
		p.note("transform", "/pfs/out was written as out and /pfs/NAME as in/NAME: that is right as long as the program does not change its directory")
	}
	p.rest("transform.", o)
	return t
}

// paths writes paths below /pfs as they are here: /pfs/out is the output, and
// /pfs/output an input of that name.
func (p *pachyderm) paths(list []string) []string {
	r := regexp.MustCompile(`(^|[^A-Za-z0-9_.-])/pfs/([A-Za-z0-9_.-]*)`)
	for i, v := range list {
		list[i] = r.ReplaceAllStringFunc(v, func(found string) string {
			before, name, _ := strings.Cut(found, "/pfs/")
			if name == "out" {
				return before + "out"
			}
			return before + "in/" + name
		})
		p.pfs = p.pfs || list[i] != v
	}
	return list
}

func (p *pachyderm) input(at string, o object) spec.Input {
	var in spec.Input
	for kind, list := range map[string]*[]spec.Input{"cross": &in.Cross, "union": &in.Union, "join": &in.Join, "group": &in.Group} {
		for i, v := range take[[]any](o, kind) {
			m, _ := v.(map[string]any)
			*list = append(*list, p.input(fmt.Sprintf("%s.%s[%d]", at, kind, i), fields(m)))
		}
	}
	if _, ok := o["cron"]; ok {
		c := o.object("cron")
		in = spec.Input{
			Name: take[string](c, "name"), Repo: take[string](c, "repo"),
			Cron: &spec.Cron{Spec: take[string](c, "spec"), Start: take[string](c, "start"), Overwrite: take[bool](c, "overwrite")},
		}
		p.rest(at+".cron.", c)
	}
	if _, ok := o["pfs"]; ok {
		in = p.leaf(at+".pfs", o.object("pfs"))
	}
	p.rest(at+".", o)
	return in
}

func (p *pachyderm) leaf(at string, o object) spec.Input {
	in := spec.Input{
		Repo: take[string](o, "repo"), Name: take[string](o, "name"), Branch: take[string](o, "branch"), Glob: take[string](o, "glob"),
		JoinOn: take[string](o, "join_on"), OuterJoin: take[bool](o, "outer_join"), GroupBy: take[string](o, "group_by"),
		Lazy: take[bool](o, "lazy"), EmptyFiles: take[bool](o, "empty_files"),
	}
	if in.Branch == "master" {
		in.Branch = "" // the branch of the pipeline, which is main by default
	}
	if take[bool](o, "s3") {
		p.note(at+".s3", "is not supported yet: the files are laid out in in/"+in.Name)
	}
	if v := take[string](o, "project"); v != "" && v != "default" {
		p.note(at+".project", fmt.Sprintf("%q: there are no projects; the repo is %s of the store", v, in.Repo))
	}
	p.rest(at+".", o)
	return in
}
