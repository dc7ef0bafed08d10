package spec

import (
	"fmt"
	"maps"

	"github.com/dvx-io/dvx/pkg/commit"
)

// inputCheck checks the input of a pipeline, part by part.
type inputCheck struct {
	*checker
	pipeline string
	leaves   int
	taken    map[string]bool // names of parameters
}

// combined says in which combinations an input is that need keys.
type combined struct{ join, group bool }

// input checks what a pipeline reads.
func (c *checker) input(s Spec) {
	k := &inputCheck{checker: c, pipeline: s.Pipeline, taken: map[string]bool{}}
	for name := range s.Parameters {
		k.taken[name] = true
	}
	for name := range s.Sweep {
		k.taken[name] = true
	}
	k.part("input", s.Input, combined{}, 0)
	if k.leaves > InputLeavesMax {
		c.fail("input", "%d repos exceed the limit of %d", k.leaves, InputLeavesMax)
	}
	k.names("input", s.Input, inputNames{}, false)
}

// part checks an input at a depth.
func (k *inputCheck) part(at string, in Input, of combined, depth int) {
	kind, parts := in.Parts()
	switch {
	case kind == "":
		k.leaf(at, in, of)
		return
	case depth == InputDepthMax:
		k.fail(at, "more than %d combinations in each other", InputDepthMax)
		return
	case in.kinds() > 1:
		k.fail(at, "want one of repo, cross, union, join and group, found %d of them", in.kinds())
	case in.leafFields():
		k.fail(at, "fields of a single repo have no meaning beside %s: they belong to its parts", kind)
	}
	of.join, of.group = of.join || kind == "join", of.group || kind == "group"
	for i, p := range parts {
		at := fmt.Sprintf("%s.%s[%d]", at, kind, i)
		k.part(at, p, of, depth+1)
		if field := keyField(kind); field != "" && !p.hasKey(kind) {
			k.fail(at, "has no %s: say what of its paths is the key, as in glob /(*).csv with %s $1", field, field)
		}
	}
}

// keyField names the field that a combination takes keys from, "" if it needs
// none.
func keyField(kind string) string {
	switch kind {
	case "join":
		return "join_on"
	case "group":
		return "group_by"
	}
	return ""
}

// hasKey reports whether a leaf has a key for a combination.
func (in Input) hasKey(kind string) bool {
	for leaf := range in.Leaves() {
		if kind == "join" && leaf.JoinOn != "" || kind == "group" && leaf.GroupBy != "" {
			return true
		}
	}
	return false
}

// kinds counts what the input is.
func (in Input) kinds() int {
	n := 0
	for _, is := range []bool{in.Repo != "", len(in.Cross) > 0, len(in.Union) > 0, len(in.Join) > 0, len(in.Group) > 0} {
		if is {
			n++
		}
	}
	return n
}

func (in Input) leafFields() bool {
	return in.Name+in.Branch+in.Glob+in.JoinOn+in.GroupBy+in.Value+in.URL+in.Every != "" || in.Cron != nil || in.OuterJoin || in.Lazy || in.EmptyFiles || in.Reference
}

func (k *inputCheck) leaf(at string, in Input, of combined) {
	k.leaves++
	if in.Repo == "" {
		k.fail(at+".repo", "is missing: name the repo to read")
	} else {
		k.err(at+".repo", commit.CheckRepoName(in.Repo))
		if in.Repo == k.pipeline {
			k.fail(at+".repo", "a pipeline can't read its own output, %q", in.Repo)
		}
	}
	if in.Name != in.Repo {
		k.err(at+".name", commit.CheckRepoName(in.Name))
	}
	if in.Branch != "" {
		k.err(at+".branch", commit.CheckRefName(in.Branch))
	}
	k.source(at, in)
	if in.Lazy && in.EmptyFiles {
		k.fail(at+".lazy", "has no meaning with empty_files: nothing is read")
	}
	k.value(at+".value", in)
	if in.Glob == "" {
		k.fail(at+".glob", "is missing: / makes one datum of the whole repo, /* one of each entry")
		return
	}
	g, err := CompileGlob(in.Glob)
	k.err(at+".glob", err)
	if err == nil {
		k.key(at+".join_on", in.JoinOn, g, of.join, "join")
		k.key(at+".group_by", in.GroupBy, g, of.group, "group")
	}
	if err == nil && in.Reference && !g.single() {
		k.fail(at+".reference", "needs a glob that selects one thing, as / or /model.bin")
	}
	if in.OuterJoin && in.JoinOn == "" {
		k.fail(at+".outer_join", "has no meaning without join_on")
	}
}

// value checks the name that the text of an input has as a parameter.
func (k *inputCheck) value(at string, in Input) {
	if in.Value == "" {
		return
	}
	if reason := checkIdentifier(in.Value); reason != "" {
		k.fail(at, "the name %.80q %s", in.Value, reason)
	}
	if in.Lazy || in.EmptyFiles {
		k.fail(at, "has no meaning with lazy or empty_files: the text is read before the program starts")
	}
	if k.taken[in.Value] {
		k.fail(at, "there is a parameter %q already", in.Value)
	}
	k.taken[in.Value] = true
}

// key checks the template of a key.
func (k *inputCheck) key(at, text string, g *Glob, used bool, kind string) {
	if text == "" {
		return
	}
	k.text(at, text)
	if !used {
		k.fail(at, "has no meaning outside of a %s", kind)
		return
	}
	_, err := CompileTemplate(text, g.Groups())
	k.err(at, err)
}

// names checks that what one datum sees has names that can be told apart: only
// the parts of a union may share one, unless a group sees them together.
func (k *inputCheck) names(at string, in Input, seen inputNames, together bool) {
	kind, parts := in.Parts()
	if kind == "" {
		if problem := seen.add(in.Name); problem != "" && in.Name != "" {
			k.fail(at+".name", "%s", problem)
		}
		return
	}
	all := inputNames{}
	for i, p := range parts {
		at := fmt.Sprintf("%s.%s[%d]", at, kind, i)
		if kind != "union" || together {
			k.names(at, p, seen, together || kind == "group")
			continue
		}
		own := maps.Clone(seen)
		k.names(at, p, own, false)
		maps.Copy(all, own)
	}
	maps.Copy(seen, all)
}
