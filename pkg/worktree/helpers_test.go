package worktree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// disk is what a directory holds, by path: "/" at the end of an empty
// directory, "*" before the text of an executable, "->" before a link's target.
type disk map[string]string

// write makes the directory dir hold d and nothing else, its .dvx left alone.
func (d disk) write(t testing.TB, dir string) {
	t.Helper()
	clearDisk(t, dir)
	for path, text := range d {
		name := filepath.Join(dir, filepath.FromSlash(path))
		if strings.HasSuffix(path, "/") {
			must(t, os.MkdirAll(name, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		mode := fs.FileMode(0o644)
		if target, ok := strings.CutPrefix(text, "->"); ok {
			must(t, os.Symlink(target, name))
			continue
		}
		if rest, ok := strings.CutPrefix(text, "*"); ok {
			text, mode = rest, 0o755
		}
		must(t, os.WriteFile(name, []byte(text), mode))
	}
}

func clearDisk(t testing.TB, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		if e.Name() != FolderName {
			must(t, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
}

// readDisk returns what dir holds, its .dvx left out.
func readDisk(t testing.TB, dir string) disk {
	t.Helper()
	d := disk{}
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		must(t, err)
		path := filepath.ToSlash(rel)
		switch {
		case path == FolderName:
			return fs.SkipDir
		case e.IsDir():
			list, err := os.ReadDir(name)
			if len(list) == 0 {
				d[path+"/"] = ""
			}
			return err
		case e.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			d[path] = "->" + target
			return err
		}
		b, err := os.ReadFile(name)
		must(t, err)
		info, err := e.Info()
		must(t, err)
		d[path] = string(b)
		if hasExec && info.Mode()&0o100 != 0 {
			d[path] = "*" + d[path]
		}
		return nil
	}))
	return d
}

// readTree returns what a directory in a store holds.
func readTree(t testing.TB, r chunk.Reader, root tree.Root) disk {
	t.Helper()
	d := disk{}
	for e, err := range tree.Open(r, root).Walk(context.Background(), tree.WalkOptions{Dirs: true}) {
		must(t, err)
		if e.Kind == tree.Dir {
			if n := 0; e.Dir.Files == 0 {
				for _, err := range tree.Open(r, e.Dir).Entries(context.Background(), "", "") {
					must(t, err)
					n++
				}
				if n == 0 {
					d[e.Path] = ""
				}
			}
			continue
		}
		c, err := chunk.OpenContent(context.Background(), r, e.Content)
		must(t, err)
		b, err := io.ReadAll(c)
		must(t, err)
		switch {
		case e.Kind == tree.Symlink:
			d[e.Path] = "->" + string(b)
		case e.Exec:
			d[e.Path] = "*" + string(b)
		default:
			d[e.Path] = string(b)
		}
	}
	return d
}

// store puts d into s; unlike a disk it may hold a file beside a directory.
func (d disk) store(t testing.TB, s chunk.Store) tree.Root {
	t.Helper()
	ctx := context.Background()
	var edits []tree.Edit
	for path, text := range d {
		e := tree.Entry{Kind: tree.File}
		if strings.HasSuffix(path, "/") {
			edits = append(edits, tree.Edit{Op: tree.MakeDir, Path: path})
			continue
		}
		if rest, ok := strings.CutPrefix(text, "->"); ok {
			e.Kind, text = tree.Symlink, rest
		} else if rest, ok := strings.CutPrefix(text, "*"); ok {
			e.Exec, text = true, rest
		}
		var err error
		e.Content, err = chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader(text))
		must(t, err)
		edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: e})
	}
	root, err := tree.Apply(ctx, s, tree.Root{}, edits)
	must(t, err)
	return root
}

// commit stores what o.Dir holds and returns the resulting tree.
func commitDir(t testing.TB, s chunk.Store, base tree.Root, o Options) (tree.Root, Stats) {
	t.Helper()
	var root tree.Root
	stats, err := EachEdit(context.Background(), s, base, o, func(edits iter.Seq2[tree.Edit, error]) (err error) {
		root, err = tree.ApplySorted(context.Background(), s, base, edits)
		return err
	})
	must(t, err)
	return root, stats
}

func status(t testing.TB, r chunk.Reader, base tree.Root, o Options) ([]string, Stats) {
	t.Helper()
	rep, err := Status(context.Background(), r, base, o)
	must(t, err)
	var out []string
	for _, c := range rep.Changes {
		out = append(out, c.Kind.String()+" "+c.Path)
	}
	return out, rep.Stats
}

// workingCopy returns a new directory with a .dvx folder, and its index.
func workingCopy(t testing.TB) (string, *Index) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, FolderName), 0o755))
	return dir, openIndex(t, dir)
}

func openIndex(t testing.TB, dir string) *Index {
	t.Helper()
	x, err := OpenIndex(dir, chunk.DefaultParams())
	must(t, err)
	return x
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantProblems fails unless err is a ProblemsError of exactly these paths.
func wantProblems(t testing.TB, err error, kind error, paths ...string) {
	t.Helper()
	var p *ProblemsError
	if !errors.As(err, &p) || !errors.Is(err, kind) {
		t.Fatalf("error %v, want problems of kind %v", err, kind)
	}
	var got []string
	for _, p := range p.Problems {
		got = append(got, p.Path)
	}
	slices.Sort(got)
	slices.Sort(paths)
	if !slices.Equal(got, paths) {
		t.Fatalf("problems of %q, want %q:\n%v", got, paths, err)
	}
}
