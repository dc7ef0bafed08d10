//go:build unix

package worker

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

func TestOutputsBecomeATree(t *testing.T) {
	s := &chunk.Mem{}
	writeOut := func(dir string) {
		out := filepath.Join(dir, "out")
		write(t, filepath.Join(out, "a.txt"), "alpha", 0o600)
		write(t, filepath.Join(out, "a/b"), "", 0o644)
		write(t, filepath.Join(out, "a-b"), "dash", 0o644)
		write(t, filepath.Join(out, "bin/run"), "#!", 0o755)
		must(t, os.MkdirAll(filepath.Join(out, "hollow/inner"), 0o755))
		must(t, os.Symlink("../a.txt", filepath.Join(out, "bin/up")))
		must(t, os.Symlink("nowhere", filepath.Join(out, "dangling")))
		must(t, os.Symlink(filepath.Join(out, "bin/run"), filepath.Join(out, "hollow/abs")))
		must(t, os.Symlink(".", filepath.Join(out, "self")))
		must(t, os.Link(filepath.Join(out, "a.txt"), filepath.Join(out, "hard")))
		write(t, filepath.Join(out, "naïve"), "ü", 0o644)
	}
	w := newWorker(t, program(t, writeOut))
	res := succeed(t, w, aTask(), s)
	want := `a-b "dash"
a.txt "alpha"
a/
a/b ""
bin/
bin/run x "#!"
bin/up -> ../a.txt
dangling -> nowhere
hard "alpha"
hollow/
hollow/abs -> ../bin/run
hollow/inner/
naïve "ü"
self -> .
`
	if got := listing(t, s, res.Output); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if res.Stats.BytesOut != int64(len("dash")+2*len("alpha")+len("#!")+len("ü")) {
		t.Errorf("%d bytes out", res.Stats.BytesOut)
	}
	// The same program gives the same tree: again, and from another folder.
	for _, again := range []*Worker{w, newWorker(t, program(t, writeOut))} {
		if other := succeed(t, again, aTask(), s); other.Output != res.Output {
			t.Errorf("the same program gave %v, then %v", res.Output, other.Output)
		}
	}
}

func TestLinksToInputsBecomeInputs(t *testing.T) {
	s := &chunk.Mem{}
	root := build(t, s, map[string]any{
		"f.txt": "file", "run": executable("#!"), "d/x": "X", "d/y/z": "Z", "d/hollow": emptyDir{}, "d/in": linkTo("y/z"),
		"alias": linkTo("d"), "hop": linkTo("alias/y"), "loop": linkTo("loop"), "d/out": linkTo("../f.txt"),
	})
	inputs := []task.Input{
		whole("r", root),
		{Name: "q", Items: []task.Item{{Path: "p/one", Entry: entry(t, s, "1")}, {Path: "p/two", Entry: entry(t, s, "2")}}},
	}
	cases := []struct {
		at, target string
		want       string // TASK stands for the task's folder
		reason     string
	}{
		{at: "l", target: "../in/r/f.txt", want: `l "file"` + "\n"},
		{at: "l", target: "TASK/in/r/f.txt", want: `l "file"` + "\n"},
		{at: "d/l", target: "../../in/r/run", want: "d/\nd/l x \"#!\"\n"},
		{at: "l", target: "../in/r/d/y/", want: "l/\nl/z \"Z\"\n"},
		{at: "l", target: "../in/r/alias/y", want: "l/\nl/z \"Z\"\n"},
		{at: "l", target: "TASK/in/r/hop/z", want: "l \"Z\"\n"},
		{at: "l", target: "../in/q/p", want: "l/\nl/one \"1\"\nl/two \"2\"\n"},
		{at: "l", target: "../in/q/p/two", want: "l \"2\"\n"},
		{at: "l", target: "../in/q", want: "l/\nl/p/\nl/p/one \"1\"\nl/p/two \"2\"\n"},
		{at: "e/l", target: "../../in/r/d", want: "e/\ne/l/\ne/l/hollow/\ne/l/in -> y/z\ne/l/out -> ../f.txt\ne/l/x \"X\"\ne/l/y/\ne/l/y/z \"Z\"\n"},
		{at: "l", target: "../in/r/d/out", want: "l \"file\"\n"},
		{at: "l", target: "../in/r/none", reason: "no input in/r/none"},
		{at: "l", target: "../in/r/f.txt/x", reason: "no input"},
		{at: "l", target: "../in/none/x", reason: "no input"},
		{at: "l", target: "../in/r/loop", reason: "loop"},
		{at: "l", target: "../in", reason: "neither in out nor an input"},
		{at: "l", target: "../code/x", reason: "neither in out nor an input"},
		{at: "l", target: "../tmp/x", reason: "neither in out nor an input"},
		{at: "l", target: "..", reason: "neither in out nor an input"},
		{at: "l", target: "../../log", reason: "leaves"},
		{at: "l", target: "../in/../../log", reason: ".. behind a name"},
		{at: "l", target: "TASK/out/../../log", reason: ".. behind a name"},
		{at: "l", target: "/etc/passwd", reason: "leaves"},
		{at: "l", target: "TASK", reason: "leaves"},
		{at: "l", target: "TASK-evil/in/r/f.txt", reason: "leaves"},
	}
	for _, c := range cases {
		t.Run(c.target, func(t *testing.T) {
			w := newWorker(t, program(t, func(dir string) {
				must(t, os.MkdirAll(filepath.Join(dir, "out", filepath.Dir(c.at)), 0o755))
				must(t, os.Symlink(strings.Replace(c.target, "TASK", dir, 1), filepath.Join(dir, "out", c.at)))
			}))
			if c.reason != "" {
				refuse(t, w, aTask(inputs...), s, "out/"+c.at, c.reason)
				return
			}
			res := succeed(t, w, aTask(inputs...), s)
			if got := listing(t, s, res.Output); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestLinkedInputDirectoryMustNotLeadOut(t *testing.T) {
	s := &chunk.Mem{}
	root := build(t, s, map[string]any{"a/b/c/l": linkTo("../../../x"), "x": "X"})
	w := newWorker(t, program(t, func(dir string) {
		must(t, os.Symlink("../in/r/a/b", filepath.Join(dir, "out/l")))
	}))
	refuse(t, w, aTask(whole("r", root)), s, "out/l/c/l", "../../../x")
}

// counting counts the data chunks that are put.
type counting struct {
	chunk.Mem
	data int
}

func (c *counting) Put(ctx context.Context, k chunk.Kind, b []byte) (chunk.ID, error) {
	if k == chunk.Data {
		c.data++
	}
	return c.Mem.Put(ctx, k, b)
}

func TestLinkToInputStoresNoData(t *testing.T) {
	s := &counting{}
	root := build(t, s, map[string]any{"d/big": strings.Repeat("big input ", 500<<10), "d/e/small": "s"})
	before := s.data
	w := newWorker(t, program(t, func(dir string) {
		must(t, os.Symlink("../in/r/d", filepath.Join(dir, "out/all")))
		must(t, os.Symlink("../in/r/d/big", filepath.Join(dir, "out/big")))
	}))
	res := succeed(t, w, aTask(whole("r", root)), s)
	if s.data != before || res.Output.Files != 3 || res.Stats.BytesOut != 0 {
		t.Errorf("%d data chunks put, output %+v, %d bytes out", s.data-before, res.Output, res.Stats.BytesOut)
	}
}

// Two inputs of one content give one output, whoever wrote them and when.
func TestAttributesOfInputsDoNotShowInOutputs(t *testing.T) {
	s := &chunk.Mem{}
	plain := build(t, s, map[string]any{"d/a": "alpha"})
	stamped, err := tree.Apply(context.Background(), s, plain, []tree.Edit{{
		Op: tree.Put, Path: "d/a", SetAttrs: true,
		Entry: tree.Entry{Kind: tree.File, Content: entry(t, s, "alpha").Content, Attrs: tree.Attrs{ContentType: "text/x"}},
	}, {Op: tree.Mark, Path: "d", Marker: &tree.Marker{}}})
	must(t, err)
	if plain.Content != stamped.Content || plain.ID == stamped.ID {
		t.Fatalf("want equal contents and different IDs: %v, %v", plain, stamped)
	}
	w := newWorker(t, program(t, func(dir string) { must(t, os.Symlink("../in/r", filepath.Join(dir, "out/l"))) }))
	a, b := succeed(t, w, aTask(whole("r", plain)), s), succeed(t, w, aTask(whole("r", stamped)), s)
	if a.Output != b.Output {
		t.Errorf("outputs %v and %v", a.Output, b.Output)
	}
	listing(t, s, b.Output)
}

func TestOutputsThatAreNoFilesFailTheDatum(t *testing.T) {
	cases := []struct {
		name  string
		make  func(out string) error
		words []string
	}{
		{"named pipe", func(out string) error { return unix.Mkfifo(filepath.Join(out, "p"), 0o600) }, []string{"out/p", "named pipe"}},
		{"socket", func(out string) error { return socket(out) }, []string{"out/s", "socket"}},
		{"name that is not UTF-8", func(out string) error {
			return os.WriteFile(filepath.Join(out, "x\xff"), nil, 0o600)
		}, []string{`x\xff`, "UTF-8"}},
		{"folder name that is not UTF-8", func(out string) error {
			return os.Mkdir(filepath.Join(out, "\xc0"), 0o700)
		}, []string{`\xc0`, "UTF-8"}},
		{"out removed", os.Remove, []string{"removed"}},
		{"out replaced by a link", func(out string) error {
			return join(os.Remove(out), os.Symlink("/etc", out))
		}, []string{"replaced", "link"}},
		{"out replaced by a link to in", func(out string) error {
			return join(os.Remove(out), os.Symlink("in", out))
		}, []string{"replaced", "link"}},
		{"out replaced by a file", func(out string) error {
			return join(os.Remove(out), os.WriteFile(out, nil, 0o600))
		}, []string{"replaced", "file"}},
		{"too deep", func(out string) error {
			return os.MkdirAll(filepath.Join(out, strings.Repeat("d/", 300)), 0o755)
		}, []string{"exceeds"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &chunk.Mem{}
			w := newWorker(t, program(t, func(dir string) { must(t, c.make(filepath.Join(dir, "out"))) }))
			refuse(t, w, aTask(), s, c.words...)
			w.opts.Exec = program(t, func(string) {})
			succeed(t, w, aTask(), s)
		})
	}
}

func join(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// socket makes one at out/s by a short path: names of sockets are short.
func socket(out string) error {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return join(l.Close(), os.Rename(filepath.Join(dir, "s"), filepath.Join(out, "s")))
}

func TestDeviceOutputFailsTheDatum(t *testing.T) {
	s := &chunk.Mem{}
	w := newWorker(t, program(t, func(dir string) {
		err := unix.Mknod(filepath.Join(dir, "out/null"), syscall.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		if err != nil {
			t.Skip("only root may make devices:", err)
		}
	}))
	refuse(t, w, aTask(), s, "out/null", "device")
}

func TestUnreadableOutputFailsTheDatum(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	for _, p := range []string{"f", "d"} {
		s := &chunk.Mem{}
		w := newWorker(t, program(t, func(dir string) {
			write(t, filepath.Join(dir, "out/f"), "x", 0o600)
			must(t, os.Mkdir(filepath.Join(dir, "out/d"), 0o700))
			must(t, os.Chmod(filepath.Join(dir, "out", p), 0))
		}))
		refuse(t, w, aTask(), s, "out/"+p, "can't be read")
	}
}

func TestSparseOutputIsStored(t *testing.T) {
	const size = 100 << 20
	s := &chunk.Mem{}
	w := newWorker(t, program(t, func(dir string) {
		write(t, filepath.Join(dir, "out/holes"), "", 0o600)
		must(t, os.Truncate(filepath.Join(dir, "out/holes"), size))
	}))
	res := succeed(t, w, aTask(), s)
	if _, chunks := s.Counts(); res.Output.Bytes != size || res.Stats.BytesOut != size || chunks > 200 {
		t.Errorf("output %+v with %d puts", res.Output, chunks)
	}
}

// A name that turns into a link while outputs are stored, as only a process
// that got away could do, is not followed.
func TestSwappedNamesAreNotFollowed(t *testing.T) {
	s := &chunk.Mem{}
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "SECRET", 0o600)
	const names = 20
	stop := make(chan struct{})
	var done sync.WaitGroup
	swap := func(out string, i int) {
		file, staged := filepath.Join(out, fmt.Sprintf("f%d", i)), filepath.Join(filepath.Dir(out), "tmp", fmt.Sprintf("s%d", i))
		_ = os.Symlink(secret, staged)
		_ = os.Rename(staged, file)
		_ = os.WriteFile(staged, []byte("harmless"), 0o600)
		_ = os.Rename(staged, file)
	}
	w := newWorker(t, program(t, func(dir string) {
		out := filepath.Join(dir, "out")
		for i := range names {
			write(t, filepath.Join(out, fmt.Sprintf("f%d", i)), "harmless", 0o600)
		}
		done.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					swap(out, i%names)
					runtime.Gosched()
				}
			}
		})
	}))
	for range 30 {
		stop = make(chan struct{})
		res, err := w.Run(context.Background(), aTask(), s)
		close(stop)
		done.Wait()
		if err != nil {
			continue // a name was gone at the wrong moment
		}
		if res.Outcome == task.Succeeded && strings.Contains(listing(t, s, res.Output), "SECRET") {
			t.Fatal("a link was followed out of the folder")
		}
	}
}
