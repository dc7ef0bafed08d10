package tidy

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// link matches a Markdown link or image, and its target.
var link = regexp.MustCompile(`\[[^\]]*\]\(([^()\s]+)\)`)

// checkLinks finds relative links in Markdown files that lead nowhere: to no
// file, or to no heading of one. Code is not looked at.
func checkLinks(t *tree) []string {
	var found []string
	for _, name := range t.names(".md") {
		for n, line := range prose(string(t.files[name])) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if finding := judgeLink(t, name, m[1]); finding != "" {
					found = append(found, fmt.Sprintf("%s:%d: link to %s: %s", name, n+1, m[1], finding))
				}
			}
		}
	}
	return found
}

func judgeLink(t *tree, from, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, heading, _ := strings.Cut(target, "#")
	to := from
	if file != "" {
		to = path.Join(path.Dir(from), file)
	}
	text, isFile := t.files[to]
	switch {
	case strings.HasPrefix(file, "/"), strings.HasPrefix(to, "../"):
		return "leads out of the repository"
	case !isFile && !t.hasDir(to):
		return "no such file"
	case heading != "" && (!isFile || !hasHeading(string(text), heading)):
		return "no such heading"
	}
	return ""
}

func (t *tree) hasDir(dir string) bool {
	for name := range t.files {
		if dir == "." || strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// prose returns the lines of a Markdown text, with those in code blocks blank
// and code in a line removed.
func prose(text string) []string {
	lines := strings.Split(text, "\n")
	fenced := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fenced || fence {
			lines[i] = ""
		}
		fenced = fenced != fence
		lines[i] = quoted.ReplaceAllString(lines[i], "")
	}
	return lines
}

// hasHeading reports whether a heading's anchor is the one given: lower case,
// spaces as dashes, no punctuation.
func hasHeading(text, anchor string) bool {
	for line := range strings.Lines(text) {
		title := strings.TrimLeft(line, "#")
		if title == line {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title))
		if slug == anchor {
			return true
		}
	}
	return false
}

const changelogFile = "CHANGELOG.md"

var (
	releaseHeading = regexp.MustCompile(`^## (?:Unreleased|\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\))$`)
	kindHeading    = regexp.MustCompile(`^### (?:Added|Changed|Deprecated|Removed|Fixed|Security)$`)
)

// checkChangelog finds what keeps the changelog from being read by a script:
// it opens with an Unreleased section, releases are "## 1.2.3 (2027-01-31)",
// kinds are the six known ones, and entries are list items that end in a stop.
func checkChangelog(t *tree) []string {
	text, ok := t.files[changelogFile]
	if !ok {
		return []string{changelogFile + ": is missing"}
	}
	var found []string
	report := func(line int, what string) {
		found = append(found, fmt.Sprintf("%s:%d: %s", changelogFile, line, what))
	}
	releases, inKind := 0, false
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "## "):
			if !releaseHeading.MatchString(line) {
				report(n+1, `a release is headed "## Unreleased" or "## 1.2.3 (2027-01-31)"`)
			}
			if (releases == 0) != (line == "## Unreleased") {
				report(n+1, "the first section, and no other, is Unreleased")
			}
			releases, inKind = releases+1, false
		case strings.HasPrefix(line, "### "):
			if !kindHeading.MatchString(line) {
				report(n+1, "a kind is Added, Changed, Deprecated, Removed, Fixed or Security")
			}
			inKind = true
		case releases > 0 && line != "" && !inKind:
			report(n+1, "an entry stands below a kind")
		case inKind && line != "" && !strings.HasPrefix(line, "- ") && !strings.HasPrefix(line, "  "):
			report(n+1, `an entry is a list item, "- What changed."`)
		}
	}
	if releases == 0 {
		report(1, "has no section Unreleased")
	}
	return found
}

// machinePatterns match what tells of the machine or network that a file came
// from. Brackets keep each pattern from matching itself.
var machinePatterns = []*regexp.Regexp{
	regexp.MustCompile(`(^|[^\w./])/(wor[k]|far[m])/(main|shared|steering|in)\b`),
	regexp.MustCompile(`(^|[^\w./])/(roo[t]|hom[e]/\w+|User[s]/\w+)/(go|src|\.cache|\.pyenv|Library)\b`),
	regexp.MustCompile(`/tm[p]/(h|bash_jobs)\b`),
	regexp.MustCompile(`\b(prox[y]|su[m])\.golang\.org\b`),
	regexp.MustCompile(`\bregistr[y]\.(npmjs|yarnpkg)\b`),
	regexp.MustCompile(`\b(de[b]|securit[y])\.debian\.org\b`),
	regexp.MustCompile(`\b(file[s]\.pythonhosted|pyp[i])\.org\b`),
}

// checkMachine finds paths of a build machine and hosts of package registries.
func checkMachine(t *tree) []string {
	var found []string
	for _, name := range t.names("") {
		if path.Base(name) == "go.sum" {
			continue
		}
		for n, line := range strings.Split(string(t.files[name]), "\n") {
			for _, p := range machinePatterns {
				if m := p.FindString(line); m != "" {
					found = append(found, fmt.Sprintf("%s:%d: %q tells of a machine, not of dvx", name, n+1, strings.TrimSpace(m)))
				}
			}
		}
	}
	return found
}
