package main

import (
	"strings"
	"testing"
)

// contains fails the test unless text has all parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q lacks %q", text, p)
		}
	}
}

// clean fails the test unless the working copy is what the branch is.
func clean(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		out := must(t, dir, "status")
		if !strings.Contains(out, "nothing to commit") || strings.Contains(out, "branch is") {
			t.Errorf("status of a clean working copy:\n%s", out)
		}
	}
}

func TestCommitKeepsWhatOthersCommitted(t *testing.T) {
	a, b := twoCopies(t)
	write(t, b, "new", "of b")
	write(t, b, "two", "changed by b")
	remove(t, b, "dir/three")
	must(t, b, "commit", "-m", "by b")

	write(t, a, "one", "changed by a")
	contains(t, must(t, a, "status"), "1 version ahead", "M one")
	if out := must(t, a, "status"); strings.Contains(out, "new") {
		t.Errorf("status shows another's change as one's own:\n%s", out)
	}
	must(t, a, "commit", "-m", "by a")

	for path, want := range map[string]string{"one": "changed by a", "two": "changed by b", "new": "of b", "dir/three": "(none)"} {
		if got := read(t, a, path); got != want {
			t.Errorf("%s is %q on disk after the commit, want %q", path, got, want)
		}
	}
	if got := must(t, a, "ls", "-R", "data@main"); got != "new\none\ntwo\n" {
		t.Errorf("the branch has %q", got)
	}
	if got := must(t, a, "show", "data@main"); !strings.Contains(got, "M one") || strings.Contains(got, "two") {
		t.Errorf("a's version changes more than a's file:\n%s", got)
	}
	clean(t, a)
	must(t, b, "checkout")
	clean(t, b)
}

func TestCommitConflicts(t *testing.T) {
	a, b := twoCopies(t)
	write(t, b, "one", "of b")
	write(t, b, "two", "of b")
	must(t, b, "commit", "-m", "by b")

	write(t, a, "one", "of a")
	write(t, a, "also", "of a")
	text := fails(t, exitConflict, a, "commit", "-m", "by a")
	contains(t, text, "both changed 1 path", "  one\n", "--on-conflict mine", "dvx checkout -f")
	if got := must(t, a, "cat", "data@main:/one"); got != "of b" {
		t.Errorf("a refused commit changed the branch: %q", got)
	}
	if got := read(t, a, "one") + read(t, a, "two"); got != "of afirst two" {
		t.Errorf("a refused commit changed the disk: %q", got)
	}
	fails(t, exitConflict, a, "commit", "-m", "by a", "--on-conflict", "fail")
	must(t, a, "commit", "also", "-m", "one path that does not conflict")
	if got := must(t, a, "cat", "data@main:/one", "data@main:/also"); got != "of bof a" {
		t.Errorf("after the commit of one path the branch has %q", got)
	}
	must(t, a, "commit", "-m", "by a", "--on-conflict", "mine")
	if got := must(t, a, "cat", "data@main:/one", "data@main:/two"); got != "of aof b" {
		t.Errorf("after --on-conflict mine the branch has %q", got)
	}
	clean(t, a)
}

func TestCommitTakesTheirs(t *testing.T) {
	a, b := twoCopies(t)
	write(t, b, "one", "of b")
	must(t, b, "commit", "-m", "by b")
	write(t, a, "one", "of a")
	write(t, a, "two", "of a")
	fails(t, exitConflict, a, "commit", "-m", "by a")
	must(t, a, "get", "-f", "data@main:/one", "one")
	must(t, a, "commit", "-m", "by a")
	if got := must(t, a, "cat", "data@main:/one", "data@main:/two"); got != "of bof a" {
		t.Errorf("the branch has %q", got)
	}
	clean(t, a)
}

func TestCommitOfADeletionConflictsWithAChange(t *testing.T) {
	a, b := twoCopies(t)
	write(t, b, "one", "of b")
	must(t, b, "commit", "-m", "by b")
	remove(t, a, "one")
	contains(t, fails(t, exitConflict, a, "commit", "-m", "by a"), "  one\n")
	must(t, a, "commit", "-m", "by a", "--on-conflict", "mine")
	if got := must(t, a, "ls", "data@main"); got != "dir/\ntwo\n" {
		t.Errorf("the branch has %q", got)
	}
	clean(t, a)
}

func TestBothDidTheSame(t *testing.T) {
	a, b := twoCopies(t)
	for _, dir := range []string{a, b} {
		write(t, dir, "one", "the same")
		must(t, dir, "commit", "-m", "same")
		clean(t, dir)
	}
	if n := strings.Count(must(t, a, "log", "--oneline"), "\n"); n != 2 {
		t.Errorf("%d versions, want 2: the second has nothing new", n)
	}
}

func TestNothingToCommitLeavesTheWorkingCopy(t *testing.T) {
	a, b := twoCopies(t)
	write(t, b, "one", "of b")
	must(t, b, "commit", "-m", "by b")
	o := dvx(t, a, "commit", "-m", "nothing")
	if o.code != exitOK || !strings.Contains(o.out, "nothing to commit") || !strings.Contains(o.err, "dvx checkout") {
		t.Errorf("%+v", o)
	}
	if got := read(t, a, "one"); got != "first one" {
		t.Errorf("the disk has %q", got)
	}
	must(t, a, "checkout")
	if got := read(t, a, "one"); got != "of b" {
		t.Errorf("after a checkout the disk has %q", got)
	}
	clean(t, a)
}

// A path that is not committed yet is in the way of what others did there: the
// working copy stays where it was, and loses nothing then or later.
func TestCommitOfOnePathBesideAChange(t *testing.T) {
	a, b := twoCopies(t)
	write(t, b, "two", "of b")
	must(t, b, "commit", "-m", "by b")
	write(t, a, "one", "of a")
	write(t, a, "two", "not committed yet")
	o := dvx(t, a, "commit", "one", "-m", "by a")
	if o.code != exitOK || !strings.Contains(o.err, "dvx checkout") {
		t.Errorf("%+v", o)
	}
	if got := read(t, a, "two"); got != "not committed yet" {
		t.Errorf("two is %q on disk", got)
	}
	if got := must(t, a, "cat", "data@main:/one", "data@main:/two"); got != "of aof b" {
		t.Errorf("the branch has %q", got)
	}
	contains(t, fails(t, exitConflict, a, "commit", "-m", "rest"), "  two\n")
	contains(t, fails(t, exitConflict, a, "checkout"), "two")
	must(t, a, "checkout", "-f")
	clean(t, a)
}

func TestFirstCommitOnABranchWithVersions(t *testing.T) {
	a, _ := twoCopies(t)
	c := t.TempDir()
	write(t, c, "own", "of c")
	write(t, c, "two", "first two") // what the branch has already
	store := strings.TrimSpace(read(t, a, ".dvx/config"))
	_, store, _ = strings.Cut(store, `"store": "`)
	store, _, _ = strings.Cut(store, `"`)
	must(t, c, "init", "--store", store, "--repo", "data")
	must(t, c, "commit", "-m", "by c")
	if got := must(t, c, "ls", "-R", "data@main"); got != "dir/three\none\nown\ntwo\n" {
		t.Errorf("the branch has %q", got)
	}
	if got := read(t, c, "dir/three"); got != "first dir/three" {
		t.Errorf("the disk has %q", got)
	}
	clean(t, c)
}

func TestOldVersionInTheWorkingCopy(t *testing.T) {
	a, _ := twoCopies(t)
	write(t, a, "one", "second")
	must(t, a, "commit", "-m", "second")
	must(t, a, "tag", "create", "data@v1", "data@main~1")
	contains(t, must(t, a, "checkout", "data@v1"), "applied to data@main")
	contains(t, must(t, a, "status"), "1 version ahead", "nothing to commit")
	if o := dvx(t, a, "commit", "-m", "no revert"); !strings.Contains(o.out, "nothing to commit") {
		t.Errorf("a commit from an old version: %+v", o)
	}
	write(t, a, "two", "on the old one")
	must(t, a, "commit", "-m", "third")
	if got := must(t, a, "cat", "data@main:/one", "data@main:/two"); got != "secondon the old one" {
		t.Errorf("the branch has %q", got)
	}
	clean(t, a)
}

func TestBranchIsGone(t *testing.T) {
	a, b := twoCopies(t)
	must(t, b, "branch", "create", "data@side", "--from", "data@main")
	must(t, a, "checkout", "data@side")
	must(t, b, "branch", "delete", "data@side")
	write(t, a, "one", "of a")
	contains(t, must(t, a, "status"), "the branch is gone", "M one")
	contains(t, fails(t, exitNotFound, a, "commit", "-m", "by a"), "data@side", "dvx branch create")
	must(t, a, "checkout", "data@main")
	must(t, a, "commit", "-m", "by a")
	clean(t, a)
}

func TestBranchWasReset(t *testing.T) {
	a, b := twoCopies(t)
	write(t, a, "one", "a mistake")
	must(t, a, "commit", "-m", "mistake")
	must(t, b, "branch", "reset", "data@main", "data@main~1", "--yes")
	contains(t, must(t, a, "status"), "does not come after this", "nothing to commit")
	write(t, a, "two", "of a")
	must(t, a, "commit", "-m", "by a")
	if got := must(t, a, "cat", "data@main:/one", "data@main:/two"); got != "first oneof a" {
		t.Errorf("the branch has %q: the reset is undone", got)
	}
	clean(t, a)
}

func TestSameOperationTwice(t *testing.T) {
	a, _ := twoCopies(t)
	write(t, a, "one", "of a")
	args := []string{"commit", "-m", "by a", "--op-id", "0190f5d0-7c00-7000-8000-000000000001"}
	first := must(t, a, args...)
	second := must(t, a, args...)
	if first[:24] != second[:24] {
		t.Errorf("the same operation made two versions:\n%s%s", first, second)
	}
	if n := strings.Count(must(t, a, "log", "--oneline"), "\n"); n != 2 {
		t.Errorf("%d versions, want 2", n)
	}
}
