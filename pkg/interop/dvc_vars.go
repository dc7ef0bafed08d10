package interop

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// dvcVars are objects with the values that ${…} stands for. The last that has
// one counts.
type dvcVars []*yaml.Node

// dvcNodesMax bounds the values that one stage is made of, for aliases may stand
// for aliases.
const dvcNodesMax = 100_000

// dvcRef is what stands for a value, or with a \ for itself.
var dvcRef = regexp.MustCompile(`\\?\$\{[^{}]*\}`)

// refName returns the name in a dvcRef, "" if it stands for itself.
func refName(ref string) string {
	if strings.HasPrefix(ref, `\`) {
		return ""
	}
	return strings.TrimSpace(ref[2 : len(ref)-1])
}

// lookup returns the value of a name like train.rates[0].
func (v dvcVars) lookup(name string) *yaml.Node {
	var parts []string
	for _, part := range strings.Split(name, ".") {
		at, index, _ := strings.Cut(part, "[")
		parts = append(parts, at)
		for index != "" {
			var i string
			i, index, _ = strings.Cut(index, "]")
			parts = append(parts, i)
			index = strings.TrimPrefix(index, "[")
		}
	}
	for _, n := range slices.Backward(v) {
		for _, part := range parts {
			n = field(n, part)
		}
		if n != nil {
			return n
		}
	}
	return nil
}

// field returns what an object has under a name, or a list at a place; nil if it
// has nothing there.
func field(n *yaml.Node, name string) *yaml.Node {
	if n = followed(n); n == nil {
		return nil
	}
	if i, err := strconv.Atoi(name); err == nil && n.Kind == yaml.SequenceNode && i >= 0 && i < len(n.Content) {
		return followed(n.Content[i])
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return followed(n.Content[i+1])
		}
	}
	return nil
}

// without returns an object without some of its fields.
func without(n *yaml.Node, names ...string) *yaml.Node {
	out := *n
	out.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !slices.Contains(names, n.Content[i].Value) {
			out.Content = append(out.Content, n.Content[i], n.Content[i+1])
		}
	}
	return &out
}

// followed returns what a document holds or an alias stands for.
func followed(n *yaml.Node) *yaml.Node {
	switch {
	case n != nil && n.Kind == yaml.AliasNode:
		return n.Alias
	case n != nil && n.Kind == yaml.DocumentNode && len(n.Content) > 0:
		return n.Content[0]
	}
	return n
}

// resolve returns a copy of a value with all values that it refers to put in.
func (v dvcVars) resolve(n *yaml.Node) (*yaml.Node, error) {
	budget := dvcNodesMax
	return v.copied(n, &budget)
}

func (v dvcVars) copied(n *yaml.Node, budget *int) (*yaml.Node, error) {
	if n = followed(n); n == nil {
		return nil, nil
	}
	if *budget--; *budget < 0 {
		return nil, fmt.Errorf("more than %d values", dvcNodesMax)
	}
	out := *n
	out.Anchor = ""
	if n.Kind == yaml.ScalarNode {
		return v.scalar(out)
	}
	out.Content = nil
	for _, c := range n.Content {
		c, err := v.copied(c, budget)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, c)
	}
	return &out, nil
}

// scalar returns a text with its values put in; one that is nothing but a
// reference becomes what it refers to.
func (v dvcVars) scalar(n yaml.Node) (*yaml.Node, error) {
	if ref := dvcRef.FindString(n.Value); ref != "" && ref == strings.TrimSpace(n.Value) && refName(ref) != "" {
		if found := v.lookup(refName(ref)); found != nil {
			return found, nil
		}
	}
	var wrong error
	text := dvcRef.ReplaceAllStringFunc(n.Value, func(ref string) string {
		name := refName(ref)
		if name == "" {
			return strings.TrimPrefix(ref, `\`)
		}
		found := v.lookup(name)
		if found == nil || found.Kind != yaml.ScalarNode {
			wrong = fmt.Errorf("%s: params.yaml and vars have no single value of that name", ref)
			return ref
		}
		return found.Value
	})
	if text != n.Value {
		n.Value, n.Tag = text, "!!str"
	}
	return &n, wrong
}

// dvcItem is one of several that a stage stands for.
type dvcItem struct {
	suffix string
	scope  *yaml.Node // item, and key
}

// item returns an item with its values as an object.
func item(suffix, key string, value *yaml.Node) dvcItem {
	scope := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	scope.Content = append(scope.Content, text("item"), value, text("key"), text(key))
	return dvcItem{suffix, scope}
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// each returns the items of a foreach: those of a list are called by their text,
// or their number if they have parts, and those of an object by their names.
func (v dvcVars) each(n *yaml.Node) ([]dvcItem, error) {
	n, err := v.resolve(n)
	if err != nil {
		return nil, err
	}
	var out []dvcItem
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			c = followed(c)
			out = append(out, item(suffix("", i, c), "", c))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := followed(n.Content[i]).Value
			out = append(out, item(key, key, followed(n.Content[i+1])))
		}
	default:
		return nil, fmt.Errorf("foreach: want a list or names with values, found %q", n.Value)
	}
	return out, nil
}

// suffix is what an item is called by: its text, or its number after a prefix.
func suffix(prefix string, i int, n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return prefix + strconv.Itoa(i)
}

// settings returns all settings of a matrix, called by their values.
func (v dvcVars) settings(n *yaml.Node) ([]dvcItem, error) {
	n, err := v.resolve(n)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return nil, errors.New("matrix: want names with lists of values")
	}
	type setting struct {
		names  []string
		values []*yaml.Node
	}
	all := []setting{{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, list := followed(n.Content[i]), followed(n.Content[i+1])
		if list.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("matrix: %s: want a list", name.Value)
		}
		if len(all)*len(list.Content) > dvcStagesMax {
			return nil, fmt.Errorf("matrix: more than %d stages", dvcStagesMax)
		}
		var next []setting
		for _, s := range all {
			for j, c := range list.Content {
				c = followed(c)
				next = append(next, setting{append(slices.Clip(s.names), suffix(name.Value, j, c)), append(slices.Clip(s.values), name, c)})
			}
		}
		all = next
	}
	var out []dvcItem
	for _, s := range all {
		key := strings.Join(s.names, "-")
		out = append(out, item(key, key, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: s.values}))
	}
	return out, nil
}

// line returns a line of the command. Values of the whole file become
// parameters, those of an item are put in; what is no value is the shell's.
func (c *dvcCmd) line(s string) string {
	var b strings.Builder
	at := 0
	for _, found := range dvcRef.FindAllStringIndex(s, -1) {
		b.WriteString(literal(s[at:found[0]]))
		ref := s[found[0]:found[1]]
		b.WriteString(c.ref(ref, strings.HasSuffix(b.String(), "$")))
		at = found[1]
	}
	b.WriteString(literal(s[at:]))
	return b.String()
}

// ref returns what stands for a value in a spec's command. After a $ it can be
// no parameter.
func (c *dvcCmd) ref(ref string, plain bool) string {
	name := refName(ref)
	if name == "" {
		return literal(strings.TrimPrefix(ref, `\`))
	}
	n := c.st.vars.lookup(name)
	switch {
	case n == nil:
		c.p.out.note(c.st.pipeline, "cmd", ref+" is no value of params.yaml or vars: it stands as it is, for the shell")
		return literal(ref)
	case n.Kind != yaml.ScalarNode:
		whole, err := c.st.vars.resolve(n)
		if err != nil {
			c.p.out.note(c.st.pipeline, "cmd", fmt.Sprintf("%s could not be put in: %v", ref, err))
			return literal(ref)
		}
		return literal(options("", whole))
	case plain || c.p.vars.lookup(name) != n:
		return literal(n.Value)
	}
	param := paramSpecials.ReplaceAllString(name, "_")
	if of, ok := c.of[param]; ok && of != name || param[0] >= '0' && param[0] <= '9' {
		return literal(n.Value)
	}
	c.of[param], c.params[param] = name, n.Value
	return "${" + param + "}"
}

// paramSpecials are what the name of a parameter can't have.
var paramSpecials = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// options returns an object as options of a command: --name value, a list as
// several values, true as the option alone.
func options(prefix string, n *yaml.Node) string {
	var out []string
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		name, value := prefix+followed(n.Content[i]).Value, followed(n.Content[i+1])
		switch {
		case value.Kind == yaml.MappingNode:
			out = append(out, options(name+".", value))
		case value.Kind == yaml.SequenceNode:
			out = append(out, "--"+name)
			for _, c := range value.Content {
				out = append(out, argument(followed(c)))
			}
		case value.Tag == "!!bool" && strings.EqualFold(value.Value, "true"):
			out = append(out, "--"+name)
		case value.Tag == "!!bool":
		default:
			out = append(out, "--"+name, argument(value))
		}
	}
	return strings.Join(out, " ")
}

// argument returns a value as a word, quoted where the shell needs that.
func argument(n *yaml.Node) string {
	if n.Value != "" && !strings.ContainsAny(n.Value, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
		return n.Value
	}
	return quoted(n.Value)
}
