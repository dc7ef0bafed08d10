package datum

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// keyTable returns what the table of package spec says: for every field that is
// built whether it is in the key, and what else is.
func keyTable(t *testing.T) (fields map[string]string, others []string) {
	t.Helper()
	b, err := os.ReadFile("../spec/testdata/key_table.golden")
	if err != nil {
		t.Fatal(err)
	}
	head, tail, ok := strings.Cut(string(b), "# What the key covers that is in no field.")
	if !ok {
		t.Fatal("the table has no second part")
	}
	rows := func(text string, row func(name, inKey, state string)) {
		for line := range strings.Lines(text) {
			if cells := strings.Split(line, "|"); len(cells) > 3 {
				row(strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]))
			}
		}
	}
	fields = map[string]string{}
	rows(head, func(name, inKey, state string) {
		if state == "built" || strings.Contains(state, "not yet") {
			fields[name] = inKey
		}
	})
	rows(tail, func(name, _, _ string) { others = append(others, name) })
	if len(fields) < 20 || len(others) < 5 {
		t.Fatalf("the table has %d and %d rows", len(fields), len(others))
	}
	return fields, others
}

// fullSpec returns a spec that uses every field.
func fullSpec(t testing.TB) spec.Spec {
	t.Helper()
	b, err := os.ReadFile("../spec/testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scene is all that a key is made of.
type scene struct {
	spec     spec.Spec
	runtime  memo.Runtime
	code     tree.ContentID
	platform string
	datum    Datum
}

func newScene(t testing.TB) scene {
	return scene{
		spec:     fullSpec(t),
		runtime:  memo.Runtime{Host: "debian-12", Execs: []memo.Executable{{Path: "/usr/bin/python3", Digest: "ab"}}},
		code:     tree.ContentID{1},
		platform: "linux/amd64",
		datum: aDatum("in", task.Item{
			Path:  "a/b.png",
			Entry: tree.Entry{Name: "b.png", Kind: tree.File, Content: chunk.Content{ID: chunk.ID{2}, Size: 3}},
		}),
	}
}

// aDatum returns a datum of one item of an input.
func aDatum(name string, it task.Item) Datum {
	return Datum{Identity: name + ":/" + it.Path, Inputs: []task.Input{{Name: name, Items: []task.Item{it}}}}
}

func (s scene) work() memo.Work {
	return Work(s.spec.WithDefaults(), s.runtime, s.code, s.platform, s.datum)
}

func (s scene) item() *task.Item { return &s.datum.Inputs[0].Items[0] }

// fieldChanges changes one built field each.
var fieldChanges = map[string]func(*spec.Spec){
	"pipeline":                     func(s *spec.Spec) { s.Pipeline = "other" },
	"description":                  func(s *spec.Spec) { s.Description = "other" },
	"transform.cmd":                func(s *spec.Spec) { s.Transform.Cmd[1] = "other.py" },
	"transform.stdin":              func(s *spec.Spec) { s.Transform.Stdin = nil },
	"transform.env":                func(s *spec.Spec) { s.Transform.Env["LEVEL"] = "4" },
	"transform.code.path":          func(s *spec.Spec) { s.Transform.Code.Path = "moved" },
	"transform.code.ignore":        func(s *spec.Spec) { s.Transform.Code.Ignore = nil },
	"transform.code.none":          func(s *spec.Spec) { s.Transform.Code = &spec.Code{None: true} },
	"transform.working_dir":        func(s *spec.Spec) { s.Transform.WorkingDir = "other" },
	"transform.accept_return_code": func(s *spec.Spec) { s.Transform.AcceptReturnCode = []int{9} },
	"input.repo":                   func(s *spec.Spec) { s.Input.Repo = "other" },
	"input.branch":                 func(s *spec.Spec) { s.Input.Branch = "other" },
	"input.glob":                   func(s *spec.Spec) { s.Input.Glob = "**" },
	"input.join_on":                func(s *spec.Spec) { s.Input.JoinOn = "$1" },
	"input.outer_join":             func(s *spec.Spec) { s.Input.OuterJoin = true },
	"input.group_by":               func(s *spec.Spec) { s.Input.GroupBy = "$1" },
	"input.reference":              func(s *spec.Spec) { s.Input.Reference = true },
	"input.cron.spec":              func(s *spec.Spec) { s.Input.Cron = &spec.Cron{Spec: "@daily"} },
	"input.cron.time_zone":         func(s *spec.Spec) { s.Input.Cron = &spec.Cron{TimeZone: "Asia/Tokyo"} },
	"input.cron.start":             func(s *spec.Spec) { s.Input.Cron = &spec.Cron{Start: "2026-11-20T00:00:00Z"} },
	"input.cron.overwrite":         func(s *spec.Spec) { s.Input.Cron = &spec.Cron{Overwrite: true} },
	"input.cron.missed":            func(s *spec.Spec) { s.Input.Cron = &spec.Cron{Missed: spec.MissedNone} },
	"input.url":                    func(s *spec.Spec) { s.Input.URL = "https://x.example/y" },
	"input.every":                  func(s *spec.Spec) { s.Input.Every = "9h" },
	"input.cross":                  func(s *spec.Spec) { s.Input = spec.Input{Cross: []spec.Input{s.Input}} },
	"input.union":                  func(s *spec.Spec) { s.Input = spec.Input{Union: []spec.Input{s.Input}} },
	"input.join":                   func(s *spec.Spec) { s.Input = spec.Input{Join: []spec.Input{s.Input}} },
	"input.group":                  func(s *spec.Spec) { s.Input = spec.Input{Group: []spec.Input{s.Input}} },
	"parameters":                   func(s *spec.Spec) { s.Parameters["threshold"] = "0.6" },
	"transform.image":              func(s *spec.Spec) { s.Transform.Image = "app:v2" },
	"resource_requests.cpu":        func(s *spec.Spec) { s.Requests.CPU = "9" },
	"resource_requests.memory":     func(s *spec.Spec) { s.Requests.Memory = "9Gi" },
	"resource_limits.cpu":          func(s *spec.Spec) { s.Limits.CPU = "9" },
	"resource_limits.memory":       func(s *spec.Spec) { s.Limits.Memory = "9Gi" },
	"parallelism.max":              func(s *spec.Spec) { s.Parallelism.Max = 9 },
	"datum.tries":                  func(s *spec.Spec) { s.Datum.Tries = 9 },
	"transform.err_cmd":            func(s *spec.Spec) { s.Transform.ErrCmd = []string{"other"} },
	"datum.backoff":                func(s *spec.Spec) { s.Datum.Backoff = "9s" },
	"datum.retry_on":               func(s *spec.Spec) { s.Datum.RetryOn = []string{"exit"} },
	"datum.crash_tries":            func(s *spec.Spec) { s.Datum.CrashTries = 9 },
	"concurrency":                  func(s *spec.Spec) { s.Concurrency = map[string]int{"gpu": 1} },
	"commits":                      func(s *spec.Spec) { s.Commits = spec.CommitsEvery },
	"growth.depth":                 func(s *spec.Spec) { s.Growth = &spec.Growth{Depth: 3} },
	"growth.max":                   func(s *spec.Spec) { s.Growth = &spec.Growth{Max: 3} },
	"sweep":                        func(s *spec.Spec) { *s = s.With(map[string]string{"threshold": "9"}) },
	"hooks.on_success":             func(s *spec.Spec) { s.Hooks = &spec.Hooks{OnSuccess: []string{"x"}} },
	"hooks.on_failure":             func(s *spec.Spec) { s.Hooks = &spec.Hooks{OnFailure: []string{"x"}} },
	"hooks.on_exit":                func(s *spec.Spec) { s.Hooks = &spec.Hooks{OnExit: []string{"x"}} },
	"partial_results":              func(s *spec.Spec) { s.PartialResults = "9s" },
	"datum.max_output":             func(s *spec.Spec) { s.Datum.MaxOutput = "9GB" },
	"job_timeout":                  func(s *spec.Spec) { s.JobTimeout = "9s" },
	"max_failed":                   func(s *spec.Spec) { s.MaxFailed.Count = 9 },
	"scheduling.priority":          func(s *spec.Spec) { s.Scheduling.Priority = 9 },
	"datum.batch":                  func(s *spec.Spec) { s.Datum.Batch = true },
	"datum.set_size":               func(s *spec.Spec) { s.Datum.SetSize = 9 },
	"datum.timeout":                func(s *spec.Spec) { s.Datum.Timeout = "9s" },
	"cache":                        func(*spec.Spec) {},
	"reprocess":                    func(s *spec.Spec) { s.Reprocess = "9" },
	"metadata":                     func(s *spec.Spec) { s.Metadata = nil },
}

// TestKeyTableHolds proves every row of the table.
func TestKeyTableHolds(t *testing.T) {
	base := newScene(t).work().Key()
	fields, _ := keyTable(t)
	for name, inKey := range fields {
		if inKey == "-" || name == "input.name" || name == "input.lazy" || name == "input.value" || name == "input.empty_files" {
			continue // shown by the fields of the object, or below by what List makes of it
		}
		change, ok := fieldChanges[name]
		if !ok {
			t.Errorf("%s: no test changes it", name)
			continue
		}
		s := newScene(t)
		change(&s.spec)
		if name != "cache" && cmp.Equal(s.spec, newScene(t).spec) {
			t.Errorf("%s: the test changes nothing", name)
		}
		if changed := s.work().Key() != base; changed != (inKey == "yes") {
			t.Errorf("%s: changing it changes the key: %v; in key: %s", name, changed, inKey)
		}
	}
	s := newScene(t)
	s.spec.Input.Name, s.datum = "other", aDatum("other", *s.item())
	if s.work().Key() == base {
		t.Error("input.name: changing it does not change the key")
	}
	seen := map[memo.Key]string{}
	for name, mode := range map[string]task.Mode{"files": task.Files, "input.lazy": task.Lazy, "input.empty_files": task.Empty} {
		s := newScene(t)
		s.datum.Inputs[0].Mode = mode
		if other, ok := seen[s.work().Key()]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[s.work().Key()] = name
	}
}

func TestWorkParts(t *testing.T) {
	base := newScene(t)
	changes := map[string]func(*scene){
		"runtime":             func(s *scene) { s.runtime.Execs[0].Digest = "cd" },
		"code tree":           func(s *scene) { s.code = tree.ContentID{9} },
		"platform":            func(s *scene) { s.platform = "linux/arm64" },
		"item paths":          func(s *scene) { s.item().Path = "a/c.png" },
		"item content":        func(s *scene) { s.item().Entry.Content.ID = chunk.ID{9} },
		"item executable bit": func(s *scene) { s.item().Entry.Exec = true },
	}
	_, others := keyTable(t)
	for _, name := range others {
		change, ok := changes[name]
		if !ok && name != "ABI" {
			t.Errorf("%s: no test changes it", name)
		}
		s := newScene(t)
		w := s.work()
		if ok {
			change(&s)
			w = s.work()
		} else {
			w.ABI++
		}
		if w.Key() == base.work().Key() {
			t.Errorf("%s: changing it does not change the key", name)
		}
	}
	s := newScene(t)
	s.item().Entry.Attrs.Time = time.Unix(1, 0)
	s.datum.Identity = "other"
	if s.work().Key() != base.work().Key() {
		t.Error("attributes or identity of a datum change the key")
	}
}

func TestWorkOfGolden(t *testing.T) {
	const want = "142f2b22c1770fe901f9f96c2cb8d3de29dde014c560241adb58713ad9ee4a52"
	if got := newScene(t).work().Key().String(); got != want {
		t.Errorf("key %s, want %s: changing keys makes every result a miss and takes a new version of the format", got, want)
	}
}

func TestTask(t *testing.T) {
	s := newScene(t)
	code := tree.Root{ID: tree.ID{7}}
	got, err := Task(s.spec, code, s.datum, memo.Key{5}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got.Key != (memo.Key{5}) || got.Attempt != 2 || got.Code != code || got.Timeout != 90*time.Second || got.Transform.Cmd[3] != "0.50" {
		t.Errorf("task %+v", got)
	}
	in := got.Inputs[0]
	if want := "dvx://content/" + s.item().Entry.Content.ID.String(); in.Name != "in" || in.URL() != want || len(in.Items) != 1 {
		t.Errorf("input %+v, want URL %s", in, want)
	}
	dir := aDatum("in", task.Item{
		Entry: tree.Entry{Kind: tree.Dir, Dir: tree.Root{ID: tree.ID{8}, Content: tree.ContentID{3}}},
	})
	if got, err = Task(s.spec, code, dir, memo.Key{}, 1); err != nil || got.Inputs[0].URL() != "dvx://content/"+(tree.ContentID{3}).String() {
		t.Errorf("directory: %+v, %v", got.Inputs, err)
	}
	s.spec.Parameters = nil
	if _, err := Task(s.spec, code, s.datum, memo.Key{}, 1); err == nil {
		t.Error("a spec with unknown parameters gives a task")
	}
}
