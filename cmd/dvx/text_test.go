package main

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{fmt.Errorf("images@x: look up %q: %w", "a", tree.ErrNotFound), `images@x: look up "a": no such path`},
		{fmt.Errorf("resolve a@b: %w", repo.ErrRefNotFound), "resolve a@b: ref not found"},
		{fmt.Errorf("a: %w; make it with dvx repo create", repo.ErrRepoNotFound), "a: repo not found; make it with dvx repo create"},
		{fmt.Errorf("repo images: %w", fs.ErrExist), "repo images: exists already"},
		{fmt.Errorf("ref a@b: there is a tag b: %w", fs.ErrExist), "ref a@b: there is a tag b"},
		{fmt.Errorf("a: %w", fs.ErrNotExist), "a: does not exist"},
		{fmt.Errorf("name %q: want letters: %w", "a b", fs.ErrInvalid), `name "a b": want letters`},
		{fmt.Errorf("a: %w", fs.ErrInvalid), "a: invalid"},
		{repo.ErrProtected, "branch is protected"},
		{fmt.Errorf("open a: %w", fs.ErrPermission), "open a: permission denied"},
		{errors.New("invalid argument"), "invalid argument"},
		{
			fmt.Errorf("scan a: %w", &worktree.ProblemsError{Problems: []worktree.Problem{
				{Path: "x", Err: worktree.ErrModified}, {Path: "y", Err: worktree.ErrModified},
			}}),
			"scan a:\n  \"x\": " + worktree.ErrModified.Error() + "\n  \"y\": " + worktree.ErrModified.Error(),
		},
	}
	for _, test := range tests {
		if got := errorText(test.err); got != test.want {
			t.Errorf("%q\nreads %q\nwant  %q", test.err, got, test.want)
		}
	}
}

func TestShownPath(t *testing.T) {
	for path, want := range map[string]string{
		"a/b c": "a/b c", "ünï": "ünï", "-": "-", "a\nb": `"a\nb"`, "a\x1b[2J": `"a\x1b[2J"`, "a\u202eb": `"a\u202eb"`,
	} {
		if got := shownPath(path); got != want {
			t.Errorf("%q is shown as %s, want %s", path, got, want)
		}
	}
}
