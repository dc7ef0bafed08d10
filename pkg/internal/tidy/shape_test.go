package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"slices"
	"strings"
)

// What still fits the head.
const (
	interfaceMethodsMax = 6
	fileLinesMax        = 800
	funcLinesMax        = 80
	constructorArgsMax  = 4
)

// wideInterfaces are the interfaces that may have more methods, and why.
var wideInterfaces = map[string]string{}

// checkInterfaces finds interfaces with too many methods, counting what they
// embed from their own package, and exceptions that are no longer needed.
func checkInterfaces(t *tree) []string {
	return interfacesOver(t, interfaceMethodsMax, wideInterfaces)
}

func interfacesOver(t *tree, most int, exceptions map[string]string) []string {
	var found []string
	used := map[string]bool{}
	dirs, byDir := t.packages()
	for _, dir := range dirs {
		contracts := map[string]*ast.InterfaceType{}
		var specs []*ast.TypeSpec
		for _, g := range byDir[dir] {
			if g.generated {
				continue
			}
			ast.Inspect(g.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok {
					if c, ok := s.Type.(*ast.InterfaceType); ok {
						contracts[s.Name.Name] = c
						specs = append(specs, s)
					}
				}
				return true
			})
		}
		for _, s := range specs {
			n := methodCount(contracts, s.Name.Name, 0)
			name := dir + "." + s.Name.Name
			if n > most && exceptions[name] == "" {
				found = append(found, fmt.Sprintf("%s: interface %s has %d methods, at most %d: split it, or make extras optional",
					t.at(s.Pos()), s.Name.Name, n, most))
			}
			used[name] = n > most
		}
	}
	for name := range exceptions {
		if dir, _, _ := strings.Cut(name, "."); !used[name] && byDir[dir] != nil {
			found = append(found, fmt.Sprintf("wideInterfaces: %s needs no exception any more", name))
		}
	}
	return found
}

// methodCount counts an interface's methods; an embedded interface of another
// package counts as one.
func methodCount(contracts map[string]*ast.InterfaceType, name string, depth int) int {
	c := contracts[name]
	if c == nil || depth > len(contracts) {
		return 1
	}
	n := 0
	for _, m := range c.Methods.List {
		switch e := m.Type.(type) {
		case *ast.FuncType:
			n += len(m.Names)
		case *ast.Ident:
			n += methodCount(contracts, e.Name, depth+1)
		case *ast.SelectorExpr:
			n++
		}
	}
	return n
}

// checkLength finds files and functions that are too long.
func checkLength(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if !g.product() {
			continue
		}
		if n := bytes.Count(g.src, []byte("\n")); n > fileLinesMax {
			found = append(found, fmt.Sprintf("%s: %d lines, at most %d: split it by what it is about", g.path, n, fileLinesMax))
		}
		ast.Inspect(g.ast, func(n ast.Node) bool {
			d, ok := n.(*ast.FuncDecl)
			if !ok {
				return true
			}
			if lines := t.fset.Position(d.End()).Line - t.fset.Position(d.Pos()).Line + 1; lines > funcLinesMax {
				found = append(found, fmt.Sprintf("%s: function %s has %d lines, at most %d", t.at(d.Pos()), d.Name.Name, lines, funcLinesMax))
			}
			return true
		})
	}
	return found
}

// checkConstructors finds constructors whose arguments nobody can tell apart.
func checkConstructors(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		for _, decl := range g.ast.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || !g.product() || d.Recv != nil || !strings.HasPrefix(d.Name.Name, "New") && !strings.HasPrefix(d.Name.Name, "Open") {
				continue
			}
			if n := d.Type.Params.NumFields(); n > constructorArgsMax {
				found = append(found, fmt.Sprintf("%s: %s takes %d arguments, at most %d: put some in an Options struct",
					t.at(d.Pos()), d.Name.Name, n, constructorArgsMax))
			}
		}
	}
	return found
}

// codecFiles are the openings of file names that mean a persisted layout.
var codecFiles = []string{"encode", "decode", "codec", "format"}

// checkFormat finds packages that write a layout without a FORMAT.md, or with
// one that has no Changes list, or without a fuzz target for the decoder.
func checkFormat(t *tree) []string {
	var found []string
	dirs, byDir := t.packages()
	for _, dir := range dirs {
		isCodec := func(g *goFile) bool {
			return g.product() && slices.ContainsFunc(codecFiles, func(p string) bool { return strings.HasPrefix(path.Base(g.path), p) })
		}
		i := slices.IndexFunc(byDir[dir], isCodec)
		if i < 0 {
			continue
		}
		text, ok := t.files[path.Join(dir, "FORMAT.md")]
		switch {
		case !ok:
			found = append(found, fmt.Sprintf("%s: the layout that it writes is not described in a FORMAT.md beside it", byDir[dir][i].path))
		case !bytes.Contains(text, []byte("\n## Changes\n")):
			found = append(found, fmt.Sprintf("%s/FORMAT.md: has no section \"## Changes\"", dir))
		}
		if !slices.ContainsFunc(byDir[dir], func(g *goFile) bool { return g.test && bytes.Contains(g.src, []byte("\nfunc Fuzz")) }) {
			found = append(found, fmt.Sprintf("%s: has a codec and no fuzz target", dir))
		}
	}
	return found
}

// emptyNames say nothing about what a package holds.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "base", "misc", "types", "shared", "lib"}

// checkNames finds packages named for nothing, or otherwise than their folder.
func checkNames(t *tree) []string {
	var found []string
	dirs, byDir := t.packages()
	for _, dir := range dirs {
		if slices.Contains(emptyNames, path.Base(dir)) {
			found = append(found, fmt.Sprintf("%s: name the package for what it holds", dir))
		}
		for _, g := range byDir[dir] {
			name := strings.TrimSuffix(g.ast.Name.Name, "_test")
			if !g.generated && name != "main" && name != path.Base(dir) && dir != "." && !versioned(dir, name) {
				found = append(found, fmt.Sprintf("%s: package %s lies in a folder of another name", g.path, name))
			}
		}
	}
	return found
}

// versioned reports whether name joins the last two parts of dir, as in
// proto/dvx/v1 and dvxv1.
func versioned(dir, name string) bool {
	return path.Base(path.Dir(dir))+path.Base(dir) == name
}

// suites are the conformance suites, and below which package each
// implementation of the contract lies.
var suites = []struct{ suite, below string }{
	{"pkg/objstore/objstoretest", "pkg/objstore"},
}

// checkSuites finds implementations whose tests do not run their suite.
func checkSuites(t *tree) []string {
	var found []string
	dirs, byDir := t.packages()
	for _, s := range suites {
		for _, dir := range dirs {
			if path.Dir(dir) != s.below || isSuite(dir) || !implementsStore(byDir[dir]) {
				continue
			}
			runs := func(g *goFile) bool {
				return g.test && slices.ContainsFunc(g.ast.Imports, func(i *ast.ImportSpec) bool {
					return i.Path.Value == `"`+modulePath+"/"+s.suite+`"`
				})
			}
			if !slices.ContainsFunc(byDir[dir], runs) {
				found = append(found, fmt.Sprintf("%s: has a Store whose tests do not run %s", dir, s.suite))
			}
		}
	}
	return found
}

// implementsStore reports whether the package has methods Put and List.
func implementsStore(files []*goFile) bool {
	methods := map[string]bool{}
	for _, g := range files {
		for _, decl := range g.ast.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv != nil && g.product() {
				methods[d.Name.Name] = true
			}
		}
	}
	return methods["Put"] && methods["List"]
}

// checkGofmt finds files that gofmt would change.
func checkGofmt(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if out, err := format.Source(g.src); err != nil || !bytes.Equal(out, g.src) {
			found = append(found, fmt.Sprintf("%s: run gofmt -w on it", g.path))
		}
	}
	return found
}
