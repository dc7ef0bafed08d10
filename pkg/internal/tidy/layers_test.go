package tidy

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
)

// A layer is one row of the import table.
type layer struct {
	name     string
	packages []string // paths below the module's root
}

// layers is the import table of the module, from the top down: a package imports
// packages of ours only from rows below its own, never from its own row. The
// numbers are ARCHITECTURE.md's; a letter marks a row within a layer, for
// packages that adapt or join their neighbours.
//
// A new package gets a line here in its layer. If no row fits, it is the package
// that needs another thought, not the table.
var layers = []layer{
	{"tests of the whole", []string{
		"test/bench",
		"test/e2e",
		"test/kube",
		"test/kube/probe",
		"test/mutants",
		"test/proof",
		"test/scale",
	}},
	{"L9 binaries", []string{
		"cmd/dvx",
		"cmd/dvxd",
	}},
	{"L9a what both binaries wire alike", []string{
		"cmd/internal/daemon",
	}},
	{"L9b where stores and keys are on a machine", []string{
		"cmd/internal/place",
	}},
	{"L9c the whole system in one goroutine", []string{
		"pkg/sim",
	}},
	{"L8 edges", []string{
		"pkg/rpc",
		"pkg/web",
		"pkg/pipeline/kube",
		"pkg/pipeline/local",
	}},
	{"L7a work for others", []string{
		"pkg/worker/agent",
	}},
	{"L7 work", []string{
		"pkg/worker",
	}},
	{"L6b what people ask of the domain", []string{
		"pkg/pipeline/explain",
	}},
	{"L6a suites of the domain", []string{
		"pkg/pipeline/runnertest",
	}},
	{"L6 the domain", []string{
		"pkg/pipeline",
		"pkg/pipeline/lease",
		"pkg/gc",
		"pkg/worktree",
		"pkg/s3proxy/s3repo",
		"pkg/interop",
		"pkg/interop/mirror",
		"pkg/notify",
	}},
	{"L5c what must run", []string{
		"pkg/pipeline/engine",
	}},
	{"L5b2 which runs there are", []string{
		"pkg/pipeline/datum",
	}},
	{"L5b one run, and what comes of many", []string{
		"pkg/pipeline/output",
		"pkg/pipeline/task",
	}},
	{"L5a what is asked for, and what ran", []string{
		"pkg/pipeline/history",
		"pkg/pipeline/spec",
	}},
	{"L5 what was computed, and who may see it", []string{
		"pkg/access",
		"pkg/journal",
		"pkg/memo",
	}},
	{"L4 the root", []string{
		"pkg/repo",
	}},
	{"L3 versions and rights", []string{
		"pkg/commit",
		"pkg/auth",
	}},
	{"L2a suites of chunks", []string{
		"pkg/chunk/chunktest",
	}},
	{"L2 directories and packs", []string{
		"pkg/tree",
		"pkg/chunk/pack",
		"pkg/stats",
	}},
	{"L1b checks of an implementation", []string{
		"pkg/objstore/objstoretest",
		"pkg/s3proxy/s3proxytest",
	}},
	{"L1a implementations", []string{
		"pkg/objstore/disk",
		"pkg/objstore/s3",
		"pkg/objstore/mem",
		"pkg/objstore/fault",
		"pkg/objstore/retry",
		"pkg/objstore/limit",
		"pkg/objstore/probe",
		"pkg/s3proxy/s3mem",
	}},
	{"L1 contracts", []string{
		"pkg/objstore",
		"pkg/chunk",
		"pkg/s3proxy",
		"proto/dvx/v1",
	}},
	{"L0a signatures of requests, old", []string{
		"pkg/s3proxy/sigv2",
	}},
	{"L0 nothing of ours", []string{
		"pkg/internal/tidy",
		"pkg/objstore/disk/vfs",
		"pkg/s3proxy/sigv4",
	}},
}

// rowOf returns the index of the row that lists dir, or -1.
func rowOf(dir string) int {
	return slices.IndexFunc(layers, func(l layer) bool { return slices.Contains(l.packages, dir) })
}

// checkLayers finds packages outside the table and imports that do not go down.
// A folder of tests only stands above the table. Tests may also import conformance suites, in-memory twins and neighbours in
// their package's row.
func checkLayers(t *tree) []string {
	var found []string
	dirs, byDir := t.packages()
	for _, dir := range dirs {
		row := rowOf(dir)
		if row < 0 && slices.ContainsFunc(byDir[dir], func(g *goFile) bool { return !g.test }) {
			found = append(found, fmt.Sprintf("%s: add the package to the import table (layers_test.go) in its layer", dir))
			continue
		}
		for _, g := range byDir[dir] {
			g.imports(func(imported string, pos token.Pos) {
				if finding := judge(g, row, imported); finding != "" {
					found = append(found, t.at(pos)+": "+finding)
				}
			})
		}
	}
	return found
}

// judge says what is wrong with one import of a file whose package is in row, -1
// if it is above the table.
func judge(g *goFile, row int, imported string) string {
	dir, ours := strings.CutPrefix(imported, modulePath+"/")
	if !ours {
		return ""
	}
	target := rowOf(dir)
	switch {
	case target < 0:
		return "" // said once, of the package itself
	case strings.HasPrefix(dir, "cmd/") && !strings.HasPrefix(dir, "cmd/internal/"):
		return fmt.Sprintf("imports %s: nothing imports a binary", dir)
	case target > row:
		return ""
	case g.test && (target == row || isSuite(dir) || strings.HasSuffix(dir, "mem")):
		return ""
	case target == row:
		return fmt.Sprintf("imports %s sideways: both are in %q", dir, layers[row].name)
	}
	return fmt.Sprintf("imports %s upwards: from %q to %q", dir, layers[row].name, layers[target].name)
}
