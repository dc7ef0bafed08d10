package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func cmdDag(a *app) *cobra.Command {
	format := "tree"
	cmd := &cobra.Command{
		Use:   "dag [REPO[@BRANCH]|PIPELINE[@BRANCH]]",
		Short: "Draw the graph of pipelines",
		Long: `Draw which pipelines read which repos, with how they stand: all, or those that lead to a branch or depend on it.
Formats: tree (the default: a repo with what reads it below it), dot (Graphviz), mermaid, and json.`,
		Example: `  dvx dag
  dvx dag images@main
  dvx dag --format dot | dot -Tsvg >dag.svg`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.dag(cmd.Context(), args, format) },
	}
	cmd.Flags().StringVar(&format, "format", format, "tree, dot, mermaid or json")
	return cmd
}

// dagNode is a branch of a repo in the graph.
type dagNode struct {
	Repo   string    `json:"repo"`
	Branch string    `json:"branch"`
	Kind   string    `json:"kind"` // source or pipeline
	State  string    `json:"state,omitempty"`
	Reads  []dagEdge `json:"reads,omitempty"`
}

// dagEdge is an input of a pipeline.
type dagEdge struct {
	Input  string `json:"input"`
	Repo   string `json:"repo"`
	Branch string `json:"branch"`
}

func (n dagNode) name() string { return n.Repo + "@" + n.Branch }
func (e dagEdge) name() string { return e.Repo + "@" + e.Branch }

// dag is the graph of pipelines.
type dag struct {
	nodes []dagNode // sorted by name
	users map[string][]string
}

func (a *app) dag(ctx context.Context, args []string, format string) error {
	list, err := a.pipelines(ctx)
	if err != nil {
		return err
	}
	g := newDag(list)
	if len(args) > 0 {
		name, branch := splitPipeline(args[0])
		if g, err = g.around(name + "@" + branch); err != nil {
			return err
		}
	}
	if a.json || format == "json" {
		a.json = true
		return a.print(g.nodes, nil)
	}
	draw, ok := map[string]func(io.Writer) error{"tree": g.tree, "dot": g.dot, "mermaid": g.mermaid}[format]
	if !ok {
		return usagef("--format %q: want tree, dot, mermaid or json", format)
	}
	return draw(a.out)
}

func newDag(list []pipelineInfo) *dag {
	g := &dag{users: map[string][]string{}}
	seen := map[string]bool{}
	for _, p := range list {
		n := dagNode{Repo: p.Pipeline, Branch: p.Branch, Kind: "pipeline", State: p.State}
		for _, in := range p.Inputs {
			n.Reads = append(n.Reads, dagEdge{Input: in.Name, Repo: in.Repo, Branch: in.Branch})
		}
		seen[n.name()] = true
		g.nodes = append(g.nodes, n)
	}
	for _, n := range slices.Clone(g.nodes) {
		for _, e := range n.Reads {
			if !slices.Contains(g.users[e.name()], n.name()) {
				g.users[e.name()] = append(g.users[e.name()], n.name())
			}
			if !seen[e.name()] {
				seen[e.name()] = true
				g.nodes = append(g.nodes, dagNode{Repo: e.Repo, Branch: e.Branch, Kind: "source"})
			}
		}
	}
	slices.SortFunc(g.nodes, func(x, y dagNode) int { return strings.Compare(x.name(), y.name()) })
	return g
}

// around returns the part of the graph that leads to a node or depends on it.
func (g *dag) around(name string) (*dag, error) {
	at := map[string]dagNode{}
	for _, n := range g.nodes {
		at[n.name()] = n
	}
	if _, ok := at[name]; !ok {
		return nil, usagef("no pipeline reads or makes %s; dvx dag shows all", name)
	}
	keep := map[string]bool{}
	var up, down func(string)
	up = func(n string) {
		keep[n] = true
		for _, e := range at[n].Reads {
			if !keep[e.name()] {
				up(e.name())
			}
		}
	}
	below := map[string]bool{}
	down = func(n string) {
		below[n] = true
		for _, u := range g.users[n] {
			if !below[u] {
				down(u)
			}
		}
	}
	up(name)
	down(name)
	part := &dag{users: map[string][]string{}}
	for _, n := range g.nodes {
		if keep[n.name()] || below[n.name()] {
			part.nodes = append(part.nodes, n)
		}
	}
	for n, users := range g.users {
		part.users[n] = slices.DeleteFunc(slices.Clone(users), func(u string) bool { return !keep[u] && !below[u] })
	}
	return part, nil
}

// label names a node for people.
func (n dagNode) label() string {
	if n.State == "" {
		return n.name()
	}
	return n.name() + " (" + n.State + ")"
}

// tree draws what reads a repo below it. What several inputs lead to is drawn
// once, and named elsewhere.
func (g *dag) tree(w io.Writer) error {
	at := map[string]dagNode{}
	for _, n := range g.nodes {
		at[n.name()] = n
	}
	var b strings.Builder
	drawn := map[string]bool{}
	var draw func(name, lead, mark string)
	draw = func(name, lead, mark string) {
		again := drawn[name] && len(g.users[name]) > 0
		b.WriteString(lead + mark + printable(at[name].label()))
		if again {
			b.WriteString(" …as above")
		}
		b.WriteString("\n")
		if drawn[name] = true; again {
			return
		}
		switch mark {
		case "├─ ":
			lead += "│  "
		case "└─ ":
			lead += "   "
		}
		for i, u := range g.users[name] {
			mark := "├─ "
			if i == len(g.users[name])-1 {
				mark = "└─ "
			}
			draw(u, lead, mark)
		}
	}
	for _, n := range g.nodes {
		inside := slices.ContainsFunc(n.Reads, func(e dagEdge) bool { _, ok := at[e.name()]; return ok })
		if !inside {
			draw(n.name(), "", "")
		}
	}
	for _, n := range g.nodes { // only a cycle is left
		if !drawn[n.name()] {
			draw(n.name(), "", "")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (g *dag) dot(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph dvx {\n  rankdir=LR;\n")
	for _, n := range g.nodes {
		shape := "box"
		if n.Kind == "source" {
			shape = "folder"
		}
		fmt.Fprintf(&b, "  %q [shape=%s, label=%q];\n", n.name(), shape, n.label())
	}
	for _, n := range g.nodes {
		for _, e := range n.Reads {
			fmt.Fprintf(&b, "  %q -> %q;\n", e.name(), n.name())
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (g *dag) mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("graph LR\n")
	id := map[string]string{}
	for i, n := range g.nodes {
		id[n.name()] = fmt.Sprintf("n%d", i)
		if n.Kind == "source" {
			fmt.Fprintf(&b, "  n%d[(%q)]\n", i, n.label())
		} else {
			fmt.Fprintf(&b, "  n%d[%q]\n", i, n.label())
		}
	}
	for _, n := range g.nodes {
		for _, e := range n.Reads {
			if from := id[e.name()]; from != "" {
				fmt.Fprintf(&b, "  %s --> %s\n", from, id[n.name()])
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
