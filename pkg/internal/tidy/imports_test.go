package tidy

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// A vendorRule confines one library, or one tree of generated code.
type vendorRule struct {
	module string   // the import path and all below it
	only   []string // the packages that may import it, and all below them
	why    string
}

var vendorRules = []vendorRule{
	{
		modulePath + "/proto",
		[]string{"pkg/rpc"},
		"messages are wire format; everything else speaks domain values",
	},
	{
		"google.golang.org/grpc",
		[]string{"pkg/rpc", "cmd"},
		"a domain that knows no status codes can be served over anything",
	},
	{
		"google.golang.org/protobuf",
		[]string{"pkg/rpc"},
		"protobuf is not canonical, so nothing that is hashed may touch it",
	},
	{
		"github.com/minio/minio-go",
		[]string{"pkg/objstore/s3", "test/bench"},
		"only the S3 backend talks to S3, and what measures it",
	},
	{
		"k8s.io",
		[]string{"pkg/pipeline/kube"},
		"dvx must build and run without a cluster",
	},
	{
		"github.com/dgraph-io/badger",
		[]string{"pkg/journal"},
		"only the daemon's journal opens Badger, which admits one process",
	},
	{
		"github.com/restic/chunker",
		[]string{"pkg/chunk"},
		"where to cut is decided behind chunk.Splitter",
	},
	{"github.com/spf13/cobra", []string{"cmd"}, "packages have no command line"},
	{"github.com/spf13/pflag", []string{"cmd"}, "packages have no command line"},
	{"github.com/vbauerster/mpb", []string{"cmd"}, "packages have no terminal"},
	{"github.com/jedib0t/go-pretty", []string{"cmd"}, "packages have no terminal"},
}

// within reports whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// checkVendors finds imports of a confined library outside its packages. Tests
// may import what they like: a test client is not a dependency.
func checkVendors(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if g.supportsTests() || g.generated && within(g.path, "proto") {
			continue
		}
		g.imports(func(imported string, pos token.Pos) {
			for _, v := range vendorRules {
				allowed := func(dir string) bool { return within(g.dir(), dir) }
				if within(imported, v.module) && !slices.ContainsFunc(v.only, allowed) {
					found = append(found, fmt.Sprintf("%s: imports %s, kept for %s: %s",
						t.at(pos), imported, strings.Join(v.only, ", "), v.why))
				}
			}
		})
	}
	return found
}

// purePackages hold values and decisions. What is below them is not meant.
var purePackages = []string{
	"pkg/chunk", "pkg/commit", "pkg/memo", "pkg/pipeline", "pkg/pipeline/spec",
	"pkg/repo", "pkg/tree",
}

// worldly are the packages by which a program reaches the world.
var worldly = []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "golang.org/x/sys", "plugin"}

// checkPure finds imports of the world in packages that must not need it.
func checkPure(t *tree) []string {
	var found []string
	for _, g := range t.gos {
		if g.test || !slices.Contains(purePackages, g.dir()) {
			continue
		}
		g.imports(func(imported string, pos token.Pos) {
			if slices.Contains(worldly, imported) || within(imported, "golang.org/x/sys") {
				found = append(found, fmt.Sprintf("%s: %s is pure: take what %s would give as a value or an interface",
					t.at(pos), g.dir(), imported))
			}
		})
	}
	return found
}

// TestTablesNameListedPackages keeps a renamed package from slipping out of its
// rule, and a package from standing in two rows.
func TestTablesNameListedPackages(t *testing.T) {
	known := func(dir string) bool {
		return slices.ContainsFunc(layers, func(l layer) bool {
			return slices.ContainsFunc(l.packages, func(p string) bool { return within(p, dir) })
		})
	}
	for _, dir := range purePackages {
		if !known(dir) {
			t.Errorf("purePackages names %s, which the import table does not", dir)
		}
	}
	for _, v := range vendorRules {
		for _, dir := range v.only {
			if !known(dir) {
				t.Errorf("the rule for %s names %s, which the import table does not", v.module, dir)
			}
		}
	}
	seen := map[string]string{}
	for _, l := range layers {
		for _, p := range l.packages {
			if seen[p] != "" {
				t.Errorf("%s stands in %q and in %q", p, seen[p], l.name)
			}
			seen[p] = l.name
		}
	}
}
