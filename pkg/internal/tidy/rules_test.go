package tidy

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// A rule is one habit of the house.
type rule struct {
	name  string
	why   string
	check func(*tree) []string
}

// rules is every habit that go test enforces.
var rules = []rule{
	{"layers", "imports go strictly down, so that each layer can be read and tested without those above", checkLayers},
	{"vendors", "a foreign library stays behind the one package that adapts it", checkVendors},
	{"pure", "a package of values and decisions does no I/O, so that simulation covers it", checkPure},
	{"packagedoc", "a reader learns from doc.go what a package is for", checkPackageDoc},
	{"exported", "an exported name is a promise, and the promise is in its comment", checkExported},
	{"interfaces", "a small interface is easy to implement twice", checkInterfaces},
	{"length", "a file or function that fits the head can be reviewed", checkLength},
	{"constructors", "a caller names what it passes, in an Options struct", checkConstructors},
	{"format", "bytes that outlive a process have their layout written down", checkFormat},
	{"names", "a package is named for what it holds", checkNames},
	{"ambient", "time and chance enter as values, so that a run can be repeated", checkAmbient},
	{"init", "binaries wire by hand; nothing runs because it was imported", checkInit},
	{"globals", "what is global is constant, so that two of anything can live in one process", checkGlobals},
	{"suites", "every implementation of a contract passes the contract's suite", checkSuites},
	{"requirements", "every requirement is shown by a test or admitted to be open", checkRequirements},
	{"documents", "a test that the documents name can be run", checkDocuments},
	{"links", "a link in the documents leads somewhere", checkLinks},
	{"changelog", "the changelog can be read by people and by the release script", checkChangelog},
	{"gofmt", "layout is nobody's opinion", checkGofmt},
	{"machine", "the repository speaks of dvx alone, not of where it was built", checkMachine},
}

// TestHouse applies every rule to this repository.
func TestHouse(t *testing.T) {
	root := moduleRoot(t)
	tr, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.gos) < 10 {
		t.Fatalf("found %d Go files below %s: the rules would pass on nothing", len(tr.gos), root)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.check(tr) {
				t.Error(finding)
			}
			if t.Failed() {
				t.Logf("why: %s", r.why)
			}
		})
	}
}

// TestRules tries every rule on its cases: testdata/RULE.txtar holds trees, each
// below a folder "CASE/", and per case a file "CASE.want" with the findings.
func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			archive, err := txtar.ParseFile(filepath.Join("testdata", r.name+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			refused, accepted := 0, 0
			for _, c := range casesOf(archive) {
				got := r.check(mustLoad(t, c.files))
				slices.Sort(got)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("case %s: findings differ (-want +got):\n%s", c.name, diff)
				}
				if len(c.want) > 0 {
					refused++
				} else {
					accepted++
				}
			}
			if refused == 0 || accepted == 0 {
				t.Errorf("%d cases refused and %d accepted: a rule needs one of each", refused, accepted)
			}
		})
	}
}

// TestRulesHaveNoOrphans fails on a case file that no rule reads.
func TestRulesHaveNoOrphans(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".txtar")
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.name == name }) {
			t.Errorf("testdata/%s belongs to no rule", e.Name())
		}
	}
}

// A ruleCase is a tree and what a rule must find in it.
type ruleCase struct {
	name  string
	files fstest.MapFS
	want  []string
}

// unquote lets a case hold text that the rules refuse everywhere, cases
// included: "{/}" stands for a slash and "{.}" for a dot.
var unquote = strings.NewReplacer("{/}", "/", "{.}", ".")

func casesOf(archive *txtar.Archive) []*ruleCase {
	var cases []*ruleCase
	byName := map[string]*ruleCase{}
	for _, f := range archive.Files {
		name, rest, nested := strings.Cut(f.Name, "/")
		if !nested {
			name = strings.TrimSuffix(f.Name, ".want")
		}
		c := byName[name]
		if c == nil {
			c = &ruleCase{name: name, files: fstest.MapFS{}}
			byName[name] = c
			cases = append(cases, c)
		}
		if nested {
			c.files[rest] = &fstest.MapFile{Data: []byte(unquote.Replace(string(f.Data))), Mode: 0o644}
			continue
		}
		for line := range strings.Lines(unquote.Replace(string(f.Data))) {
			if line = strings.TrimSpace(line); line != "" {
				c.want = append(c.want, line)
			}
		}
		slices.Sort(c.want)
	}
	return cases
}

func parseArchive(t *testing.T, name, text string) *tree {
	t.Helper()
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	if len(files) == 0 {
		t.Fatalf("archive %s is empty", name)
	}
	return mustLoad(t, files)
}

func mustLoad(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	tr, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// moduleRoot finds the folder that holds go.mod.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
