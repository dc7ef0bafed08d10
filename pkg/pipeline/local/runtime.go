package local

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/memo"
)

// Path is the PATH that programs get, and on which their commands are looked
// up. It is fixed, so that a result does not depend on who started the daemon.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// interpretersMax bounds the chain of interpreters; Linux follows four.
const interpretersMax = 4

// shebangMax is how much of a script's first line counts, in bytes; Linux
// reads 256.
const shebangMax = 256

// executables finds what executes a command, and remembers the digests of
// programs that did not change. It may be used concurrently.
type executables struct {
	path  string // as Path
	mu    sync.Mutex
	known map[string]digest
}

// digest is a program's hash with what tells that the file is the same still.
type digest struct {
	size  int64
	mtime time.Time
	sum   string
}

// codeHead returns the first bytes of a file of the code tree.
type codeHead func(path string) ([]byte, error)

// resolve returns the executable of argv0 and the interpreters behind it. For
// a command inside the code tree (code/NAME) only the interpreters are listed:
// its own bytes are in the memo key with the code.
func (e *executables) resolve(argv0 string, head codeHead) ([]memo.Executable, error) {
	file, err := e.first(argv0, head)
	var chain []memo.Executable
	for file != "" && err == nil {
		if len(chain) > interpretersMax {
			return nil, fmt.Errorf("command %q: more than %d interpreters behind one another: %w", argv0, interpretersMax, fs.ErrInvalid)
		}
		var x memo.Executable
		if x, err = e.digest(file); err != nil {
			break
		}
		chain = append(chain, x)
		file, err = e.interpreter(file)
	}
	if err != nil {
		return nil, err
	}
	return chain, nil
}

// first returns the file on the host that argv0 needs: itself, or for a file
// of the code tree its interpreter, "" if it has none.
func (e *executables) first(argv0 string, head codeHead) (string, error) {
	if !strings.Contains(argv0, "/") {
		return e.lookup(argv0)
	}
	if path.IsAbs(argv0) {
		return resolved(argv0)
	}
	inCode, ok := strings.CutPrefix(path.Clean(argv0), "code/")
	if !ok {
		return "", fmt.Errorf("command %q: a relative command must lie in the code folder, as code/NAME: %w", argv0, fs.ErrInvalid)
	}
	line, err := head(inCode)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", argv0, err)
	}
	return e.shebang(line)
}

// lookup finds a name on the fixed PATH.
func (e *executables) lookup(name string) (string, error) {
	for _, dir := range strings.Split(e.path, ":") {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return resolved(file)
		}
	}
	return "", fmt.Errorf("command %q is not on the fixed PATH of pipelines (%s); install it there, or name it with its full path: %w", name, e.path, fs.ErrNotExist)
}

func resolved(file string) (string, error) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", file, err)
	}
	return real, nil
}

// interpreter returns the program behind a script, and "" for a file that is
// no script.
func (e *executables) interpreter(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", file, err)
	}
	defer f.Close()
	line := make([]byte, shebangMax)
	n, err := io.ReadFull(f, line)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("command %q: %w", file, err)
	}
	return e.shebang(line[:n])
}

// shebang returns the program that the first line of a script names, and "" if
// it is no such line. "env NAME" names NAME: env itself adds nothing.
func (e *executables) shebang(head []byte) (string, error) {
	rest, ok := bytes.CutPrefix(head, []byte("#!"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	words := strings.Fields(string(line))
	if !ok || len(words) == 0 {
		return "", nil
	}
	if path.Base(words[0]) == "env" {
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
				return e.lookup(w)
			}
		}
	}
	return resolved(words[0])
}

// digest hashes a program, or remembers its hash.
func (e *executables) digest(file string) (memo.Executable, error) {
	info, err := os.Stat(file)
	if err != nil {
		return memo.Executable{}, fmt.Errorf("command %q: %w", file, err)
	}
	e.mu.Lock()
	d, ok := e.known[file]
	e.mu.Unlock()
	if ok && d.size == info.Size() && d.mtime.Equal(info.ModTime()) {
		return memo.Executable{Path: file, Digest: d.sum}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return memo.Executable{}, fmt.Errorf("command %q: %w", file, err)
	}
	defer f.Close()
	h := blake3.New()
	if _, err := io.Copy(h, f); err != nil {
		return memo.Executable{}, fmt.Errorf("read command %q: %w", file, err)
	}
	d = digest{size: info.Size(), mtime: info.ModTime(), sum: hex.EncodeToString(h.Sum(nil))}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil {
		e.known = map[string]digest{}
	}
	e.known[file] = d
	return memo.Executable{Path: file, Digest: d.sum}, nil
}

// hostFingerprint names the user space that programs find here: the system's
// release and this installation of it.
func hostFingerprint() string {
	h := blake3.NewDeriveKey("dvx 2026-11 v1 host fingerprint")
	fmt.Fprintf(h, "%s/%s\n", runtime.GOOS, runtime.GOARCH)
	for _, file := range []string{"/etc/os-release", "/etc/machine-id"} {
		b, err := os.ReadFile(file)
		if err != nil {
			b = nil
		}
		fmt.Fprintf(h, "%s %d\n%s\n", file, len(b), b)
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	fmt.Fprintf(h, "host %s\n", name)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
