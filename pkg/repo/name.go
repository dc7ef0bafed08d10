package repo

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/commit"
)

// CheckRepoName reports whether name can name a repo, see commit.CheckRepoName.
func CheckRepoName(name string) error { return commit.CheckRepoName(name) }

// CheckRefName reports whether name can name a branch or tag, see
// commit.CheckRefName.
func CheckRefName(name string) error { return commit.CheckRefName(name) }

// checkNewRef reports whether name can be added to the names of r, which are
// prefix-free by component: where there is "a" there can't be "a/b", so that a
// path that starts with a ref can be read in one way only.
func checkNewRef(repo string, r Repo, name string) error {
	if err := CheckRefName(name); err != nil {
		return err
	}
	for other := range r.Branches {
		if err := prefixFree(repo, "branch", other, name); err != nil {
			return err
		}
	}
	for other := range r.Tags {
		if err := prefixFree(repo, "tag", other, name); err != nil {
			return err
		}
	}
	return nil
}

func prefixFree(repo, kind, there, name string) error {
	if there == name || strings.HasPrefix(there, name+"/") || strings.HasPrefix(name, there+"/") {
		return fmt.Errorf("ref %s@%s: there is a %s %s: %w", repo, name, kind, there, fs.ErrExist)
	}
	return nil
}
