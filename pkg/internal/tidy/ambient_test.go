package tidy

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// ambientNames are the functions that bring in time or chance from nowhere, by
// import path. An empty list means every function but the constructors.
var ambientNames = map[string][]string{
	"time":         {"Now", "Since", "Until", "Sleep", "Tick"},
	"math/rand":    nil,
	"math/rand/v2": nil,
	"crypto/rand":  {"Read", "Int", "Prime", "Text", "Reader"},
}

// seeded are the names of the rand packages that take their seed as a value.
var seeded = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}

// ambientAllowed are the files that may do so all the same, and why.
var ambientAllowed = map[string]string{
	"pkg/rpc/scope.go": "the token of a scope must be unguessable, and no run depends on it",
}

// checkAmbient finds uses of the clock and of unseeded chance outside binaries,
// benchmarks and tests, also as a value: a default is filled in where the program starts.
func checkAmbient(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if g.supportsTests() || g.generated || within(g.path, "cmd") || within(g.path, "test/bench") || within(g.path, "test/kube") || within(g.path, "test/mutants") {
			continue
		}
		uses := ambientUses(t, g)
		switch allowed := ambientAllowed[g.path] != ""; {
		case !allowed:
			found = append(found, uses...)
		case len(uses) == 0:
			found = append(found, fmt.Sprintf("ambientAllowed: %s needs no exception any more", g.path))
		}
	}
	return found
}

func ambientUses(t *tree, g *goFile) []string {
	var found []string
	names := importNames(g.ast)
	ast.Inspect(g.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if ok && isAmbient(names[pkg.Name], sel.Sel.Name) {
			found = append(found, fmt.Sprintf("%s: %s.%s comes from nowhere: take the clock or the seed as a value",
				t.at(sel.Pos()), pkg.Name, sel.Sel.Name))
		}
		return true
	})
	return found
}

func isAmbient(imported, name string) bool {
	banned, ok := ambientNames[imported]
	if !ok {
		return false
	}
	if banned == nil {
		return !slices.Contains(seeded, name)
	}
	return slices.Contains(banned, name)
}

// importNames maps the names under which a file knows its imports to their paths.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := imported[strings.LastIndex(imported, "/")+1:]
		if imported == "math/rand/v2" {
			name = "rand"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imported
	}
	return names
}

// checkInit finds functions that run because a package was imported, and imports
// for their effect alone.
func checkInit(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if g.generated {
			continue
		}
		for _, decl := range g.ast.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				found = append(found, fmt.Sprintf("%s: has an init: let the caller say when", t.at(d.Pos())))
			}
		}
		for _, spec := range g.ast.Imports {
			if spec.Name != nil && spec.Name.Name == "_" && spec.Path.Value != `"embed"` && !g.test {
				found = append(found, fmt.Sprintf("%s: imports %s for its effect alone", t.at(spec.Pos()), spec.Path.Value))
			}
		}
	}
	return found
}
