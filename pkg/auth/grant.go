package auth

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Level is how much a [Grant] allows. Each level but Run holds the one before.
type Level string

// The levels.
const (
	LevelRead  Level = "read"  // read data, specs, jobs and logs
	LevelRun   Level = "run"   // LevelRead, and create and change pipelines, run and cancel jobs
	LevelWrite Level = "write" // LevelRead, and commit and write
	LevelAdmin Level = "admin" // all
)

var allows = map[Level][]Action{
	LevelRead:  {Read, ReadPipeline},
	LevelRun:   {Read, ReadPipeline, WritePipeline},
	LevelWrite: {Read, ReadPipeline, Write},
	LevelAdmin: {Read, ReadPipeline, WritePipeline, Write, Admin, ReadStore},
}

// Grant allows a level on part of a store. Repo and Ref are names, or start of
// names followed by "*"; "*" alone means all. A Ref other than "*" means
// branches and tags of that name, so it does not open commits by their ID.
// Path is a file or directory below which the grant holds, without a slash at
// either end; empty means all.
type Grant struct {
	Level Level  `json:"level"`
	Repo  string `json:"repo"`
	Ref   string `json:"ref"`
	Path  string `json:"path,omitempty"`
}

// ParseGrant reads "LEVEL:REPO[@REF][:/PATH]", for example "read:images@main"
// or "write:*". Anything else fails with fs.ErrInvalid.
func ParseGrant(s string) (Grant, error) {
	level, rest, ok := strings.Cut(s, ":")
	if !ok {
		return Grant{}, fmt.Errorf("grant %.80q: want LEVEL:REPO[@REF][:/PATH], as in read:images@main: %w", s, fs.ErrInvalid)
	}
	names, path, hasPath := strings.Cut(rest, ":/")
	name, ref, hasRef := strings.Cut(names, "@")
	if !hasRef {
		ref = "*"
	}
	g := Grant{Level: Level(level), Repo: name, Ref: ref}
	if hasPath {
		g.Path = strings.TrimSuffix(path, "/")
	}
	return g, g.Check()
}

// String returns the grant as ParseGrant reads it.
func (g Grant) String() string {
	s := string(g.Level) + ":" + g.Repo
	if g.Ref != "*" {
		s += "@" + g.Ref
	}
	if g.Path != "" {
		s += ":/" + g.Path
	}
	return s
}

// grantFieldMax bounds a field of a grant, in bytes.
const grantFieldMax = 4096

// Check reports whether g can be granted, fs.ErrInvalid if not.
func (g Grant) Check() error {
	if _, ok := allows[g.Level]; !ok {
		return fmt.Errorf("grant %q: level %q is not one of read, run, write, admin: %w", g, g.Level, fs.ErrInvalid)
	}
	for _, pattern := range []string{g.Repo, g.Ref} {
		if pattern == "" || len(pattern) > grantFieldMax || strings.Contains(strings.TrimSuffix(pattern, "*"), "*") {
			return fmt.Errorf("grant %q: want a name, or the start of one with * at its end: %w", g, fs.ErrInvalid)
		}
	}
	if g.Path == "" {
		return nil
	}
	if g.Level == LevelAdmin || g.Level == LevelRun {
		return fmt.Errorf("grant %q: %s can't be limited to a path: %w", g, g.Level, fs.ErrInvalid)
	}
	if len(g.Path) > grantFieldMax || !fs.ValidPath(g.Path) || g.Path == "." {
		return fmt.Errorf("grant %q: want a clean path below the root: %w", g, fs.ErrInvalid)
	}
	return nil
}

// Covers reports whether the grant allows a on r. A resource with a field left
// empty means all of its kind, so only a grant for all of them covers it.
func (g Grant) Covers(a Action, r Resource) bool {
	if !slices.Contains(allows[g.Level], a) || !matches(g.Repo, r.Repo) || !matches(g.Ref, r.Branch) {
		return false
	}
	return g.Path == "" || r.Path == g.Path || strings.HasPrefix(r.Path, g.Path+"/")
}

// matches reports whether name is named by pattern. An empty name stands for
// all names.
func matches(pattern, name string) bool {
	if pattern == "*" {
		return true
	}
	if start, ok := strings.CutSuffix(pattern, "*"); ok {
		return name != "" && strings.HasPrefix(name, start)
	}
	return name != "" && name == pattern
}

// touches reports whether the grant allows a on anything in the repo.
func (g Grant) touches(a Action, repo string) bool {
	return slices.Contains(allows[g.Level], a) && matches(g.Repo, repo)
}
