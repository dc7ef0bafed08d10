//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// countLines is the program of the stages that read source: for each item in
// its input, the lines of each package below it. Item names are out's names, so
// two datums never write one path.
const countLines = `cd "$DVX_IN/src"
find . -mindepth DEPTH -maxdepth DEPTH | while read -r item; do
  mkdir -p "$DVX_OUT/$(dirname "$item")"
  find "$item" -type f -name '*.go' | xargs -r -d '\n' awk '
    { n++; d = FILENAME; sub(/\/[^\/]*$/, "", d); in_package[d]++ }
    END { print "total", n + 0; for (d in in_package) print d, in_package[d] }' |
    awk '{ n[$1] += $2 } END { for (d in n) print d, n[d] }' | LC_ALL=C sort > "$DVX_OUT/$item.lines"
done
`

// reportLines is the program of the second stage: a sentence on each count.
const reportLines = `cd "$DVX_IN/lines"
for f in *.lines; do
  awk -v name="${f%.lines}" '$1 == "total" { total = $2 } $1 != "total" { packages++ }
    END { printf "%s: %d lines in %d packages\n", name, total, packages }' "$f" > "$DVX_OUT/${f%.lines}.txt"
  echo "reported on $f"
done
`

// TestMainJob is the main job on real input: the source tree of the Go
// toolchain is committed, two pipelines count lines, a third reports on one of
// them; one file is edited and committed, and exactly the datums that contain
// it run again; both versions are read back over S3.
func TestMainJob(t *testing.T) {
	u := newUser(t)
	goroot := strings.TrimSpace(goEnv(t, "GOROOT"))
	pristine := u.path("pristine")
	copyFolder(t, filepath.Join(goroot, "src"), pristine)
	copyFolder(t, pristine, u.path("src"))
	wc := u.in("src")
	wc.dvx("init")
	store := wc.path(".dvx", "store")

	start := time.Now()
	wc.dvx("commit", "-m", "the toolchain's source")
	first := wc.show("src@main")
	figure(t, "commit of %d files in %v", first.Commit.Tree.Files, time.Since(start).Round(10*time.Millisecond))
	if want := countFiles(t, pristine); first.Commit.Tree.Files != want {
		t.Fatalf("%d files committed, the folder has %d", first.Commit.Tree.Files, want)
	}

	d := u.serve(store)
	c := u.with("DVX_SERVER", d.GRPC)
	c.write(map[string]string{
		"lines/lines.yaml":   spec("lines", "src", "/*", "count.sh"),
		"lines/count.sh":     strings.ReplaceAll(countLines, "DEPTH", "1"),
		"fine/fine.yaml":     spec("fine", "src", "/*/*", "count.sh"),
		"fine/count.sh":      strings.ReplaceAll(countLines, "DEPTH", "2"),
		"report/report.yaml": spec("report", "lines", "/*", "report.sh"),
		"report/report.sh":   reportLines,
	})
	for _, name := range []string{"lines", "fine", "report"} {
		c.dvx("pipeline", "apply", "-f", name+"/"+name+".yaml")
	}
	took := c.wait("src")
	tops, fines := entries(t, pristine, 1), entries(t, pristine, 2)
	c.wantCounts("lines", "main", len(tops), 0, len(tops))
	c.wantCounts("report", "main", len(tops), 0, len(tops))
	c.wantCounts("fine", "main", len(fines), 0, len(fines))
	figure(t, "first run: %d + %d + %d datums in %v", len(tops), len(tops), len(fines), took.Round(10*time.Millisecond))
	wantLines(t, c, pristine, "fmt")
	wantLines(t, c, pristine, "net")

	edit(t, wc.path("fmt", "print.go"))
	start = time.Now()
	wc.dvx("commit", "-m", "edit one file")
	committed := time.Since(start)
	took = c.wait("src")
	figure(t, "one file edited: commit %v, both stages and the finer pipeline up to date %v later", committed.Round(time.Millisecond), took.Round(time.Millisecond))
	for _, want := range []struct {
		pipeline string
		total    int
		datum    string
	}{{"lines", len(tops), "src:/fmt/"}, {"fine", len(fines), "src:/fmt/print.go"}, {"report", len(tops), "lines:/fmt.lines"}} {
		j := c.wantCounts(want.pipeline, "main", want.total, want.total-1, 1)
		if got := c.ran(j.ID); !slices.Equal(got, []string{want.datum}) {
			t.Errorf("the job of %s ran the datums %q, want only %s", want.pipeline, got, want.datum)
		}
	}
	figure(t, "one file edited: 1 of %d, 1 of %d and 1 of %d datums ran", len(tops), len(fines), len(tops))
	wantLines(t, c, wc.dir, "fmt")

	readBack(t, u, d, first.ID, pristine, wc.dir)
	d.stop()
}

// readBack reads both versions of src over S3 and compares them with what was
// committed: single objects, a folder of each, and all of the old one.
func readBack(t *testing.T, u *user, d *daemon, old, pristine, edited string) {
	_, aws := u.aws(d)
	for ref, dir := range map[string]string{old: pristine, "main": edited} {
		for _, name := range []string{"fmt/print.go", "go.mod"} {
			to := u.path("cp", ref, name)
			aws("s3", "cp", "--only-show-errors", "s3://src/"+ref+"/"+name, to)
			if readFile(t, to) != readFile(t, filepath.Join(dir, name)) {
				t.Errorf("%s at %.12s differs when read over S3", name, ref)
			}
		}
		aws("s3", "sync", "--only-show-errors", "s3://src/"+ref+"/net", u.path("sync", ref, "net"))
		sameFolders(t, filepath.Join(dir, "net"), u.path("sync", ref, "net"))
		aws("s3", "cp", "--recursive", "--only-show-errors", "s3://src/"+ref+"/fmt/", u.path("sync", ref, "fmt"))
		sameFolders(t, filepath.Join(dir, "fmt"), u.path("sync", ref, "fmt"))
	}
	start := time.Now()
	aws("s3", "sync", "--only-show-errors", "s3://src/"+old+"/", u.path("old"))
	sameFolders(t, pristine, u.path("old"))
	figure(t, "the old version read back over S3 with aws s3 sync: %d files in %v, equal", countFiles(t, u.path("old")), time.Since(start).Round(100*time.Millisecond))
}

// goEnv returns a variable of the go command.
func goEnv(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatalf("go env %s: %v", name, err)
	}
	return string(out)
}

// edit adds a line to a file.
func edit(t testing.TB, file string) {
	t.Helper()
	writeFile(t, file, readFile(t, file)+"\n// Edited.\n")
}

// wantLines compares the outputs of both stages for one package with lines
// counted here.
func wantLines(t testing.TB, c *user, dir, top string) {
	t.Helper()
	total, packages := 0, map[string]int{}
	err := filepath.WalkDir(filepath.Join(dir, top), func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Ext(p) != ".go" {
			return err
		}
		rel, err := filepath.Rel(dir, filepath.Dir(p))
		n := strings.Count(readFile(t, p), "\n")
		total += n
		packages["./"+filepath.ToSlash(rel)] += n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("total %d\n", total)}
	for name, n := range packages {
		want = append(want, fmt.Sprintf("%s %d\n", name, n))
	}
	slices.Sort(want)
	if got := c.dvx("cat", "lines@main:/"+top+".lines"); got != strings.Join(want, "") {
		t.Errorf("lines of %s:\n%s\nwant:\n%s", top, got, strings.Join(want, ""))
	}
	wantReport := fmt.Sprintf("%s: %d lines in %d packages\n", top, total, len(packages))
	if got := c.dvx("cat", "report@main:/"+top+".txt"); got != wantReport {
		t.Errorf("report on %s: %q, want %q", top, got, wantReport)
	}
}

// entries returns the paths at a depth below a folder.
func entries(t testing.TB, dir string, depth int) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(append([]string{dir}, strings.Split(strings.Repeat("*", depth), "")...)...))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func countFiles(t testing.TB, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
