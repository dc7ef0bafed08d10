package tidy

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// globalsAllowed are the package-level variables that may change all the same,
// and why.
var globalsAllowed = map[string]string{
	"pkg/auth.Owner":      "a value to compare with, as io.EOF is",
	"pkg/auth.Anonymous":  "likewise",
	"pkg/s3proxy.buffers": "a pool of buffers is invisible: what is taken out is overwritten before it is read",
}

// checkGlobals finds package-level variables that can change: those that code of
// their package writes to, those that hold a lock or the like, and exported
// ones, to which anybody may write. A table that is only read is fine, and so is
// an error to compare with.
func checkGlobals(t *tree) []string {
	var found []string
	dirs, byDir := t.packages()
	needed := map[string]bool{}
	for _, dir := range dirs {
		var files []*ast.File
		for _, g := range byDir[dir] {
			if g.product() && !isSuite(dir) {
				files = append(files, g.ast)
			}
		}
		p := resolve(t.fset, dir, files)
		report := func(pos token.Pos, name, what string) {
			needed[dir+"."+name] = true
			if globalsAllowed[dir+"."+name] == "" {
				found = append(found, fmt.Sprintf("%s: global %s %s", t.at(pos), name, what))
			}
		}
		for _, f := range files {
			for _, decl := range f.Decls {
				if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
					judgeGlobals(d, report)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				for _, target := range targets(n) {
					if id := root(target); id != nil && p.isGlobal(id) {
						report(id.Pos(), id.Name, "is written to: pass it, or keep it in a struct")
					}
				}
				return true
			})
		}
	}
	for name := range globalsAllowed {
		if dir, _, _ := strings.Cut(name, "."); byDir[dir] != nil && !needed[name] {
			found = append(found, fmt.Sprintf("globalsAllowed: %s needs no exception any more", name))
		}
	}
	return found
}

// judgeGlobals looks at one declaration of package-level variables.
func judgeGlobals(d *ast.GenDecl, report func(token.Pos, string, string)) {
	for _, spec := range d.Specs {
		s, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range s.Names {
			var value ast.Expr
			if i < len(s.Values) {
				value = s.Values[i]
			}
			switch {
			case name.Name == "_":
			case mentions(s.Type, "sync", "atomic") || mentions(value, "sync", "atomic"):
				report(name.Pos(), name.Name, "is shared state: keep it in a struct")
			case name.IsExported() && !isSentinel(value):
				report(name.Pos(), name.Name, "is exported, so anybody may change it: make it a constant or a function")
			}
		}
	}
}

// isSentinel reports whether the value is a new error.
func isSentinel(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	return ok && (isSelector(call.Fun, "errors", "New") || isSelector(call.Fun, "fmt", "Errorf"))
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

// mentions reports whether the expression names a type of one of the packages.
// What sync.OnceValue and its like return is a constant that is made late.
func mentions(e ast.Expr, pkgs ...string) bool {
	found := false
	if e == nil {
		return false
	}
	ast.Inspect(e, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && !strings.HasPrefix(sel.Sel.Name, "OnceValue") {
			for _, pkg := range pkgs {
				found = found || x.Name == pkg
			}
		}
		return true
	})
	return found
}

// targets returns what a node writes to, or gives others to write to.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
			return n.Args[:1]
		}
	}
	return nil
}

// root returns the variable at the bottom of x.f[i].g and the like.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// resolved tells package-level names from local ones.
type resolved struct {
	scope *types.Scope
	uses  map[*ast.Ident]types.Object
}

// resolve finds what each name of a package means, as far as that can be known
// without its imports.
func resolve(fset *token.FileSet, dir string, files []*ast.File) resolved {
	uses := map[*ast.Ident]types.Object{}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	p, _ := conf.Check(modulePath+"/"+dir, fset, files, &types.Info{Uses: uses}) // errors are the compiler's to tell
	return resolved{p.Scope(), uses}
}

func (r resolved) isGlobal(id *ast.Ident) bool {
	v, ok := r.uses[id].(*types.Var)
	return ok && v.Parent() == r.scope
}

// noImports is an importer that has nothing.
type noImports struct{}

var errNoImports = errors.New("imports are not looked at")

func (noImports) Import(string) (*types.Package, error) { return nil, errNoImports }
