package worktree

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// surveyor finds what of a directory in a store a disk can't hold, before
// anything is written. A directory that occurs many times is looked at once,
// so that its cost follows what is stored and not what it would become.
type surveyor struct {
	r          chunk.Reader
	rules      diskRules
	links      bool // links may lead anywhere
	entriesMax int64
	known      map[tree.ID]shape
}

// diskRules says what a disk can hold.
type diskRules struct {
	portable bool // only portable names: Windows
	fold     bool // names that differ in case or normalisation are one
}

// shape is what a directory would become on disk.
type shape struct {
	entries int64 // files, links and directories below
	depth   int   // components of the longest path below
	size    int   // bytes of the longest path below
	climb   int   // how many levels above the directory its links reach
	bad     bool  // something below can't be on a disk, wherever it is
}

// survey fails with ErrQuota, or with a ProblemsError, unless a disk can hold
// root.
func (s *surveyor) survey(ctx context.Context, root tree.Root) error {
	if root.Files > s.entriesMax {
		return fmt.Errorf("%d files, at most %d are allowed: %w", root.Files, s.entriesMax, ErrQuota)
	}
	s.known = map[tree.ID]shape{}
	sh, err := s.dir(ctx, root, 1)
	if err != nil || !s.faulty(sh, "") {
		return err
	}
	var p problems
	if _, err := s.explain(ctx, root, "", &p); err != nil {
		return err
	}
	if err := p.err(); err != nil {
		return err
	}
	return fmt.Errorf("a disk can't hold it: %w", fs.ErrInvalid) // not to be reached, and never to be passed
}

// faulty reports whether a directory of shape sh can't be at path.
func (s *surveyor) faulty(sh shape, path string) bool {
	depth := strings.Count(path, "/")
	return sh.bad || sh.climb > depth || depth+sh.depth > tree.PathDepthMax || len(path)+sh.size > tree.PathSizeMax
}

func (s *surveyor) dir(ctx context.Context, root tree.Root, depth int) (shape, error) {
	if sh, ok := s.known[root.ID]; ok {
		return sh, nil
	}
	if depth > tree.PathDepthMax {
		return shape{bad: true}, nil
	}
	sh := shape{climb: -tree.PathDepthMax}
	err := s.judge(ctx, root, func(e *tree.Entry, climb int, err error) (bool, error) {
		below := shape{climb: climb}
		if e.Kind == tree.Dir {
			var derr error
			if below, derr = s.dir(ctx, e.Dir, depth+1); derr != nil {
				return false, derr
			}
			below.climb--
		}
		sh.entries += 1 + below.entries // no overflow: both are at most entriesMax
		if sh.entries > s.entriesMax {
			return false, fmt.Errorf("more than %d files and directories: %w", s.entriesMax, ErrQuota)
		}
		sh.depth = max(sh.depth, 1+below.depth)
		sh.size = max(sh.size, len(e.Key())+below.size)
		sh.climb = max(sh.climb, below.climb)
		sh.bad = sh.bad || below.bad || err != nil
		return true, nil
	})
	if err == nil {
		s.known[root.ID] = sh
	}
	return sh, err
}

// explain names the problems of root at path and reports whether more are
// wanted.
func (s *surveyor) explain(ctx context.Context, root tree.Root, path string, p *problems) (bool, error) {
	depth, more := strings.Count(path, "/"), true
	err := s.judge(ctx, root, func(e *tree.Entry, climb int, err error) (bool, error) {
		full := path + e.Key()
		switch {
		case err != nil:
		case tree.CheckPath(full) != nil:
			err = tree.CheckPath(full)
		case climb > depth:
			err = fmt.Errorf("its target begins with %d times \"..\": %w", climb, ErrLink)
		}
		if err != nil {
			more = p.add(full, err)
			return more, nil
		}
		if e.Kind != tree.Dir {
			return true, nil
		}
		if sh, ok := s.known[e.Dir.ID]; ok && !s.faulty(sh, full) {
			return true, nil
		}
		more, err = s.explain(ctx, e.Dir, full, p)
		return more, err
	})
	return more, err
}

// judge calls fn with each entry of one directory, not of those below it, with
// how far up a link leads and with what keeps the entry from being on a disk
// anywhere, until fn returns false.
func (s *surveyor) judge(ctx context.Context, root tree.Root, fn func(e *tree.Entry, climb int, err error) (bool, error)) error {
	names := folded{}
	for e, err := range tree.Open(s.r, root).Entries(ctx, "", "") {
		if err != nil {
			return err
		}
		climb := -tree.PathDepthMax
		problem := s.checkName(e.Name)
		if problem == nil {
			problem = names.add(e.Name, !s.rules.fold)
		}
		if problem == nil && e.Kind == tree.Symlink && !s.links {
			target, err := readLink(ctx, s.r, e.Content)
			if err != nil {
				return fmt.Errorf("read symbolic link %.200q: %w", e.Name, err)
			}
			climb, problem = checkLink(target, s.rules.portable)
		}
		if more, err := fn(&e, climb, problem); err != nil || !more {
			return err
		}
	}
	return nil
}

func (s *surveyor) checkName(name string) error {
	if err := checkName(name, !s.rules.portable); err != nil {
		return err
	}
	if len(name) > tree.PortableSizeMax {
		return fmt.Errorf("a name of %d bytes, a disk holds %d: %w", len(name), tree.PortableSizeMax, fs.ErrInvalid)
	}
	return nil
}

// readLink returns the target of a symbolic link.
func readLink(ctx context.Context, r chunk.Reader, c chunk.Content) (string, error) {
	f, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f) // at most tree.LinkSizeMax bytes, which the decoder saw to
	return string(b), err
}

// checkLink returns how many levels up a target leads from the link's
// directory. A target that is absolute, or goes up after it went down, fails
// with ErrLink: where the latter leads depends on other links. All other
// links, as long as they climb no higher than the top, lead nowhere else
// however they are combined.
func checkLink(target string, windows bool) (climb int, err error) {
	switch {
	case strings.HasPrefix(target, "/"):
		return 0, fmt.Errorf("its target %.200q is absolute: %w", target, ErrLink)
	case strings.Contains(target, "\x00"):
		return 0, fmt.Errorf("its target holds a NUL: %w", ErrLink)
	case windows && strings.ContainsAny(target, `\:`):
		return 0, fmt.Errorf("its target %.200q can be absolute on Windows: %w", target, ErrLink)
	}
	down := false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if down {
				return 0, fmt.Errorf("its target %.200q goes up after it went down: %w", target, ErrLink)
			}
			climb++
		default:
			down = true
		}
	}
	return climb, nil
}
