package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/tree"
)

// LogSizeMax is how much of a program's output is kept, in bytes: the first
// and the last half where there is more.
const LogSizeMax = 16 << 20

// Options configures a [Worker].
type Options struct {
	Dir  string           // private folder of this worker; made if absent, its contents are lost
	Exec Executor         //
	Path string           // PATH that programs get
	Now  func() time.Time //
}

// Worker runs tasks one after the other in its folder.
type Worker struct {
	opts   Options
	writer *chunk.Writer
	store  chunk.Store
	params chunk.Params
	code   tree.ContentID // laid out now
	stamp  stamp          // of the code folder as laid out
}

// New makes a worker that cuts outputs by params.
func New(params chunk.Params, o Options) (*Worker, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("worker folder: %w", err)
	}
	// Links are compared as text, so the folder's own name must be without any.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("worker folder: %w", err)
	}
	if o.Dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("worker folder: %w", err)
	}
	w := &Worker{opts: o, params: params}
	return w, clear(w.path())
}

// path names a file or folder of the task.
func (w *Worker) path(elem ...string) string {
	return filepath.Join(append([]string{w.opts.Dir, "task"}, elem...)...)
}

// Run runs t and puts what it wrote into s; the caller flushes s before it
// relies on the result. An error is the infrastructure's.
func (w *Worker) Run(ctx context.Context, t pipeline.Task, s chunk.Store) (pipeline.Result, error) {
	res := pipeline.Result{Started: w.opts.Now().UTC()}
	err := w.run(ctx, t, s, &res)
	res.Ended = w.opts.Now().UTC()
	var r refused
	if errors.As(err, &r) {
		res.Outcome, res.Reason = pipeline.Failed, r.Error()
		err = nil
	}
	return res, err
}

// run fills res; a refused error is the author's to mend.
func (w *Worker) run(ctx context.Context, t pipeline.Task, s chunk.Store, res *pipeline.Result) error {
	if w.store != s {
		writer, err := chunk.NewWriter(s, w.params)
		if err != nil {
			return err
		}
		w.store, w.writer = s, writer
	}
	at := w.opts.Now()
	in, err := w.prepare(ctx, t)
	res.Stats.Fetch, res.Stats.BytesIn = w.opts.Now().Sub(at), in
	if err != nil {
		return err
	}
	at = w.opts.Now()
	exit, timedOut, err := w.exec(ctx, t)
	res.Stats.Run, res.Stats.CPU, res.Stats.RSSMax = w.opts.Now().Sub(at), exit.CPU, exit.RSSMax
	if err != nil {
		return err
	}
	at = w.opts.Now()
	defer func() { res.Stats.Store = w.opts.Now().Sub(at) }()
	last, err := w.storeLog(ctx, res)
	if err != nil {
		return err
	}
	res.Exit = exit.Code
	if res.Outcome, res.Reason = judge(t, exit, timedOut, last); res.Outcome != pipeline.Succeeded {
		return nil
	}
	res.Output, res.Stats.BytesOut, err = collect(ctx, w.path("out"), t.Inputs, s, w.writer)
	if err != nil {
		res.Outcome = pipeline.Crashed
	}
	return err
}

// prepare lays out everything that the program finds, and returns the bytes of
// its inputs.
func (w *Worker) prepare(ctx context.Context, t pipeline.Task) (int64, error) {
	for _, dir := range []string{"in", "out", "tmp"} {
		if err := clear(w.path(dir)); err != nil {
			return 0, err
		}
	}
	if err := w.prepareCode(ctx, t.Code); err != nil {
		return 0, err
	}
	stdin := strings.Join(t.Transform.Stdin, "\n")
	if stdin != "" {
		stdin += "\n"
	}
	if err := os.WriteFile(w.file("stdin"), []byte(stdin), 0o600); err != nil {
		return 0, fmt.Errorf("prepare task: %w", err)
	}
	if err := os.WriteFile(w.file("log"), nil, 0o600); err != nil {
		return 0, fmt.Errorf("prepare task: %w", err)
	}
	return layInputs(ctx, w.path("in"), t.Inputs, w.store)
}

// file names a file of the worker, out of the program's working directory.
func (w *Worker) file(name string) string { return filepath.Join(w.opts.Dir, name) }

// prepareCode lays the code tree out, unless it lies there untouched from the
// task before.
func (w *Worker) prepareCode(ctx context.Context, code tree.Root) error {
	dir := w.path("code")
	if code.Content == w.code && !w.stamp.empty() && stampOf(dir) == w.stamp {
		return nil
	}
	w.stamp = stamp{}
	if err := clear(dir); err != nil {
		return err
	}
	if !code.ID.IsZero() {
		if err := layTree(ctx, dir, code, w.store); err != nil {
			return err
		}
	}
	w.code, w.stamp = code.Content, stampOf(dir)
	return nil
}

// exec runs the program under its time limit.
func (w *Worker) exec(ctx context.Context, t pipeline.Task) (Exit, bool, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if t.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, t.Timeout)
	}
	defer cancel()
	dir := w.path()
	if t.Transform.WorkingDir != "" {
		if !filepath.IsLocal(t.Transform.WorkingDir) {
			return Exit{}, false, refusef("working_dir %q leaves the task's folder", t.Transform.WorkingDir)
		}
		dir = w.path(t.Transform.WorkingDir)
	}
	exe := ""
	if clean := path.Clean(t.Transform.Cmd[0]); strings.HasPrefix(clean, "code/") {
		exe = w.path(filepath.FromSlash(clean))
	}
	exit, err := w.opts.Exec.Exec(limited, Process{
		Path: exe, Argv: t.Transform.Cmd, Env: w.environ(t), Dir: dir, Stdin: w.file("stdin"), Log: w.file("log"),
	})
	if ctx.Err() != nil {
		return exit, false, ctx.Err()
	}
	return exit, limited.Err() != nil && exit.Killed, err
}

// environ returns the whole environment of the program.
func (w *Worker) environ(t pipeline.Task) []string {
	env := map[string]string{
		"PATH": w.opts.Path, "HOME": w.path("tmp"), "TMPDIR": w.path("tmp"), "LANG": "C.UTF-8", "TZ": "UTC",
		"DVX_IN": w.path("in"), "DVX_OUT": w.path("out"), "DVX_CODE": w.path("code"),
		"DVX_DATUM_ID": t.Key.String(), "DVX_ATTEMPT_KEY": attemptKey(t.Key),
	}
	for _, in := range t.Inputs {
		env["DVX_INPUT_"+envName(in.Name)+"_URL"] = in.URL
	}
	for name, value := range t.Transform.Env {
		env[name] = value
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// attemptKey is for user code to hand to outside services as an idempotency
// key: all attempts at one piece of work share it.
func attemptKey(k memo.Key) string {
	return chunk.Data.Sum([]byte("attempt " + k.String())).String()[:32]
}

// envName turns an input's name into a part of a variable's name.
func envName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
}

// judge decides how the program fared.
func judge(t pipeline.Task, e Exit, timedOut bool, lastLine string) (pipeline.Outcome, string) {
	said := ""
	if lastLine != "" {
		said = "; it last said: " + lastLine
	}
	switch {
	case e.Failure != "":
		return pipeline.Failed, "could not be started: " + e.Failure
	case timedOut:
		return pipeline.TimedOut, fmt.Sprintf("killed after its time limit of %v%s", t.Timeout, said)
	case e.Signal != "":
		return pipeline.Failed, fmt.Sprintf("ended by %s%s", e.Signal, said)
	case e.Code == 0 || slices.Contains(t.Transform.AcceptReturnCode, e.Code):
		return pipeline.Succeeded, ""
	default:
		return pipeline.Failed, fmt.Sprintf("exit status %d%s", e.Code, said)
	}
}

// storeLog keeps what the program printed and returns its last line.
func (w *Worker) storeLog(ctx context.Context, res *pipeline.Result) (string, error) {
	f, err := os.Open(w.file("log"))
	if err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	var r io.Reader = f
	if size := info.Size(); size > LogSizeMax {
		r = io.MultiReader(io.NewSectionReader(f, 0, LogSizeMax/2),
			strings.NewReader(fmt.Sprintf("\n[dvx: %d bytes left out]\n", size-LogSizeMax)),
			io.NewSectionReader(f, size-LogSizeMax/2, LogSizeMax/2))
	}
	if res.Log, err = w.writer.WriteContent(ctx, r); err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	return lastLine(f, info.Size()), nil
}

// lastLine returns the last line with text in it, at most 200 bytes of it.
func lastLine(f io.ReaderAt, size int64) string {
	const tailSize = 1024
	b := make([]byte, min(size, tailSize))
	n, err := f.ReadAt(b, size-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	b = bytes.TrimSpace(b[:n])
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		b = b[i+1:]
	}
	return strings.ToValidUTF8(string(b[:min(len(b), 200)]), "?")
}

// stamp tells whether a folder was touched: a digest over every file's size
// and times, where the time of the last change of its metadata can't be set.
type stamp struct{ id chunk.ID }

func (s stamp) empty() bool { return s.id.IsZero() }

// stampOf returns the stamp of dir, empty if dir can't be read whole.
func stampOf(dir string) stamp {
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%q %v %d %d %s\n", p, info.Mode(), info.Size(), info.ModTime().UnixNano(), changeTime(info))
		return nil
	})
	if err != nil {
		return stamp{}
	}
	return stamp{chunk.Data.Sum(b.Bytes())}
}
