package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/memo"
)

// Path is the PATH that programs get, and on which their commands are looked
// up, unless a pipeline declares another. It is fixed, so that a result does
// not depend on who started the daemon.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// interpretersMax bounds the chain of interpreters; Linux follows four.
const interpretersMax = 4

// shebangMax is how much of a script's first line counts, in bytes; Linux
// reads 256.
const shebangMax = 256

// resolver finds what executes a command.
type resolver struct {
	search  search
	digests *digests
	head    func(path string) ([]byte, error) // first bytes of an executable file of the code tree
}

// resolve returns the executable of argv0 and the interpreters behind it. For
// a command inside the code tree (code/NAME) only the interpreters are listed:
// its own bytes are in the memo key with the code.
func (r *resolver) resolve(argv0 string) ([]memo.Executable, error) {
	file, err := r.first(argv0)
	if err != nil {
		return nil, err
	}
	var chain []memo.Executable
	for file != "" {
		if len(chain) > interpretersMax {
			return nil, fmt.Errorf("command %q: more than %d interpreters behind one another: %w", argv0, interpretersMax, fs.ErrInvalid)
		}
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			return nil, fmt.Errorf("command %q: %w", argv0, err)
		}
		digest, err := r.digests.of(real)
		if err != nil {
			return nil, fmt.Errorf("command %q: %w", argv0, err)
		}
		chain = append(chain, memo.Executable{Path: real, Digest: digest})
		line, err := firstBytes(real)
		if err != nil {
			return nil, fmt.Errorf("command %q: %w", argv0, err)
		}
		if file, err = r.shebang(line); err != nil {
			return nil, fmt.Errorf("command %q: %s: %w", argv0, real, err)
		}
	}
	return chain, nil
}

// first returns the file on the host that argv0 needs: itself, or for a file
// of the code tree its interpreter, "" if it has none.
func (r *resolver) first(argv0 string) (string, error) {
	inCode, ok := strings.CutPrefix(path.Clean(argv0), "code/")
	if !ok {
		return r.search.find(argv0)
	}
	line, err := r.head(inCode)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", argv0, err)
	}
	file, err := r.shebang(line)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", argv0, err)
	}
	return file, nil
}

// shebang returns the program that the first line of a script names, and "" if
// it is no such line. "env NAME" names NAME: env itself adds nothing.
func (r *resolver) shebang(head []byte) (string, error) {
	rest, ok := bytes.CutPrefix(head, []byte("#!"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	words := strings.Fields(string(line))
	switch {
	case !ok || len(words) == 0:
		return "", nil
	case bytes.HasSuffix(line, []byte("\r")):
		return "", fmt.Errorf("the script has Windows line ends, with which its interpreter is not found; convert it: %w", fs.ErrInvalid)
	case !path.IsAbs(words[0]):
		return "", fmt.Errorf("its interpreter %q is no absolute path: %w", words[0], fs.ErrInvalid)
	}
	if path.Base(words[0]) == "env" {
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
				return r.search.find(w)
			}
		}
	}
	return r.search.find(words[0])
}

// search finds programs of the host.
type search struct{ path string }

// find returns the file of a program: an absolute path, or a name on the path.
// Links are not resolved: some programs look at how they were called.
func (s search) find(name string) (string, error) {
	switch {
	case path.IsAbs(name) || filepath.IsAbs(name):
		if err := runnable(name); err != nil {
			return "", fmt.Errorf("command %q: %w", name, err)
		}
		return name, nil
	case strings.Contains(name, "/"):
		return "", fmt.Errorf("command %q: a relative command must lie in the code folder, as code/NAME: %w", name, fs.ErrInvalid)
	}
	for _, dir := range filepath.SplitList(s.path) {
		file := filepath.Join(dir, name)
		if filepath.IsAbs(dir) && runnable(file) == nil {
			return file, nil
		}
	}
	where := "the fixed PATH of pipelines"
	if s.path != Path {
		where = "the PATH that the pipeline declares"
	}
	return "", fmt.Errorf("command %q is not on %s (%s); install it there, or name it with its full path: %w", name, where, s.path, fs.ErrNotExist)
}

// runnable fails unless file is a program by its mode.
func runnable(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file: %w", file, fs.ErrInvalid)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable: %w", file, fs.ErrPermission)
	}
	return nil
}

// firstBytes returns as much of a file as its first line counts.
func firstBytes(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	line := make([]byte, shebangMax)
	n, err := io.ReadFull(f, line)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return slices.Clip(line[:n]), nil
}
