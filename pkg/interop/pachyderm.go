package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// Pachyderm reads pipeline specs in Pachyderm's JSON or YAML: one or several
// objects, or a list of them, with field names in either of its two spellings;
// or what it prints of its pipelines. images says that programs stay in their
// container images; they are on the host otherwise. A pipeline that can be none
// of ours is left out, with a note. It fails with fs.ErrInvalid for what is no
// such spec, and if all are left out.
func Pachyderm(data []byte, images bool) (Import, error) {
	docs, err := documents(data)
	if err != nil {
		return Import{}, fmt.Errorf("read Pachyderm spec: %w: %w", err, fs.ErrInvalid)
	}
	out := Import{}
	var refused []error
	for _, doc := range docs {
		list, ok := doc.([]any)
		if !ok {
			list = []any{doc}
		}
		for _, one := range list {
			m, ok := one.(map[string]any)
			if !ok {
				return out, fmt.Errorf("read Pachyderm spec: want an object, found %.80q: %w", fmt.Sprint(one), fs.ErrInvalid)
			}
			p := &pachyderm{out: &out, images: images}
			s, err := p.spec(fields(m))
			if err == nil {
				err = s.Validate()
			}
			if err != nil {
				refused = append(refused, fmt.Errorf("pipeline %q can't be one of dvx: %w", p.name, err))
				out.note(p.name, "pipeline", "was left out: "+strings.ReplaceAll(err.Error(), "\n", "; "))
				continue
			}
			out.Specs = append(out.Specs, s.WithDefaults())
		}
	}
	out.sorted()
	switch {
	case len(out.Specs) > 0:
		return out, nil
	case len(refused) > 0:
		return Import{}, fmt.Errorf("%w: %w", errors.Join(refused...), fs.ErrInvalid)
	}
	return Import{}, fmt.Errorf("read Pachyderm spec: is empty: %w", fs.ErrInvalid)
}

// documents reads JSON values one after the other, or YAML documents.
func documents(data []byte) ([]any, error) {
	var out []any
	next := yaml.NewDecoder(bytes.NewReader(data)).Decode
	if first := bytes.TrimSpace(data); len(first) > 0 && (first[0] == '{' || first[0] == '[') {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		next = dec.Decode
	}
	for {
		var v any
		err := next(&v)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

// pachyderm reads one spec.
type pachyderm struct {
	out    *Import
	name   string
	images bool
	pfs    bool // a path was rewritten
}

func (p *pachyderm) note(field, text string) { p.out.note(p.name, field, text) }

func (p *pachyderm) spec(o object) (spec.Spec, error) {
	p.identity(o)
	if d := p.object("", o, "details"); len(d) > 0 { // of a pipeline that was printed
		for name, v := range d {
			o[name] = v
		}
		o.drop("version", "state", "type", "reason", "spec_commit", "stopped", "auth_token", "parallelism", "last_job_state", "user_job_index",
			"created_at", "recent_error", "workers_requested", "workers_available", "unclaimed_tasks", "worker_rc", "effective_spec_json", "user_spec_json")
	}
	for kind, instead := range map[string]string{
		"spout":   "a spout has no input: write what it takes in to a repo, with dvx put, by S3, or by an input with cron or url, and make a pipeline that reads that",
		"service": "a service runs for ever: run it beside dvx, and let it read the output by S3",
	} {
		if _, ok := o[kind]; ok {
			return spec.Spec{}, errors.New(instead)
		}
	}
	s := spec.Spec{Pipeline: p.name, Description: p.text("", o, "description")}
	s.Transform = p.transform(p.object("", o, "transform"))
	s.Input = p.input("input", p.object("", o, "input"))
	s.Datum.Tries = 3 // as there, if it is not said
	if n := p.number("", o, "datum_tries"); n > 0 {
		s.Datum.Tries = n
	}
	s.Datum.Timeout, s.JobTimeout = p.text("", o, "datum_timeout"), p.text("", o, "job_timeout")
	par := p.object("", o, "parallelism_spec")
	s.Parallelism.Max = p.number("parallelism_spec.", par, "constant")
	p.rest("parallelism_spec.", par)
	s.Requests, s.Limits = p.resources(o, "resource_requests"), p.resources(o, "resource_limits")
	meta := p.object("", o, "metadata")
	for _, set := range []string{"annotations", "labels"} {
		for k, v := range p.dict("metadata.", meta, set) {
			if s.Metadata == nil {
				s.Metadata = map[string]string{}
			}
			s.Metadata[k] = v
		}
	}
	p.rest("metadata.", meta)
	p.runs(o, &s)
	p.rest("", o)
	return s, nil
}

// identity reads what the pipeline is called.
func (p *pachyderm) identity(o object) {
	id := p.object("", o, "pipeline")
	p.name, _ = id["name"].(string)
	delete(id, "name")
	p.project("pipeline.project", id, "the pipeline is "+p.name+" of the store")
	p.rest("pipeline.", id)
}

// project reads which project something is in: a name, or an object that has it.
func (p *pachyderm) project(at string, o object, instead string) {
	name, _ := o["project"].(string)
	if m, ok := o["project"].(map[string]any); ok {
		name, _ = m["name"].(string)
	}
	delete(o, "project")
	if name != "" && name != "default" {
		p.note(at, fmt.Sprintf("%q: there are no projects; %s", name, instead))
	}
}

// runs reads what says when it runs, and what becomes of results.
func (p *pachyderm) runs(o object, s *spec.Spec) {
	if b := p.text("", o, "output_branch"); b != "" && b != "master" {
		p.note("output_branch", fmt.Sprintf("%q: here outputs are on the pipeline's branch; register it with --branch %s", b, b))
	}
	switch v := p.text("", o, "reprocess_spec"); v {
	case "", "until_success":
	case "every_job":
		s.Cache = spec.CacheNever
	default:
		p.note("reprocess_spec", fmt.Sprintf("%q is not known here, and was left out", v))
	}
	if p.flag("", o, "reprocess") {
		p.note("reprocess", "change the text of reprocess to run all again")
	}
	o.drop("update", "salt")
	for field, instead := range map[string]string{
		"egress":         fmt.Sprintf("is not done by pipelines: dvx mirror %s@main s3://BUCKET/PREFIX keeps the output as plain files elsewhere", p.name),
		"datum_set_spec": "datums go to whatever slot is free, one by one; datum.batch has one process take many",
		"autoscaling":    "is always so: what runs takes the slots that are free",
		"s3_out":         "is not supported yet: the program writes files to out",
	} {
		if v, ok := o[field]; ok && !empty(v) {
			p.note(field, instead)
		}
		delete(o, field)
	}
}

// quantity is an amount as specs of ours have it.
var quantity = regexp.MustCompile(`^([0-9]+([kMGT]|[KMGT]i)?|[0-9]+m|[0-9]+\.[0-9]{1,3})$`)

func (p *pachyderm) resources(o object, field string) spec.Resources {
	in := p.object("", o, field)
	var out spec.Resources
	for name, to := range map[string]*string{"cpu": &out.CPU, "memory": &out.Memory} {
		v := p.text(field+".", in, name)
		if *to = v; v != "" && !quantity.MatchString(v) {
			*to = ""
			p.note(field+"."+name, fmt.Sprintf("%q: want a quantity like 500m or 2Gi; it was left out", v))
		}
	}
	p.rest(field+".", in)
	return out
}

func (p *pachyderm) transform(o object) spec.Transform {
	const at = "transform."
	t := spec.Transform{
		Cmd: p.paths(p.texts(o, "cmd")), Stdin: p.paths(p.texts(o, "stdin")), ErrCmd: p.paths(p.texts(o, "err_cmd")),
		WorkingDir: p.text(at, o, "working_dir"), Code: &spec.Code{None: true},
	}
	for name, v := range p.dict(at, o, "env") {
		if t.Env == nil {
			t.Env = map[string]string{}
		}
		t.Env[name] = p.paths([]string{v})[0]
	}
	for _, n := range p.texts(o, "accept_return_code") {
		var code int
		if _, err := fmt.Sscan(n, &code); err != nil {
			p.note("transform.accept_return_code", fmt.Sprintf("%q is no whole number, and was left out", n))
			continue
		}
		t.AcceptReturnCode = append(t.AcceptReturnCode, code)
	}
	if strings.HasPrefix(t.WorkingDir, "/") {
		p.note("transform.working_dir", fmt.Sprintf("%q is in the image: left out", t.WorkingDir))
		t.WorkingDir = ""
	}
	if image := p.text(at, o, "image"); p.images {
		t.Image = image
	} else if image != "" {
		p.note("transform.image", fmt.Sprintf("%q: programs run on the host. Put the code that the image holds into a folder, name it in transform.code.path, and correct the paths in cmd; or import with --images for dvxd serve --kube", image))
	}
	if p.pfs {
		p.note("transform", "/pfs/out was written as out and /pfs/NAME as in/NAME: that is right as long as the program does not change its directory")
	}
	for _, field := range []string{"secrets", "image_pull_secrets"} {
		if v, ok := o[field]; ok && !empty(v) {
			p.note(at+field, "is not supported yet: the program gets no secret")
		}
		delete(o, field)
	}
	if p.flag(at, o, "datum_batching") {
		p.note(at+"datum_batching", "a program asks for its datums in another way here: see datum.batch")
	}
	p.rest(at, o)
	return t
}

// pfsPath is a path below /pfs, and pfsEnv what is set there in the environment.
var (
	pfsPath = regexp.MustCompile(`(^|[^A-Za-z0-9_.-])/pfs(/[A-Za-z0-9_.-]*)?($|[^A-Za-z0-9_.-])`)
	pfsEnv  = regexp.MustCompile(`\b(PACH|PPS)_[A-Z_]+\b|\b[A-Za-z0-9_]+_COMMIT\b`)
)

// paths writes paths below /pfs as they are here: /pfs/out is the output, and
// /pfs/output an input of that name. ${ stays what it is.
func (p *pachyderm) paths(list []string) []string {
	for i, v := range list {
		for _, name := range pfsEnv.FindAllString(v, -1) {
			p.note("transform", name+" is set by Pachyderm alone: see what a program may rely on, in docs/PIPELINES.md")
		}
		var b strings.Builder
		for {
			m := pfsPath.FindStringSubmatchIndex(v)
			if m == nil {
				break
			}
			to := "in"
			if m[4] >= 0 {
				if to = "in" + v[m[4]:m[5]]; to == "in/out" {
					to = "out"
				}
			}
			b.WriteString(v[:m[3]] + to)
			v = v[m[6]:] // what ends one may begin the next
			p.pfs = true
			if below := strings.TrimLeft(v, "/"); below != v { // a folder called pfs in it is none of theirs
				b.WriteByte('/')
				v = below
			}
		}
		list[i] = literal(b.String() + v)
	}
	return list
}
