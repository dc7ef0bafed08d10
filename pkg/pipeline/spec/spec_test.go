package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const fullYAML = `# counts the lines of every file
pipeline: count
description: lines per package
transform:
  cmd: [python3, code/count.py, --threshold, "${threshold}", 10]
  stdin:
    - echo $HOME
    - echo $${HOME}
  env: {LEVEL: 3, MODE: "${mode}"}
  code: {path: ./src/, ignore: ["*.pyc", "**/__pycache__/**"]}
  working_dir: work
  accept_return_code: [3, 0, 2, 3]
input: {repo: images, name: in, branch: release/1, glob: "/*/*.png"}
parameters: {threshold: 0.50, mode: fast}
parallelism: {max: 4}
datum: {tries: 2, timeout: 1m30s}
reprocess: "2"
cache: normal
metadata: {owner: zoë}
`

func fullSpec() Spec {
	return Spec{
		Pipeline: "count", Description: "lines per package",
		Transform: Transform{
			Cmd:              []string{"python3", "code/count.py", "--threshold", "${threshold}", "10"},
			Stdin:            []string{"echo $HOME", "echo $${HOME}"},
			Env:              map[string]string{"LEVEL": "3", "MODE": "${mode}"},
			Code:             &Code{Path: "src", Ignore: []string{"*.pyc", "**/__pycache__/**"}},
			WorkingDir:       "work",
			AcceptReturnCode: []int{2, 3},
		},
		Input:       Input{Repo: "images", Name: "in", Branch: "release/1", Glob: "/*/*.png"},
		Parameters:  map[string]string{"threshold": "0.50", "mode": "fast"},
		Parallelism: Parallelism{Max: 4},
		Datum:       DatumPolicy{Tries: 2, Timeout: "1m30s"},
		Reprocess:   "2",
		Metadata:    map[string]string{"owner": "zoë"},
	}
}

func TestParse(t *testing.T) {
	json := `{
	"pipeline": "count", "description": "lines per package", "cache": "normal",
	"transform": {
		"cmd": ["python3", "code/count.py", "--threshold", "${threshold}", 10],
		"stdin": ["echo $HOME", "echo $${HOME}"],
		"env": {"LEVEL": 3, "MODE": "${mode}"},
		"code": {"path": "./src/", "ignore": ["*.pyc", "**/__pycache__/**"]},
		"working_dir": "work", "accept_return_code": [3, 0, 2, 3]
	},
	"input": {"repo": "images", "name": "in", "branch": "release/1", "glob": "/*/*.png"},
	"parameters": {"threshold": 0.50, "mode": "fast"}, "parallelism": {"max": 4},
	"datum": {"tries": 2, "timeout": "1m30s"}, "reprocess": "2", "metadata": {"owner": "zo\u00eb"}
}`
	for name, data := range map[string]string{"p.yaml": fullYAML, "p.json": json, "p": json} {
		got, err := Parse(name, []byte(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(fullSpec(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseDefaults(t *testing.T) {
	got, err := Parse("p.yml", []byte("pipeline: a\ntransform: {cmd: [x]}\ninput: {repo: b, glob: /}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{
		Pipeline: "a", Transform: Transform{Cmd: []string{"x"}, Code: &Code{Path: "."}},
		Input: Input{Repo: "b", Name: "b", Glob: "/"}, Datum: DatumPolicy{Tries: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParses(t *testing.T) {
	one := "pipeline: a\ntransform: &t {cmd: [x]}\ninput: {repo: b, glob: /}\n"
	two := strings.Replace(one, "pipeline: a", "pipeline: c", 1)
	for name, data := range map[string]string{
		"p.yaml": one + "---\n" + two + "---\n",
		"p.json": `{"pipeline":"a","transform":{"cmd":["x"]},"input":{"repo":"b","glob":"/"}} {"pipeline":"c","transform":{"cmd":["x"]},"input":{"repo":"b","glob":"/"}}`,
	} {
		specs, err := ParseAll(name, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if len(specs) != 2 || specs[0].Pipeline != "a" || specs[1].Pipeline != "c" {
			t.Errorf("%s: %+v", name, specs)
		}
		if _, err := Parse(name, []byte(data)); err == nil || !strings.Contains(err.Error(), "want one spec, found 2") {
			t.Errorf("%s: two specs where one is wanted: %v", name, err)
		}
	}
	if _, err := ParseAll("p.yaml", []byte(one+"---\n"+one)); err == nil || !strings.Contains(err.Error(), `line 5, column 11: pipeline "a" is in the file already, in line 1`) {
		t.Errorf("one name twice: %v", err)
	}
}

// good is a spec to which a test adds a line, or replaces one.
const good = "pipeline: p\ntransform:\n  cmd: [x]\ninput:\n  repo: r\n  glob: /*\n"

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, from, to, want string }{
		{"typo", "transform:", "transfrom:", `s.yaml: line 2, column 1: unknown field "transfrom" (did you mean "transform"?)`},
		{"typo inside", "glob:", "golb:", `line 6, column 3: unknown field "golb" in "input" (did you mean "glob"?)`},
		{"unknown", "pipeline: p", "pipeline: p\nxylophone: 1", `line 2, column 1: unknown field "xylophone"`},
		{"twice", "repo: r", "repo: r\n  repo: s", `line 6, column 3: field "input.repo" is given twice, first in line 5`},
		{"unsupported", "pipeline: p", "pipeline: p\nschedule: {cron: '@daily'}", `line 2, column 1: field "schedule" is not supported yet`},
		{"unsupported inside", "cmd: [x]", "cmd: [x]\n  user: nobody", `line 4, column 3: field "transform.user" is not supported yet`},
		{"image", "cmd: [x]", "cmd: [x]\n  image: https://example.com/app", `line 4, column 10: transform.image: want a reference like debian:12`},
		{"cpu", "pipeline: p", "pipeline: p\nresource_limits: {cpu: fast}", `line 2, column 24: resource_limits.cpu: want a quantity like 2, 0.5 or 500m, found "fast"`},
		{"memory", "pipeline: p", "pipeline: p\nresource_requests: {memory: 1.5Gi}", `resource_requests.memory: want a quantity like 64Mi or 2Gi`},
		{"job timeout", "pipeline: p", "pipeline: p\njob_timeout: soon", `line 2, column 14: job_timeout: want a time with its unit, as in 90s`},
		{"max failed", "pipeline: p", "pipeline: p\nmax_failed: -1", `line 2, column 13: max_failed: -1 is less than 0`},
		{"priority", "pipeline: p", "pipeline: p\nscheduling: {priority: 5000}", `line 2, column 24: scheduling.priority: 5000 is not from -1000 to 1000`},
		{"retry class", "pipeline: p", "pipeline: p\ndatum: {retry_on: [exit, never]}", `line 2, column 26: datum.retry_on[1]: want one of exit, limit, output, signal, start, timeout, found "never"`},
		{"crash tries", "pipeline: p", "pipeline: p\ndatum: {crash_tries: 1001}", `line 2, column 22: datum.crash_tries: 1001 is not from 1 to 1000`},
		{"pool units", "pipeline: p", "pipeline: p\nconcurrency: {gpu: 0}", `line 2, column 20: concurrency.gpu: 0 is not from 1 to 1000`},
		{"growth depth", "pipeline: p", "pipeline: p\ngrowth: {depth: -1}", `line 2, column 17: growth.depth: -1 is not from 1 to 1000`},
		{"growth max", "pipeline: p", "pipeline: p\ngrowth: {max: 1000001}", `line 2, column 15: growth.max: 1000001 is not from 1 to 1000000`},
		{"sweep and parameter", "pipeline: p", "pipeline: p\nsweep: {a: [1]}\nparameters: {a: 2}", `line 2, column 12: sweep.a: the parameter has a value under parameters already`},
		{"sweep of nothing", "pipeline: p", "pipeline: p\nparameters: {a: []}", `line 2, column 17: sweep.a: has no values`},
		{"sweep of equals", "pipeline: p", "pipeline: p\nparameters: {a: [1, 2, 1]}", `line 2, column 24: sweep.a[2]: "1" is there twice`},
		{"value twice", "glob: /*", "glob: /x\n  value: a\nparameters: {a: 1}", `line 7, column 10: input.value: there is a parameter "a" already`},
		{"value that is run", "[x]", "[\"${a}\"]\n  stdin: [\"${a}\"]\nmetadata: {a: b}", `unknown parameter "a"`},
		{"lazy value", "glob: /*", "glob: /x\n  value: a\n  lazy: true", `line 7, column 10: input.value: has no meaning with lazy or empty_files: the text is read before the program starts`},
		{"size", "pipeline: p", "pipeline: p\ndatum: {max_output: 1.5GB}", `line 2, column 21: datum.max_output: want a size like 500MB or 10GiB, found "1.5GB"`},
		{"commits", "pipeline: p", "pipeline: p\ncommits: some", `line 2, column 10: commits: want latest or every, found "some"`},
		{"pool name", "pipeline: p", "pipeline: p\nconcurrency: {a b: 1}", `line 2, column 20: concurrency: the name "a b" must be letters, digits, -, _ and .`},
		{"cron never", "repo: r\n  glob: /*", "cron: {spec: 0 0 31 2 *}", `input.cron.spec: `},
		{"cron wrong", "repo: r\n  glob: /*", "cron: {spec: every day}", `line 5, column 16: input.cron.spec: `},
		{"cron zone", "repo: r\n  glob: /*", "cron: {spec: '@daily', time_zone: Mars/Olympus}", `time zone "Mars/Olympus" is not known here`},
		{"cron zone in spec", "repo: r\n  glob: /*", "cron: {spec: 'TZ=UTC 0 0 * * *'}", `the time zone belongs into time_zone`},
		{"cron missed", "repo: r\n  glob: /*", "cron: {spec: '@daily', missed: some}", `line 5, column 34: input.cron.missed: want all, latest or none, found "some"`},
		{"cron start", "repo: r\n  glob: /*", "cron: {spec: '@daily', start: soon}", `input.cron.start: want a time as 2026-11-20T09:00:00Z`},
		{"url scheme", "repo: r\n  glob: /*", "url: ftp://x/y", `line 5, column 8: input.url: want http://…, https://… or s3://BUCKET/KEY`},
		{"url password", "repo: r\n  glob: /*", "url: https://a:b@x/y", `input.url: holds a password`},
		{"url of a bucket", "repo: r\n  glob: /*", "url: s3://x/", `input.url: names a bucket`},
		{"url often", "repo: r\n  glob: /*", "url: s3://x/y\n  every: 5s", `input.every: want at least 1m0s`},
		{"every of nothing", "glob: /*", "glob: /*\n  every: 5m", `input.every: has no meaning without url`},
		{"cron and url", "repo: r\n  glob: /*", "url: s3://x/y\n  cron: {spec: '@daily'}", `input.url: has no meaning beside cron`},
		{"cache value", "pipeline: p", "pipeline: p\ncache: some", `cache: want normal or never, found "some"`},
		{"capture group", "/*", "/(*", `line 6, column 9: input.glob: glob "/(*": unclosed (`},
		{"object for text", "repo: r", "repo: {a: 1}", `line 5, column 9: input.repo: want text, found an object`},
		{"number for text", "pipeline: p", "pipeline: 1", `line 1, column 11: pipeline: want text, found 1 (quote it if text is meant)`},
		{"text for list", "[x]", "x", `line 3, column 8: transform.cmd: want a list, as in [a, b], found the text "x"`},
		{"list in list", "[x]", "[[x]]", `line 3, column 9: transform.cmd[0]: want text, found a list`},
		{"text for object", "transform:\n  cmd: [x]", "transform: x", `line 2, column 12: transform: want fields, found the text "x"`},
		{"text for number", "pipeline: p", "pipeline: p\ndatum: {tries: many}", `line 2, column 16: datum.tries: want a whole number, found the text "many"`},
		{"fraction", "pipeline: p", "pipeline: p\ndatum: {tries: 1.5}", `datum.tries: want a whole number, found 1.5`},
		{"huge number", "pipeline: p", "pipeline: p\ndatum: {tries: 99999999999}", `datum.tries: want a whole number`},
		{"not a flag", "cmd: [x]", "cmd: [x]\n  code: {none: maybe}", `transform.code.none: want true or false`},
		{"no value", "repo: r", "repo:", `line 5, column 8: field "input.repo" has no value`},
		{"merge key", "pipeline: p", "pipeline: p\n<<: {description: x}", `want a name`},
		{"not a map", "pipeline: p", "pipeline: p\nparameters: [a]", `parameters: want names with values, found a list`},
		{"no name", "pipeline: p\n", "", `line 1, column 1: pipeline: is missing`},
		{"bad name", "pipeline: p", "pipeline: a.b", `line 1, column 11: pipeline: repo name "a.b": want letters`},
		{"no cmd", "\n  cmd: [x]", " {env: {A: b}}", `line 2, column 12: transform.cmd: is missing`},
		{"empty cmd", "[x]", "[]", `transform.cmd: is missing`},
		{"empty program", "[x]", `[""]`, `transform.cmd[0]: is empty`},
		{"NUL", "[x]", `["a\0"]`, `line 3, column 9: transform.cmd[0]: holds a NUL`},
		{"no repo", "  repo: r\n", "", `input.repo: is missing`},
		{"no glob", "  glob: /*\n", "", `line 5, column 3: input.glob: is missing`},
		{"bad glob", "/*", "'/[a'", `line 6, column 9: input.glob: glob "/[a": unclosed [ or {`},
		{"own output", "repo: r", "repo: p", `input.repo: a pipeline can't read its own output, "p"`},
		{"bad input name", "repo: r", "repo: r\n  name: ../x", `line 6, column 9: input.name: repo name "../x"`},
		{"bad branch", "repo: r", "repo: r\n  branch: a..b", `line 6, column 11: input.branch: ref name "a..b" contains ".."`},
		{"env name", "cmd: [x]", "cmd: [x]\n  env: {1A: x}", `line 4, column 13: transform.env: the name "1A" must be letters`},
		{"reserved env", "cmd: [x]", "cmd: [x]\n  env: {DVX_OUT: x}", `transform.env: the name "DVX_OUT" is reserved`},
		{"env list", "cmd: [x]", "cmd: [x]\n  env: {A: [x]}", `transform.env.A: want text, found a list`},
		{"code outside", "cmd: [x]", "cmd: [x]\n  code: {path: ../y}", `line 4, column 16: transform.code.path: "../y" leaves the spec's folder`},
		{"code absolute", "cmd: [x]", "cmd: [x]\n  code: {path: /y}", `transform.code.path: want a path relative to the spec's folder`},
		{"code hidden escape", "cmd: [x]", "cmd: [x]\n  code: {path: a/../../y}", `leaves the spec's folder`},
		{"code backslash", "cmd: [x]", `cmd: [x]` + "\n" + `  code: {path: ..\y}`, `want a path relative`},
		{"no code with path", "cmd: [x]", "cmd: [x]\n  code: {none: true, path: y}", `transform.code.none: says that there is no code`},
		{"bad ignore", "cmd: [x]", "cmd: [x]\n  code: {ignore: ['[']}", `transform.code.ignore[0]: glob "[": unclosed`},
		{"working dir", "cmd: [x]", "cmd: [x]\n  working_dir: ..", `transform.working_dir: ".." leaves the task's folder`},
		{"exit status", "cmd: [x]", "cmd: [x]\n  accept_return_code: [300]", `transform.accept_return_code: 300 is not from 0 to 255`},
		{"timeout", "pipeline: p", "pipeline: p\ndatum: {timeout: 10}", `line 2, column 18: datum.timeout: want a time with its unit, as in 90s, 10m or 1h30m, found "10"`},
		{"timeout unit", "pipeline: p", "pipeline: p\ndatum: {timeout: 10 minutes}", `datum.timeout: want a time with its unit, as in 90s, 10m or 1h30m, found "10 minutes"`},
		{"negative timeout", "pipeline: p", "pipeline: p\ndatum: {timeout: -1s}", `datum.timeout: want a time`},
		{"tries", "pipeline: p", "pipeline: p\ndatum: {tries: -1}", `datum.tries: -1 is not from 1 to 100`},
		{"set size", "pipeline: p", "pipeline: p\ndatum: {batch: true, set_size: -1}", `datum.set_size: -1 is not from 0 to`},
		{"set without batch", "pipeline: p", "pipeline: p\ndatum: {set_size: 3}", `datum.set_size: needs datum.batch`},
		{"batch with err_cmd", "cmd: [x]", "cmd: [x]\n  err_cmd: [x]\ndatum: {batch: true}", `transform.err_cmd: does not go with datum.batch`},
		{"batch with codes", "cmd: [x]", "cmd: [x]\n  accept_return_code: [3]\ndatum: {batch: true}", `transform.accept_return_code: does not go with datum.batch`},
		{"parallelism", "pipeline: p", "pipeline: p\nparallelism: {max: -1}", `parallelism.max: -1 is not from 0`},
		{"unknown parameter", "[x]", "[x, 'a ${who} b']", `line 3, column 12: transform.cmd[1]: unknown parameter "who"`},
		{"unclosed parameter", "[x]", "[x, 'a ${who']", `transform.cmd[1]: ${ is not closed`},
		{"parameter in env", "cmd: [x]", "cmd: [x]\n  env: {A: '${who}'}", `line 4, column 12: transform.env.A: unknown parameter "who"`},
		{"parameter name", "pipeline: p", "pipeline: p\nparameters: {a-b: 1}", `parameters: the name "a-b" must be letters`},
		{"not YAML", "repo: r", "repo: [r", `s.yaml: line 5, column 1: not YAML: did not find expected`},
		{"star", "/*", "**", `line 6, column 1: not YAML: did not find expected alphabetic or numeric character; quote a value that begins with *`},
		{"tab", "  repo: r", "\trepo: r", `line 5, column 1: not YAML: `},
		{"tab first", "pipeline: p", "\tpipeline: p", `s.yaml: line 1, column 1: not YAML: `},
		{"pachyderm", "repo: r", "pfs: {}\n  repo: r", `line 5, column 3: unknown field "pfs" in "input" (is it a spec of Pachyderm? dvx pipeline import pachyderm`},
		{"cpu as a word", "pipeline: p", "pipeline: p\nresource_limits: {cpu: yes}", `resource_limits.cpu: want a quantity like 2, 0.5 or 500m, found "yes"`},
		{"not UTF-8", "pipeline: p", "pipeline: p\n#\xff", `line 2, column 1: byte 0xff is not UTF-8`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data := strings.Replace(good, test.from, test.to, 1)
			if data == good {
				t.Fatal("the test changes nothing")
			}
			_, err := Parse("s.yaml", []byte(data))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v\nwant   %s", err, test.want)
			}
			if strings.Contains(test.want, "not supported yet") != errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("error %v is of the wrong kind", err)
			}
			if strings.Contains(test.want, "not supported yet") == errors.Is(err, fs.ErrInvalid) {
				t.Errorf("error %v is of the wrong kind", err)
			}
		})
	}
	if _, err := Parse("s.yaml", []byte(good)); err != nil {
		t.Errorf("the spec that the cases start from: %v", err)
	}
}

func TestParseRefusesFiles(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000)
	for _, test := range []struct{ file, data, want string }{
		{"s.yaml", "", "s.yaml: line 1, column 1: is empty"},
		{"s.yaml", "# nothing\n---\n", "is empty"},
		{"s.yaml", "- a", "want fields, found a list"},
		{"s.yaml", strings.Repeat("#", SizeMax+1), "exceed the limit"},
		{"s.json", "pipeline: p", "s.json: line 1, column 1: not JSON"},
		{"s.json", "{\n \"pipeline\": \"p\",\n}", "line 3, column 1: not JSON"},
		{"s.json", `{"pipeline": "p"`, "not JSON: unexpected EOF"},
		{"s.json", "{\n\t\"pipelin\": \"p\"\n}", `line 2, column 2: unknown field "pipelin" (did you mean "pipeline"?)`},
		{"s.json", `{"pipeline": "p", "pipeline": "q"}`, `line 1, column 19: field "pipeline" is given twice`},
		{"s.json", deep, "nested values"},
		{"s.json", strings.Repeat("[", 1000), "nested values"},
	} {
		_, err := Parse(test.file, []byte(test.data))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %.40q: error %v, want %s", test.file, test.data, err, test.want)
		}
	}
}

// TestParseReportsAll: one reading names every error, in order of place.
func TestParseReportsAll(t *testing.T) {
	_, err := Parse("s.yaml", []byte("pipelne: p\nschedule: x\ntransform: {cmd: x}\n"))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "line 1,") || !strings.Contains(lines[2], "line 3,") {
		t.Errorf("errors %q", lines)
	}
	var e *Error
	if !errors.As(err, &e) || e.File != "s.yaml" || e.Line != 1 || e.Field != "pipelne" {
		t.Errorf("first error %+v", e)
	}
}

func TestExpand(t *testing.T) {
	got, err := fullSpec().Expand()
	if err != nil {
		t.Fatal(err)
	}
	want := fullSpec().Transform
	want.Cmd = []string{"python3", "code/count.py", "--threshold", "0.50", "10"}
	want.Stdin = []string{"echo $HOME", "echo ${HOME}"}
	want.Env = map[string]string{"LEVEL": "3", "MODE": "fast"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for in, out := range map[string]string{
		"${a}${b}": "1${a}", "$${a}": "${a}", "$$${a}": "$${a}", "$a": "$a", "$$": "$$", "x${a}y": "x1y", "}": "}", "": "", "$": "$",
	} {
		if got, reason := substitute(in, map[string]string{"a": "1", "b": "${a}"}); got != out || reason != "" {
			t.Errorf("%q: %q %s, want %q", in, got, reason, out)
		}
	}
}

func TestAccepts(t *testing.T) {
	tr := fullSpec().Transform
	for exit, want := range map[int]bool{0: true, 1: false, 2: true, 3: true, 137: false} {
		if tr.Accepts(exit) != want {
			t.Errorf("exit status %d accepted: %v", exit, !want)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, test := range []struct{ parent, name, want string }{
		{"", "transfrom", "transform"},
		{"", "Pipeline", "pipeline"},
		{"", "inputs", "input"},
		{"", "zzz", ""},
		{"", "resource_limit", "resource_limits"},
		{"transform.", "command", ""},
		{"transform.", "std_in", "stdin"},
		{"input.", "rep", "repo"},
		{"transform.code.", "ignores", "ignore"},
	} {
		if got := nearest(test.parent, test.name); got != test.want {
			t.Errorf("nearest to %s%s is %q, want %q", test.parent, test.name, got, test.want)
		}
	}
}

// TestParseKeepsText: whatever is typed for a field is refused or
// kept; nothing is dropped in silence.
func TestParseKeepsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.StringMatching(`[ -~é]{0,20}`).Draw(t, "value")
		data := `{"pipeline":"p","transform":{"cmd":["x"],"stdin":[` + quoteJSON(v) + `]},"input":{"repo":"r","glob":"/"}}`
		s, err := Parse("s.json", []byte(data))
		if err != nil {
			if !strings.Contains(v, "${") {
				t.Fatalf("%q: %v", v, err)
			}
			return
		}
		if len(s.Transform.Stdin) != 1 || s.Transform.Stdin[0] != v {
			t.Fatalf("stdin %q, want %q", s.Transform.Stdin, v)
		}
	})
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func FuzzParse(f *testing.F) {
	f.Add("s.yaml", []byte(fullYAML))
	f.Add("s.yaml", []byte(good+"---\n"+good))
	f.Add("s.json", []byte(`{"pipeline":"p","transform":{"cmd":["x"]},"input":{"repo":"r","glob":"/"}}`))
	f.Add("s.yaml", []byte("a: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		specs, err := ParseAll(name, data)
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("error %v is of no kind", err)
			}
			return
		}
		for _, s := range specs {
			b, err := Encode(s)
			if err != nil {
				t.Fatalf("parsed, but not valid: %v", err)
			}
			again, err := Parse("again.json", b)
			if err != nil {
				t.Fatalf("canonical JSON is no spec: %v\n%s", err, b)
			}
			if diff := cmp.Diff(s, again); diff != "" {
				t.Fatalf("canonical JSON is another spec:\n%s", diff)
			}
		}
	})
}

func ExampleParse() {
	_, err := Parse("count.yaml", []byte("pipeline: count\ntransfrom:\n  cmd: [wc, -l]\n"))
	fmt.Println(err)
	// Output: count.yaml: line 2, column 1: unknown field "transfrom" (did you mean "transform"?)
}

// TestQuantities: an amount may be a number, as Kubernetes takes it.
func TestQuantities(t *testing.T) {
	s, err := Parse("s.json", []byte(`{"pipeline": "p", "transform": {"cmd": ["x"]}, "input": {"repo": "r", "glob": "/"},
  "resource_requests": {"cpu": 1, "memory": 1000000}, "resource_limits": {"cpu": 1.5, "memory": "2Gi"}}`))
	if err != nil || s.Requests != (Resources{CPU: "1", Memory: "1000000"}) || s.Limits != (Resources{CPU: "1.5", Memory: "2Gi"}) {
		t.Errorf("%+v, %+v, %v", s.Requests, s.Limits, err)
	}
}
