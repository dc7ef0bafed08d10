package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkPackageDoc finds packages whose doc.go is missing or says nothing, and
// package comments outside of it. A folder of tests only needs none.
func checkPackageDoc(t *tree) []string {
	var found []string
	dirs, byDir := t.packages()
	for _, dir := range dirs {
		documented, product := false, false
		for _, g := range byDir[dir] {
			product = product || !g.test
			comment := strings.TrimSpace(g.ast.Doc.Text())
			switch {
			case g.generated || comment == "":
			case strings.HasSuffix("/"+g.path, "/doc.go"):
				documented = true
				if want := docOpening(g.ast.Name.Name); !strings.HasPrefix(comment, want) {
					found = append(found, fmt.Sprintf("%s: the package comment starts with %q", g.path, want))
				}
			default:
				found = append(found, fmt.Sprintf("%s: the package comment belongs in doc.go", g.path))
			}
		}
		if product && !documented {
			found = append(found, fmt.Sprintf("%s: has no doc.go that says what the package is", dir))
		}
	}
	return found
}

// docOpening is how the comment of the package starts.
func docOpening(name string) string {
	if name == "main" {
		return "Command "
	}
	return "Package " + name + " "
}

// selfEvident are the methods whose meaning is fixed by a standard interface.
var selfEvident = []string{"Error", "Is", "Len", "Less", "String", "Swap", "Unwrap"}

// checkExported finds exported names without a comment that starts with them.
func checkExported(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if !g.product() || g.ast.Name.Name == "main" {
			continue
		}
		report := func(name *ast.Ident, what string) {
			found = append(found, fmt.Sprintf("%s: exported %s %s needs a comment that starts with its name", t.at(name.Pos()), what, name.Name))
		}
		for _, decl := range g.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if undocumentedFunc(d) {
					report(d.Name, "function")
				}
			case *ast.GenDecl:
				undocumentedSpecs(d, report)
			}
		}
	}
	return found
}

func undocumentedFunc(d *ast.FuncDecl) bool {
	if !d.Name.IsExported() || opensWith(d.Doc, d.Name.Name) {
		return false
	}
	if d.Recv == nil {
		return true
	}
	receiver := receiverName(d.Recv.List[0].Type)
	return ast.IsExported(receiver) && !slices.Contains(selfEvident, d.Name.Name)
}

// receiverName returns the type's name in *T, T[K] and the like.
func receiverName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.IndexListExpr:
		return receiverName(e.X)
	}
	return ""
}

func undocumentedSpecs(d *ast.GenDecl, report func(*ast.Ident, string)) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			doc := s.Doc
			if doc == nil && len(d.Specs) == 1 {
				doc = d.Doc
			}
			if s.Name.IsExported() && !opensWith(doc, s.Name.Name) {
				report(s.Name, "type")
			}
			if s.Name.IsExported() {
				undocumentedMethods(s.Type, report)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					report(name, d.Tok.String())
				}
			}
		}
	}
}

func undocumentedMethods(e ast.Expr, report func(*ast.Ident, string)) {
	contract, ok := e.(*ast.InterfaceType)
	if !ok {
		return
	}
	for _, m := range contract.Methods.List {
		for _, name := range m.Names {
			if name.IsExported() && m.Doc == nil && m.Comment == nil && !slices.Contains(selfEvident, name.Name) {
				report(name, "method")
			}
		}
	}
}

// opensWith reports whether the comment's first word is name, give or take an
// article.
func opensWith(doc *ast.CommentGroup, name string) bool {
	text := doc.Text()
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	rest, ok := strings.CutPrefix(text, name)
	return ok && (rest == "" || !token.IsIdentifier("a"+rest[:1]))
}
