package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Mark is what the text of every input begins with.
const Mark = "the input of datum "

// fileMax is how much of a file is searched for marks and tokens.
const fileMax = 1 << 20

// Report is what a program finds.
type Report struct {
	Name      string            `json:"name"`
	UID       int               `json:"uid"`
	Status    map[string]string `json:"status"`    // of /proc/self/status: capabilities, privileges, seccomp
	Env       []string          `json:"env"`       // names
	Marks     []string          `json:"marks"`     // inputs that can be read, anywhere
	Tokens    []string          `json:"tokens"`    // files that hold what looks like a token or a key
	Writable  []string          `json:"writable"`  // of folders and files that are to be read only
	Processes []string          `json:"processes"` // command lines that are not of this program
	Answers   map[string]string `json:"answers"`   // of the URLs: the status, or "no connection"
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(urls []string) error {
	inputs, err := filepath.Glob("in/*/*")
	if err != nil || len(inputs) != 1 {
		return fmt.Errorf("inputs %q, want one: %w", inputs, err)
	}
	r := Report{Name: filepath.Base(inputs[0]), UID: os.Getuid(), Answers: map[string]string{}}
	r.Status = status()
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		r.Env = append(r.Env, name)
	}
	r.search()
	r.write(inputs[0])
	r.Processes = processes()
	for _, url := range urls {
		r.Answers[url] = ask(url)
	}
	time.Sleep(100 * time.Millisecond) // what is prepared beside it is there by now
	r.search()
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join("out", r.Name+".json"), b, 0o644)
}

// status picks what the kernel lets this process do.
func status() map[string]string {
	b, _ := os.ReadFile("/proc/self/status")
	picked := map[string]string{}
	for line := range strings.Lines(string(b)) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp":
			picked[name] = strings.TrimSpace(value)
		}
	}
	return picked
}

// search reads every file that can be read.
func (r *Report) search() {
	r.Marks, r.Tokens = nil, nil
	_ = filepath.WalkDir("/", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case d.IsDir() && (name == "/proc" || name == "/sys" || name == "/dev"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text := head(name)
		if strings.HasPrefix(text, Mark) {
			r.Marks = append(r.Marks, strings.TrimSpace(text))
		}
		if strings.HasPrefix(text, "eyJ") || strings.Contains(text, "PRIVATE KEY") && len(text) < 16<<10 {
			r.Tokens = append(r.Tokens, name)
		}
		return nil
	})
}

func head(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	b, _ := io.ReadAll(io.LimitReader(f, fileMax))
	return string(b)
}

// write tries to write where nothing may be written.
func (r *Report) write(input string) {
	for _, name := range []string{"/", "/etc", "/bin", "in", filepath.Dir(input), "..", "../.."} {
		if f, err := os.CreateTemp(name, "probe"); err == nil {
			r.Writable = append(r.Writable, name)
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}
	_ = os.Chmod(input, 0o666)
	if f, err := os.OpenFile(input, os.O_WRONLY, 0); err == nil {
		r.Writable = append(r.Writable, input)
		_ = f.Close()
	}
	// Folders of other tasks, wherever they are.
	_ = filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Base(name) == "out" {
			own, _ := os.Stat("out")
			if st, err := os.Stat(name); err == nil && !os.SameFile(st, own) && syscall.Access(name, 2) == nil {
				r.Writable = append(r.Writable, name)
			}
		}
		return nil
	})
}

// processes lists the others.
func processes() []string {
	var lines []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		if b, err := os.ReadFile(name); err == nil && len(b) > 0 && filepath.Base(filepath.Dir(name)) != fmt.Sprint(os.Getpid()) {
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " ")))
		}
	}
	return lines
}

// ask asks for a URL as somebody who has no rights.
func ask(url string) string {
	c := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it has nothing to lose
	resp, err := c.Get(url)
	if err != nil {
		return "no connection"
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Status
}
