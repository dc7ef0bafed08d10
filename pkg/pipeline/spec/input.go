package spec

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// Limits of an input.
const (
	InputDepthMax  = 8   // combinations in combinations
	InputLeavesMax = 100 // repos that a pipeline reads
)

// Input says what a pipeline reads and which parts of it its datums are. It is
// either a leaf, which reads a repo, or one combination of others.
type Input struct {
	Repo   string `json:"repo,omitempty"`
	Name   string `json:"name,omitempty"`   // folder below in/; the repo's name by default
	Branch string `json:"branch,omitempty"` // the pipeline's own branch by default
	Glob   string `json:"glob,omitempty"`

	JoinOn     string `json:"join_on,omitempty"`     // in a join: template of the key
	OuterJoin  bool   `json:"outer_join,omitempty"`  // in a join: also what has no partner
	GroupBy    string `json:"group_by,omitempty"`    // in a group: template of the key
	Lazy       bool   `json:"lazy,omitempty"`        // files are named pipes, read when the program reads them
	EmptyFiles bool   `json:"empty_files,omitempty"` // files have names and no bytes
	Reference  bool   `json:"reference,omitempty"`   // a change runs nothing again
	Value      string `json:"value,omitempty"`       // parameter whose value is the text of the one file that is selected

	Cron  *Cron  `json:"cron,omitempty"`  // files that a clock makes, in a repo of the pipeline's own
	URL   string `json:"url,omitempty"`   // a file from elsewhere (http, https, s3), in a repo of the pipeline's own
	Every string `json:"every,omitempty"` // Go duration: how often the file is asked for again; only once by default

	Cross []Input `json:"cross,omitempty"` // each with each
	Union []Input `json:"union,omitempty"` // one or the other
	Join  []Input `json:"join,omitempty"`  // those of one key, each with each
	Group []Input `json:"group,omitempty"` // all of one key together
}

// IsLeaf reports whether the input reads something itself.
func (in Input) IsLeaf() bool {
	return len(in.Cross)+len(in.Union)+len(in.Join)+len(in.Group) == 0
}

// Parts returns what a combination combines, and its kind: cross, union, join
// or group. The kind of a leaf is empty.
func (in Input) Parts() (kind string, parts []Input) {
	switch {
	case len(in.Cross) > 0:
		return "cross", in.Cross
	case len(in.Union) > 0:
		return "union", in.Union
	case len(in.Join) > 0:
		return "join", in.Join
	case len(in.Group) > 0:
		return "group", in.Group
	}
	return "", nil
}

// Leaves yields the leaves of the input, from left to right: what a pipeline's
// heads, provenance and datums are in the order of.
func (in Input) Leaves() iter.Seq[Input] {
	return func(yield func(Input) bool) { in.leaves(yield) }
}

func (in Input) leaves(yield func(Input) bool) bool {
	kind, parts := in.Parts()
	if kind == "" {
		return yield(in)
	}
	for _, p := range parts {
		if !p.leaves(yield) {
			return false
		}
	}
	return true
}

// SameDatums reports whether two inputs select the same datums of the same
// trees: of a single leaf, the repo and branch do not matter.
func (in Input) SameDatums(other Input) bool {
	if in.IsLeaf() && other.IsLeaf() {
		in.Repo, in.Branch = other.Repo, other.Branch
	}
	return reflect.DeepEqual(in, other)
}

// Sourced reports whether the engine itself fills the repo of a leaf.
func (in Input) Sourced() bool { return in.Cron != nil || in.URL != "" }

// withDefaults fills in the defaults of an input of a pipeline. The repo of a
// sourced leaf is PIPELINE_NAME, and each file at its top is a datum.
func (in Input) withDefaults(pipeline string) Input {
	switch {
	case in.Name != "" || in.Repo != "":
	case in.Cron != nil:
		in.Name = "cron"
	case in.URL != "":
		in.Name = "url"
	}
	if in.Sourced() {
		in.Repo, in.Glob = cmp.Or(in.Repo, pipeline+"_"+in.Name), cmp.Or(in.Glob, "/*")
	}
	if in.Name == "" {
		in.Name = in.Repo
	}
	if in.Cron != nil && in.Cron.Missed == "all" {
		c := *in.Cron
		c.Missed = ""
		in.Cron = &c
	}
	for _, list := range []*[]Input{&in.Cross, &in.Union, &in.Join, &in.Group} {
		*list = slices.Clone(*list)
		for i, part := range *list {
			(*list)[i] = part.withDefaults(pipeline)
		}
	}
	return in
}

// EnvName turns an input's name into the middle of DVX_INPUT_<NAME>_URL:
// letters are upper case, and what is neither letter nor digit is _.
func EnvName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
}

// inputNames finds two inputs of a datum that would have one name.
type inputNames map[string]string // what the environment calls it: the name

// add notes a name, or says which one it can't be told from.
func (n inputNames) add(name string) (problem string) {
	env := EnvName(name)
	other, taken := n[env]
	n[env] = name
	switch {
	case taken && other == name:
		return fmt.Sprintf("two inputs of a datum are called %q: give one of them another name", name)
	case taken:
		return fmt.Sprintf("inputs %q and %q would both be DVX_INPUT_%s_URL: give one of them another name", other, name, env)
	}
	return ""
}
