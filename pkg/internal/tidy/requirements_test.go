package tidy

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// requirementsFile lists what dvx promises and what shows it.
const requirementsFile = "docs/REQUIREMENTS.md"

// requirementSections are the letters of the ids and the last number of each:
// A1 to A17 and so on.
var requirementSections = []struct {
	letter string
	last   int
}{
	{"A", 17}, // failure, states, retry
	{"B", 20}, // schedules and triggers
	{"C", 9},  // parameters and parallel runs
	{"D", 30}, // mapping, scale, latency
	{"E", 13}, // data flow and lineage
	{"F", 23}, // observability and quality
	{"G", 34}, // adoption and portability
	{"H", 9},  // identity, security, compliance
	{"I", 55}, // data versioning core
}

var (
	requirementID = regexp.MustCompile(`^[A-Z][0-9]+$`)
	quoted        = regexp.MustCompile("`([^`]+)`")
	testFunc      = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
)

// checkRequirements finds ids without a row, rows without an id, and rows that
// name a test that does not exist. A row is "| id | promise | shown by | state |".
func checkRequirements(t *tree) []string {
	text, ok := t.files[requirementsFile]
	if !ok {
		return []string{requirementsFile + ": is missing"}
	}
	var found []string
	seen := map[string]bool{}
	known := requirementIDs()
	shows := testNames(t)
	line := 0
	for row := range strings.Lines(string(text)) {
		line++
		cells := strings.Split(strings.TrimSpace(row), "|")
		if len(cells) < 2 || !requirementID.MatchString(strings.TrimSpace(cells[1])) {
			continue
		}
		id := strings.TrimSpace(cells[1])
		report := func(format string, args ...any) {
			found = append(found, fmt.Sprintf("%s:%d: %s ", requirementsFile, line, id)+fmt.Sprintf(format, args...))
		}
		switch {
		case len(cells) != 6:
			report("needs four cells: id, promise, shown by, state")
			continue
		case seen[id]:
			report("stands here a second time")
		case !slices.Contains(known, id):
			report("is no requirement")
		}
		seen[id] = true
		for _, finding := range judgeRow(strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3]), strings.TrimSpace(cells[4]), shows) {
			report("%s", finding)
		}
	}
	for _, id := range known {
		if !seen[id] {
			found = append(found, fmt.Sprintf("%s: %s has no row", requirementsFile, id))
		}
	}
	return found
}

// judgeRow says what is wrong with one row. Its state is "open" (nothing shows
// it), "partly" or "shown".
func judgeRow(promise, shownBy, state string, shows map[string]bool) []string {
	var found []string
	if promise == "" {
		found = append(found, "promises nothing")
	}
	names := quoted.FindAllStringSubmatch(shownBy, -1)
	switch state {
	case "open":
		if shownBy != "" {
			found = append(found, "is open, so nothing can show it")
		}
	case "partly", "shown":
		if len(names) == 0 {
			found = append(found, "is "+state+", so it needs the test that shows it, in backquotes")
		}
	default:
		found = append(found, fmt.Sprintf("has state %q: it is open, partly or shown", state))
	}
	for _, name := range names {
		if !shows[name[1]] {
			found = append(found, fmt.Sprintf("names %s, which is no test and no script", name[1]))
		}
	}
	return found
}

// documentedTest matches the name of a test in a document, in backquotes.
var documentedTest = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")

// checkDocuments finds tests that a document names and nobody wrote.
// REQUIREMENTS.md has a rule of its own.
func checkDocuments(t *tree) []string {
	var found []string
	shows := testNames(t)
	for _, name := range t.names(".md") {
		if name == requirementsFile {
			continue
		}
		for n, line := range strings.Split(string(t.files[name]), "\n") {
			for _, m := range documentedTest.FindAllStringSubmatch(line, -1) {
				if !shows[m[1]] {
					found = append(found, fmt.Sprintf("%s:%d: names %s, which is no test", name, n+1, m[1]))
				}
			}
		}
	}
	return found
}

func requirementIDs() []string {
	var ids []string
	for _, s := range requirementSections {
		for n := range s.last {
			ids = append(ids, fmt.Sprintf("%s%d", s.letter, n+1))
		}
	}
	return ids
}

// testNames returns what may show a requirement: test functions, alone or with
// their package's last name as in tree.TestMerge, and scripts by their path.
func testNames(t *tree) map[string]bool {
	names := map[string]bool{}
	for name, text := range t.files {
		switch {
		case strings.HasSuffix(name, "_test.go"):
			for _, m := range testFunc.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
				names[path.Base(path.Dir(name))+"."+string(m[1])] = true
			}
		case strings.HasSuffix(name, ".txtar"), strings.HasSuffix(name, ".sh"):
			names[name] = true
		}
	}
	return names
}
