package commit

import (
	"fmt"
	"io/fs"
	"strings"
)

// Limits of names.
const (
	RepoNameSizeMax = 63  // bytes: what a DNS label and an S3 bucket allow
	RefNameSizeMax  = 255 // bytes
)

// CheckRepoName reports whether name can name a repo: 1 to RepoNameSizeMax
// bytes of [A-Za-z0-9_-], the first a letter or digit. The error wraps
// fs.ErrInvalid.
func CheckRepoName(name string) error {
	if name == "" || len(name) > RepoNameSizeMax {
		return fmt.Errorf("repo name %.80q: want 1 to %d bytes: %w", name, RepoNameSizeMax, fs.ErrInvalid)
	}
	for i := range len(name) {
		c := name[i]
		if !alphanumeric(c) && (i == 0 || c != '_' && c != '-') {
			return fmt.Errorf("repo name %q: want letters, digits, _ and -, a letter or digit first: %w", name, fs.ErrInvalid)
		}
	}
	return nil
}

// CheckRefName reports whether name can name a branch or tag: 1 to
// RefNameSizeMax bytes of [A-Za-z0-9._/-], no empty component, none that
// starts with "-" or ".", none that ends with "." or ".lock", and no "..". The
// error wraps fs.ErrInvalid.
func CheckRefName(name string) error {
	if name == "" || len(name) > RefNameSizeMax {
		return fmt.Errorf("ref name %.80q: want 1 to %d bytes: %w", name, RefNameSizeMax, fs.ErrInvalid)
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && !strings.ContainsRune("._/-", rune(c)) {
			return fmt.Errorf("ref name %q: want letters, digits and . _ / -: %w", name, fs.ErrInvalid)
		}
	}
	if strings.Contains(name, "..") {
		return fmt.Errorf("ref name %q contains \"..\": %w", name, fs.ErrInvalid)
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return fmt.Errorf("ref name %q has an empty component: %w", name, fs.ErrInvalid)
		case part[0] == '-' || part[0] == '.':
			return fmt.Errorf("ref name %q has a component that starts with %q: %w", name, part[0], fs.ErrInvalid)
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, ".lock"):
			return fmt.Errorf("ref name %q has a component that ends with \".\" or \".lock\": %w", name, fs.ErrInvalid)
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
