package pipeline

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/tree"
)

var updateKeys = flag.Bool("update.spec", false, "write the golden files of the spec and the key table")

// workParts is what the key covers besides the fields of the spec.
var workParts = []struct{ name, why string }{
	{"runtime", "what executes the command: image digest, or host and executables with their digests"},
	{"code tree", "its content ID"},
	{"platform", "programs may behave differently on another"},
	{"ABI", "version of the contract between dvx and the program"},
	{"item paths", "the program sees them"},
	{"item content", "the program reads it"},
	{"item executable bit", "the program sees it"},
}

func keyTable() string {
	var b strings.Builder
	b.WriteString("# Every field of a pipeline spec: whether the memo key covers it, why, and whether it is built.\n")
	b.WriteString("# \"content\": not the value counts but the content that it selects.\n\n")
	row := func(cells ...any) { fmt.Fprintf(&b, "%-30s | %-7s | %-22s | %s\n", cells...) }
	row("field", "in key?", "state", "why")
	row(strings.Repeat("-", 30), "-------", strings.Repeat("-", 22), "---")
	for _, f := range specFields {
		state := "built"
		switch f.shape {
		case unbuilt:
			state = "not supported yet"
		case shapeFixed:
			state = "\"never\" not yet"
		default:
		}
		row(f.path, string(f.key), state, f.why)
	}
	b.WriteString("\n# What the key covers that is in no field.\n\n")
	for _, p := range workParts {
		row(p.name, string(keyYes), "built", p.why)
	}
	return b.String()
}

func TestKeyTableGolden(t *testing.T) { golden(t, "testdata/key_table.golden", []byte(keyTable())) }

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *updateKeys {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(string(want), string(got)))
	}
}

// scene is all that a key is made of.
type scene struct {
	spec     Spec
	runtime  memo.Runtime
	code     tree.ContentID
	platform string
	datum    Datum
}

func newScene() scene {
	return scene{
		spec:     fullSpec(),
		runtime:  memo.Runtime{Host: "debian-12", Execs: []memo.Executable{{Path: "/usr/bin/python3", Digest: "ab"}}},
		code:     tree.ContentID{1},
		platform: "linux/amd64",
		datum: newDatum(Input{Name: "in"}, "a/b.png",
			tree.Entry{Name: "b.png", Kind: tree.File, Content: chunk.Content{ID: chunk.ID{2}, Size: 3}}),
	}
}

func (s scene) work() memo.Work {
	return WorkOf(s.spec.WithDefaults(), s.runtime, s.code, s.platform, s.datum)
}

func (s scene) item() *TaskItem { return &s.datum.Inputs[0].Items[0] }

// fieldChanges changes one built field each.
var fieldChanges = map[string]func(*Spec){
	"pipeline":                     func(s *Spec) { s.Pipeline = "other" },
	"description":                  func(s *Spec) { s.Description = "other" },
	"transform.cmd":                func(s *Spec) { s.Transform.Cmd[1] = "other.py" },
	"transform.stdin":              func(s *Spec) { s.Transform.Stdin = nil },
	"transform.env":                func(s *Spec) { s.Transform.Env["LEVEL"] = "4" },
	"transform.code.path":          func(s *Spec) { s.Transform.Code.Path = "moved" },
	"transform.code.ignore":        func(s *Spec) { s.Transform.Code.Ignore = nil },
	"transform.code.none":          func(s *Spec) { s.Transform.Code = &Code{None: true} },
	"transform.working_dir":        func(s *Spec) { s.Transform.WorkingDir = "other" },
	"transform.accept_return_code": func(s *Spec) { s.Transform.AcceptReturnCode = []int{9} },
	"input.repo":                   func(s *Spec) { s.Input.Repo = "other" },
	"input.branch":                 func(s *Spec) { s.Input.Branch = "other" },
	"input.glob":                   func(s *Spec) { s.Input.Glob = "**" },
	"parameters":                   func(s *Spec) { s.Parameters["threshold"] = "0.6" },
	"parallelism.max":              func(s *Spec) { s.Parallelism.Max = 9 },
	"datum.tries":                  func(s *Spec) { s.Datum.Tries = 9 },
	"datum.timeout":                func(s *Spec) { s.Datum.Timeout = "9s" },
	"cache":                        func(*Spec) {},
	"reprocess":                    func(s *Spec) { s.Reprocess = "9" },
	"metadata":                     func(s *Spec) { s.Metadata = nil },
}

// TestKeyTableHolds proves every row of the table.
func TestKeyTableHolds(t *testing.T) {
	base := newScene().work().Key()
	for _, f := range specFields {
		switch {
		case f.path == "input.name": // through the datum
		case f.shape == unbuilt:
			refusesField(t, f.path, "{}")
		case f.key != keyBelow:
			change, ok := fieldChanges[f.path]
			if !ok {
				t.Errorf("%s: no test changes it", f.path)
				continue
			}
			s := newScene()
			change(&s.spec)
			if f.path != "cache" && cmp.Equal(s.spec, newScene().spec) {
				t.Errorf("%s: the test changes nothing", f.path)
			}
			if changed := s.work().Key() != base; changed != (f.key == keyYes) {
				t.Errorf("%s: changing it changes the key: %v; in key: %s", f.path, changed, f.key)
			}
		}
	}
	refusesField(t, "cache", "never")
	s := newScene()
	s.spec.Input.Name, s.datum = "other", newDatum(Input{Name: "other"}, s.item().Path, s.item().Entry)
	if s.work().Key() == base {
		t.Error("input.name: changing it does not change the key")
	}
}

// refusesField parses a spec that uses a field which is not built.
func refusesField(t *testing.T, path, value string) {
	t.Helper()
	doc := value
	names := strings.Split(path, ".")
	for i := len(names) - 1; i > 0; i-- {
		doc = fmt.Sprintf("{%s: %s}", names[i], doc)
	}
	doc = fmt.Sprintf("%s: %s\n", names[0], doc)
	_, err := ParseSpec("s.yaml", []byte(doc))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), fmt.Sprintf("field %q", names[0])) &&
		!strings.Contains(err.Error(), fmt.Sprintf("field %q", path)) || !strings.Contains(err.Error(), "not supported yet") {
		t.Errorf("%s: error %v, want \"not supported yet\"", path, err)
	}
}

func TestWorkParts(t *testing.T) {
	base := newScene()
	changes := map[string]func(*scene){
		"runtime":             func(s *scene) { s.runtime.Execs[0].Digest = "cd" },
		"code tree":           func(s *scene) { s.code = tree.ContentID{9} },
		"platform":            func(s *scene) { s.platform = "linux/arm64" },
		"item paths":          func(s *scene) { s.item().Path = "a/c.png" },
		"item content":        func(s *scene) { s.item().Entry.Content.ID = chunk.ID{9} },
		"item executable bit": func(s *scene) { s.item().Entry.Exec = true },
	}
	for _, p := range workParts {
		change, ok := changes[p.name]
		if !ok && p.name != "ABI" {
			t.Errorf("%s: no test changes it", p.name)
		}
		s := newScene()
		w := s.work()
		if ok {
			change(&s)
			w = s.work()
		} else {
			w.ABI++
		}
		if w.Key() == base.work().Key() {
			t.Errorf("%s: changing it does not change the key", p.name)
		}
	}
	s := newScene()
	s.item().Entry.Attrs.Time = time.Unix(1, 0)
	s.datum.Identity = "other"
	if s.work().Key() != base.work().Key() {
		t.Error("attributes or identity of a datum change the key")
	}
}

func TestWorkOfGolden(t *testing.T) {
	const want = "142f2b22c1770fe901f9f96c2cb8d3de29dde014c560241adb58713ad9ee4a52"
	if got := newScene().work().Key().String(); got != want {
		t.Errorf("key %s, want %s: changing keys makes every result a miss and takes a new version of the format", got, want)
	}
}

func TestTaskOf(t *testing.T) {
	s := newScene()
	v := Version{Spec: s.spec, Code: tree.Root{ID: tree.ID{7}}}
	task, err := TaskOf(v, s.datum, memo.Key{5}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if task.Key != (memo.Key{5}) || task.Attempt != 2 || task.Code != v.Code || task.Timeout != 90*time.Second || task.Transform.Cmd[3] != "0.50" {
		t.Errorf("task %+v", task)
	}
	in := task.Inputs[0]
	if want := "dvx://content/" + s.item().Entry.Content.ID.String(); in.Name != "in" || in.URL != want || len(in.Items) != 1 {
		t.Errorf("input %+v, want URL %s", in, want)
	}
	dir := newDatum(Input{Name: "in"}, "", tree.Entry{Kind: tree.Dir, Dir: tree.Root{ID: tree.ID{8}, Content: tree.ContentID{3}}})
	if task, err = TaskOf(v, dir, memo.Key{}, 1); err != nil || task.Inputs[0].URL != "dvx://content/"+(tree.ContentID{3}).String() {
		t.Errorf("directory: %+v, %v", task.Inputs, err)
	}
	v.Spec.Parameters = nil
	if _, err := TaskOf(v, s.datum, memo.Key{}, 1); err == nil {
		t.Error("a spec with unknown parameters gives a task")
	}
}
