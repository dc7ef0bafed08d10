//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestNothingRunsTwice holds the memo and the early cutoff to what README
// promises, with a daemon that runs through all of it.
func TestNothingRunsTwice(t *testing.T) {
	u := newUser(t)
	wc := u.in("words")
	for i := range 8 {
		wc.write(map[string]string{fmt.Sprintf("%d.txt", i): fmt.Sprintf("the words of file %d\n", i)})
	}
	wc.dvx("init")
	wc.dvx("commit", "-m", "A")
	d := u.serve(wc.path(".dvx", "store"))
	c := u.with("DVX_SERVER", d.GRPC)
	c.write(map[string]string{
		"upper/upper.yaml": spec("upper", "words", "/*", "upper.sh"),
		"upper/upper.sh":   `for f in in/words/*; do tr a-z A-Z < "$f" > "out/${f##*/}"; echo "upper $f"; done` + "\n",
		"count/count.yaml": spec("count", "upper", "/*", "count.sh"),
		"count/count.sh":   `for f in in/upper/*; do wc -w < "$f" > "out/${f##*/}"; done` + "\n",
	})
	c.dvx("pipeline", "apply", "-f", "upper/upper.yaml")
	c.dvx("pipeline", "apply", "-f", "count/count.yaml")
	c.wait("words")
	c.wantCounts("upper", "main", 8, 0, 8)
	c.wantCounts("count", "main", 8, 0, 8)

	t.Run("InputThereAndBack", func(t *testing.T) { inputThereAndBack(t, c, wc) })
	t.Run("CodeChangeSameOutput", func(t *testing.T) { codeChangeSameOutput(t, c) })
	t.Run("StagingBranch", func(t *testing.T) { stagingBranch(t, c) })
	t.Run("DeletedInput", func(t *testing.T) { deletedInput(t, c, wc) })
	t.Run("ImportedModule", func(t *testing.T) { importedModule(t, c) })
	t.Run("FailingJob", func(t *testing.T) { failingJob(t, c) })
	d.stop()
}

// inputThereAndBack changes an input to B and back to A: the third job
// executes nothing, and gives the first job's output again.
func inputThereAndBack(t *testing.T, c, wc *user) {
	before := c.show("upper@main").Commit.Tree.Content
	wc.write(map[string]string{"3.txt": "other words\n"})
	wc.dvx("commit", "-m", "B")
	c.wait("words")
	c.wantCounts("upper", "main", 8, 7, 1)
	c.wantCounts("count", "main", 8, 7, 1)
	if got := c.show("upper@main").Commit.Tree.Content; got == before {
		t.Error("another input gave the same output")
	}
	wc.write(map[string]string{"3.txt": "the words of file 3\n"})
	wc.dvx("commit", "-m", "A again")
	took := c.wait("words")
	j := c.wantCounts("upper", "main", 8, 8, 0)
	c.wantCounts("count", "main", 8, 8, 0)
	if ran := c.ran(j.ID); len(ran) > 0 {
		t.Errorf("the third job ran %q", ran)
	}
	if got := c.show("upper@main").Commit.Tree.Content; got != before {
		t.Errorf("A again gave the output %.12s, A gave %.12s", got, before)
	}
	figure(t, "A→B→A: the third job executed 0 of 8 datums, up to date after %v", took.Round(1e6))
}

// codeChangeSameOutput changes the code so that its output stays: it runs
// again, and nothing downstream does.
func codeChangeSameOutput(t *testing.T, c *user) {
	before := c.show("upper@main")
	c.write(map[string]string{"upper/upper.sh": "set -eu\n" + readFile(t, c.path("upper", "upper.sh"))})
	c.dvx("pipeline", "apply", "-f", "upper/upper.yaml")
	took := c.wait("words")
	c.wantCounts("upper", "main", 8, 0, 8)
	j := c.wantCounts("count", "main", 8, 8, 0)
	after := c.show("upper@main")
	if after.ID == before.ID || after.Commit.Tree.Content != before.Commit.Tree.Content {
		t.Errorf("upper is at %.12s with content %.12s, was at %.12s with %.12s", after.ID, after.Commit.Tree.Content, before.ID, before.Commit.Tree.Content)
	}
	if ran := c.ran(j.ID); len(ran) > 0 {
		t.Errorf("downstream ran %q", ran)
	}
	figure(t, "code change with equal output: 8 datums ran, 0 downstream, up to date after %v", took.Round(1e6))
}

// stagingBranch makes an environment with the same specs and inputs: nothing
// runs. Then a changed spec on it runs there and leaves main alone.
func stagingBranch(t *testing.T, c *user) {
	main := c.show("upper@main").ID
	c.dvx("branch", "create", "words@staging", "--from", "words@main")
	for _, name := range []string{"upper", "count"} {
		c.dvx("pipeline", "apply", "-f", name+"/"+name+".yaml", "--branch", "staging")
	}
	took := c.wait("words@staging")
	c.wantCounts("upper", "staging", 8, 8, 0)
	c.wantCounts("count", "staging", 8, 8, 0)
	if a, b := c.show("count@main").Commit.Tree.Content, c.show("count@staging").Commit.Tree.Content; a != b {
		t.Errorf("staging gave %.12s, main %.12s", b, a)
	}
	if got := c.show("upper@main").ID; got != main {
		t.Errorf("main moved from %.12s to %.12s because of staging", main, got)
	}
	figure(t, "staging branch with the same specs and inputs: 0 of 16 datums, up to date after %v", took.Round(1e6))
}

// deletedInput removes a file: its outputs are gone, at every stage.
func deletedInput(t *testing.T, c, wc *user) {
	wc.run("rm", wc.path("5.txt"))
	wc.dvx("commit", "-m", "without 5")
	took := c.wait("words")
	for _, name := range []string{"upper", "count"} {
		c.wantCounts(name, "main", 7, 7, 0)
		if got := strings.Fields(c.dvx("ls", name+"@main")); slices.Contains(got, "5.txt") || len(got) != 7 {
			t.Errorf("%s holds %q after 5.txt is gone from its input", name, got)
		}
		c.refused(codeNotFound, []string{"5.txt"}, "cat", name+"@main:/5.txt")
	}
	if got := c.dvx("cat", "upper@main~1:/5.txt"); got != "THE WORDS OF FILE 5\n" {
		t.Errorf("the version before holds %q at 5.txt", got)
	}
	figure(t, "a deleted input: its outputs gone at both stages after %v", took.Round(1e6))
}

// importedModule edits a module that the script imports: its datums run again.
func importedModule(t *testing.T, c *user) {
	python := tool(t, "python3")
	c.write(map[string]string{
		"py/py.yaml": "pipeline: py\ntransform:\n  cmd: [" + python + ", code/main.py]\ninput:\n  repo: words\n  glob: \"/*\"\n",
		"py/main.py": "import os\nfrom lib import greeting\n" +
			"for f in os.listdir('in/words'):\n    open('out/' + f, 'w').write(greeting.of(open('in/words/' + f).read()))\n",
		"py/lib/__init__.py": "",
		"py/lib/greeting.py": "def of(s):\n    return 'hello, ' + s\n",
	})
	c.dvx("pipeline", "apply", "-f", "py/py.yaml")
	c.wait("words")
	c.wantCounts("py", "main", 7, 0, 7)
	c.write(map[string]string{"py/lib/greeting.py": "def of(s):\n    return 'good day, ' + s\n"})
	c.dvx("pipeline", "apply", "-f", "py/py.yaml")
	took := c.wait("words")
	c.wantCounts("py", "main", 7, 0, 7)
	if got := c.dvx("cat", "py@main:/0.txt"); got != "good day, the words of file 0\n" {
		t.Errorf("after the edit of the module: %q", got)
	}
	if out := c.dvx("pipeline", "apply", "-f", "py/py.yaml"); !strings.Contains(out, "unchanged") {
		t.Errorf("applying the same spec and code again: %q", out)
	}
	figure(t, "an edited module: 7 of 7 datums ran again, up to date after %v", took.Round(1e6))
}

// failingJob breaks one datum: wait ends with exit code 1 and the reason, what
// succeeded is kept, and the mended code runs only what failed.
func failingJob(t *testing.T, c *user) {
	c.write(map[string]string{
		"strict/strict.yaml": spec("strict", "words", "/*", "strict.sh"),
		"strict/strict.sh": `for f in in/words/*; do
  if grep -q "file 2" "$f"; then echo "no, not file 2" >&2; exit 3; fi
  cp "$f" out/
done
`,
	})
	c.dvx("pipeline", "apply", "-f", "strict/strict.yaml")
	r := c.tryDVX("wait", "words", "--timeout", waitMax.String())
	if r.code != codeFailed {
		t.Errorf("%s: exit code %d, want %d: %s%s", r.line, r.code, codeFailed, r.out, r.err)
	}
	for _, word := range []string{"strict", "2.txt", "3"} {
		if !strings.Contains(r.err, word) {
			t.Errorf("%s does not say %q: %s", r.line, word, r.err)
		}
	}
	j := c.newest("strict", "main")
	if j.State != "failed" || j.Reason == "" || j.Counts.Failed != 1 || j.Counts.Total != 7 {
		t.Errorf("the job is %+v", j)
	}
	if log := c.dvx("logs", j.ID, "--datum", failedDatum(t, c, j.ID)); !strings.Contains(log, "no, not file 2") {
		t.Errorf("the log of the failed datum is %q", log)
	}
	c.refused(codeNotFound, nil, "cat", "strict@main:/0.txt")
	figure(t, "a failing job: wait ended after %v with exit code 1: %s", r.took.Round(1e6), strings.TrimSpace(r.err))

	// A file changes that is not the code's fault: only what has no result runs.
	c.dvx("rm", "words@main:/2.txt")
	c.wait("words")
	j = c.newest("strict", "main")
	if j.State != "done" || j.Counts.Total != 6 || j.Counts.Ran+j.Counts.Hit != 6 {
		t.Errorf("after the bad file is gone: %+v", j)
	}
}

func failedDatum(t *testing.T, c *user, id string) string {
	t.Helper()
	for _, d := range decodeLines[datum](t, c.dvx("datum", "list", id, "--json")) {
		if d.State == "failed" {
			return d.Identity
		}
	}
	t.Fatalf("job %.12s has no failed datum", id)
	return ""
}
