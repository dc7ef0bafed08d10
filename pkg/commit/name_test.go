package commit_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
)

func TestRepoNames(t *testing.T) {
	for _, s := range []string{"a", "images", "Images-2_x", "0", strings.Repeat("a", 63)} {
		if err := commit.CheckRepoName(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", ".", "a.b", "-a", "_a", "a/b", "a b", "é", "a\x00", strings.Repeat("a", 64)} {
		if err := commit.CheckRepoName(s); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRefNames(t *testing.T) {
	for _, s := range []string{"main", "v1.2", "feature/a.b_c-d", "a/b/c", "lock", "x.locks", strings.Repeat("a", 255)} {
		if err := commit.CheckRefName(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a..b", "a/..", ".a", "a/.b", "-a", "a/-b", "a.", "a./b",
		"a.lock", "a.lock/b", "a b", "a~1", "a^", "a@b", "a:b", "a{b", "é", "a\n", strings.Repeat("a", 256),
	} {
		if err := commit.CheckRefName(s); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
