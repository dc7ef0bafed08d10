package tidy

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// modulePath is the import path that every package of ours starts with.
const modulePath = "github.com/dvx-io/dvx"

// A tree is a source tree, read once and shared by all rules.
type tree struct {
	fset  *token.FileSet
	files map[string][]byte // every text file by slash path
	gos   []*goFile         // the Go files of this module, by path
}

// A goFile is one parsed Go file of the module.
type goFile struct {
	path      string
	src       []byte
	ast       *ast.File
	test      bool // its name ends in _test.go
	generated bool // a tool wrote it
}

// dir returns the file's folder, "." for the module's root.
func (g *goFile) dir() string { return path.Dir(g.path) }

// supportsTests reports whether the file belongs to tests alone: a test file,
// or part of a conformance suite, a package whose name ends in test.
func (g *goFile) supportsTests() bool { return g.test || isSuite(g.dir()) }

// product reports whether a person wrote the file for the product.
func (g *goFile) product() bool { return !g.test && !g.generated }

// imports yields the import paths of the file, with their positions.
func (g *goFile) imports(visit func(imported string, pos token.Pos)) {
	for _, spec := range g.ast.Imports {
		if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
			visit(imported, spec.Pos())
		}
	}
}

// isSuite reports whether the package at dir is a conformance suite.
func isSuite(dir string) bool {
	name := path.Base(dir)
	return strings.HasSuffix(name, "test") && name != "test"
}

// at returns "path:line" of a position.
func (t *tree) at(pos token.Pos) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// load reads every text file below fsys, and parses the Go files that belong to
// this module.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), files: map[string][]byte{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipDir(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || name == ".git" { // of a linked work tree, a file
			return nil
		}
		if err := t.add(fsys, name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil // what another test writes here and removes
	})
	if err != nil {
		return nil, err
	}
	return t, t.parse()
}

// skipDir reports whether a folder holds nothing that was written here.
func skipDir(name string) bool {
	base := path.Base(name)
	switch {
	case name == ".", name == ".ci":
		return false
	case name == "bin", name == "dist", name == "vendor", base == "node_modules":
		return true
	}
	return strings.HasPrefix(base, ".")
}

// sizeBytesMax bounds the files that are looked at: longer ones are data.
const sizeBytesMax = 1 << 20

func (t *tree) add(fsys fs.FS, name string) error {
	if info, err := fs.Stat(fsys, name); err != nil || info.Size() > sizeBytesMax {
		return err
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
		t.files[name] = b
	}
	return nil
}

func (t *tree) parse() error {
	for _, name := range t.names(".go") {
		src := t.files[name]
		if t.foreign(name) || strings.Contains("/"+name, "/testdata/") || neverBuilt(src) {
			continue
		}
		f, err := parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.gos = append(t.gos, &goFile{
			path: name, src: src, ast: f,
			test:      strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(f),
		})
	}
	return nil
}

// names returns the sorted paths of the text files that end in suffix.
func (t *tree) names(suffix string) []string {
	var names []string
	for name := range t.files {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// foreign reports whether a module of its own holds the file.
func (t *tree) foreign(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t.files[dir+"/go.mod"]; ok {
			return true
		}
	}
	return false
}

// neverBuilt reports whether a build constraint keeps the file out of every
// build, as it does for generators and for lists of dependencies.
func neverBuilt(src []byte) bool {
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "package ") {
			return false
		}
		if !constraint.IsGoBuild(line) {
			continue
		}
		expr, err := constraint.Parse(line)
		return err == nil && !expr.Eval(func(tag string) bool { return tag != "ignore" && tag != "deps" })
	}
	return false
}

// packages groups the Go files by folder, in order.
func (t *tree) packages() (dirs []string, byDir map[string][]*goFile) {
	byDir = map[string][]*goFile{}
	for _, g := range t.gos {
		if byDir[g.dir()] == nil {
			dirs = append(dirs, g.dir())
		}
		byDir[g.dir()] = append(byDir[g.dir()], g)
	}
	sort.Strings(dirs)
	return dirs, byDir
}

func TestLoadLeavesOut(t *testing.T) {
	got := parseArchive(t, "load", `
-- a.go --
package a
-- gen.go --
//go:build ignore

package main
-- tools/go.mod --
module x
-- tools/t.go --
package t
-- testdata/b.go --
not Go
-- .cache/c.go --
not Go
-- pkg/x/x_test.go --
package x
`)
	var names []string
	for _, g := range got.gos {
		names = append(names, g.path)
	}
	if want := "a.go pkg/x/x_test.go"; strings.Join(names, " ") != want {
		t.Errorf("loaded %q, want %q", names, want)
	}
}
