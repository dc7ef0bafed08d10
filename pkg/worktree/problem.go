package worktree

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Problem is a path that can't be committed or checked out, and why.
type Problem struct {
	Path string
	Err  error
}

// Error names the path and the reason.
func (p Problem) Error() string { return fmt.Sprintf("%.200q: %v", p.Path, p.Err) }

// Unwrap returns the reason.
func (p Problem) Unwrap() error { return p.Err }

// ProblemsError lists what stands in the way of a commit or a checkout;
// nothing was stored or written.
type ProblemsError struct {
	Problems []Problem // at most ProblemsMax, in order of path
	More     bool      // there are others
}

// ProblemsMax is how many problems are looked for before giving up.
const ProblemsMax = 100

// Error lists the problems, one per line.
func (e *ProblemsError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	if e.More {
		lines = append(lines, "and more")
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (e *ProblemsError) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// The reasons of problems, besides those of tree.CheckName and CheckPortable.
var (
	// ErrCollision: another name of the directory differs only in case or
	// Unicode normalisation, or is a file beside a directory of the same name.
	ErrCollision = errors.New("a disk can take it for another name")
	// ErrSpecial: a device, socket or pipe.
	ErrSpecial = errors.New("neither a file, a directory nor a symbolic link")
	// ErrModified: a checkout would destroy what is there.
	ErrModified = errors.New("local changes would be lost; commit them, move them away, or force the checkout")
	// ErrReserved: a name that dvx keeps for itself.
	ErrReserved = errors.New("the name is reserved for dvx")
	// ErrLink: a symbolic link that can lead out of the checkout.
	ErrLink = errors.New("the symbolic link can lead out of the directory")
	// ErrQuota: more files or bytes than are allowed or fit. If the disk has no
	// room for them, the error is of kind syscall.ENOSPC too.
	ErrQuota = errors.New("too much to check out")
	// ErrChanging: a file, or the directory it is in, changes while it is read.
	ErrChanging = errors.New("changes while it is read; try again when nothing writes to it, or ignore it")
)

// problems collects Problems. It may be used concurrently.
type problems struct {
	mu   sync.Mutex
	list []Problem
	more bool
}

// add notes a problem and reports whether more are wanted.
func (p *problems) add(path string, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) == ProblemsMax {
		p.more = true
		return false
	}
	p.list = append(p.list, Problem{path, err})
	return true
}

// err returns the problems as an error, nil if there are none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &ProblemsError{Problems: p.list, More: p.more}
}

// tempPrefix begins the names of files that a checkout has not finished.
const tempPrefix = ".dvx-tmp-"

// isOurs reports whether name is, at the top of a working copy, the folder
// .dvx or, anywhere, a file of an unfinished checkout.
func isOurs(name string, top bool) bool {
	return strings.HasPrefix(name, tempPrefix) || (top && tree.FoldKey(name) == FolderName)
}

// isReserved reports whether some file system can take name for .dvx, or
// whether a scan would skip it: no such name is committed or checked out,
// however portable names need be.
func isReserved(name string) bool {
	if name != "" && name[0] < 0x80 && name[0] != '.' && name[0]|0x20 != 'd' {
		return false // what is left of it begins so too
	}
	name = strings.Map(func(r rune) rune {
		switch { // what HFS+ leaves out when it compares names
		case r >= 0x200C && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x206A && r <= 0x206F, r == 0xFEFF:
			return -1
		}
		return r
	}, name)
	name, _, _ = strings.Cut(name, ":")
	name = tree.FoldKey(strings.TrimRight(name, " ."))
	if name == FolderName || strings.HasPrefix(name, tempPrefix) {
		return true
	}
	short, ok := strings.CutPrefix(name, "dvx~")
	return ok && short != "" && strings.Trim(short, "0123456789") == ""
}

// checkName returns what keeps name from being committed or checked out.
func checkName(name string, allowNonportable bool) error {
	if err := tree.CheckName(name); err != nil {
		return err
	}
	if isReserved(name) {
		return ErrReserved
	}
	if allowNonportable {
		return nil
	}
	return tree.CheckPortable(name)
}

// folded finds names of one directory that a disk takes for one.
type folded map[string]string

// add returns a problem if an earlier name has the same FoldKey. Exact says
// that only equal names are one.
func (f folded) add(name string, exact bool) error {
	key := name
	if !exact {
		key = tree.FoldKey(name)
	}
	if other, ok := f[key]; ok {
		if other == name {
			return fmt.Errorf("a file and a directory have this name: %w", ErrCollision)
		}
		return fmt.Errorf("beside %.200q: %w", other, ErrCollision)
	}
	f[key] = name
	return nil
}

// foldsToItself reports whether a name surely is its own tree.FoldKey, so that
// it can only be taken for a name that is not.
func foldsToItself(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= 0x80 || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}
