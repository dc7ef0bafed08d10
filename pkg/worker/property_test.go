//go:build unix

package worker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// genTree draws a tree that a disk can hold: the names of files begin with f,
// of links with l, of directories with d, so that no two are at one path. The
// links point at siblings, there or not.
func genTree(t *rapid.T, depth int, prefix string, into map[string]any) {
	for i := range rapid.IntRange(0, 4).Draw(t, "entries") {
		name := rapid.StringMatching(`[ -.0-~äπ]{0,5}`).Draw(t, "name")
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			into[fmt.Sprintf("%sf%s%d", prefix, name, i)] = executable(rapid.StringN(0, 20, 80).Draw(t, "script"))
		case 1:
			up := strings.Repeat("../", rapid.IntRange(0, strings.Count(prefix, "/")).Draw(t, "up"))
			into[fmt.Sprintf("%sl%s%d", prefix, name, i)] = linkTo(up + rapid.SampledFrom([]string{"f0", "d1", "gone/x", "."}).Draw(t, "target"))
		case 2:
			if depth > 0 {
				dir := fmt.Sprintf("%sd%s%d", prefix, name, i)
				into[dir] = emptyDir{}
				genTree(t, depth-1, dir+"/", into)
				continue
			}
			fallthrough
		default:
			into[fmt.Sprintf("%sf%s%d", prefix, name, i)] = rapid.StringN(0, 20, 80).Draw(t, "text")
		}
	}
}

// copyTree copies a folder as cp -a does, with writable folders.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.MkdirAll(to, 0o755))
	entries, err := os.ReadDir(from)
	must(t, err)
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.IsDir():
			copyTree(t, src, dst)
		case e.Type() == os.ModeSymlink:
			target, err := os.Readlink(src)
			must(t, err)
			must(t, os.Symlink(target, dst))
		default:
			b, err := os.ReadFile(src)
			must(t, err)
			info, err := e.Info()
			must(t, err)
			must(t, os.WriteFile(dst, b, info.Mode()))
		}
	}
}

// What is laid out and copied to out is the same directory again, and so is a
// link to it; both with the same storage ID, for neither has attributes.
func TestCopiedInputsAreTheSameTree(t *testing.T) {
	s := &chunk.Mem{}
	var act func(dir string)
	w := newWorker(t, program(t, func(dir string) { act(dir) }))
	rapid.Check(t, func(rt *rapid.T) {
		entries := map[string]any{}
		genTree(rt, 3, "", entries)
		root := build(t, s, entries)
		k := aTask(whole("r", root))
		act = func(dir string) { copyTree(t, filepath.Join(dir, "in/r"), filepath.Join(dir, "out/c")) }
		copied := sub(t, s, succeed(t, w, k, s), "c")
		act = func(dir string) { must(t, os.Symlink("../in/r", filepath.Join(dir, "out/c"))) }
		linked := sub(t, s, succeed(t, w, k, s), "c")
		if copied.Content != root.Content || linked != copied {
			rt.Fatalf("input %v, copied %v, linked %v", root, copied, linked)
		}
	})
}

// sub returns a directory of a result's output.
func sub(t *testing.T, s chunk.Store, res task.Result, name string) tree.Root {
	t.Helper()
	e, err := tree.Open(s, res.Output).Lookup(context.Background(), name)
	must(t, err)
	return e.Dir
}
