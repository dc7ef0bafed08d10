package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	dvx    string
	dir    string
	only   string
	what   string
	peers  string
	runs   int
	scale  float64
	source string
	work   string

	versitygw         string // the server to compare S3 with
	serveDir, serveAt string // to be the plain server of files
}

// run makes the inputs of the groups that are asked for, one group after the
// other, and prints a table for each.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.dvx, "dvx", "bin/dvx", "the dvx to measure")
	flags.StringVar(&o.dir, "dir", "", "folder to work in (default: the system's for temporary files)")
	flags.StringVar(&o.only, "only", "", "groups to run, with commas between: "+strings.Join(groupNames(), ", "))
	flags.StringVar(&o.what, "what", "", "in those groups, only what begins with one of these words, with commas between: commit, checkout, nothing, GET, …")
	flags.StringVar(&o.peers, "peers", "", "programs to compare dvx with, with commas between (default: all that are installed)")
	flags.IntVar(&o.runs, "runs", 5, "runs of each process; the median counts")
	flags.Float64Var(&o.scale, "scale", 1, "size of the inputs: 1 is 2 GiB, 100,000 and 1,000,000 files")
	flags.StringVar(&o.source, "source", "", "source trees for group source, with commas between (default: Go's own and the module cache)")
	flags.StringVar(&o.versitygw, "versitygw", "bin/versitygw", "the S3 server to compare with (make bin/versitygw)")
	flags.StringVar(&o.serveDir, "serve-files", "", "do nothing but serve the files of a folder, as a peer")
	flags.StringVar(&o.serveAt, "serve-at", "127.0.0.1:0", "HOST:PORT to serve them at")
	flags.StringVar(&o.work, "work", "", "folder in which the daemon of group pipeline runs programs (default: where the daemon chooses)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.serveDir != "" {
		return serveFiles(o.serveDir, o.serveAt)
	}
	dvx, err := filepath.Abs(o.dvx)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dvx); err != nil {
		return fmt.Errorf("no dvx to measure, make build first: %w", err)
	}
	dir, err := os.MkdirTemp(o.dir, "dvx-bench-")
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil { // programs run in other folders
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{ctx: ctx, o: o, dvx: dvx, dir: dir, out: out, log: log}
	b.findPeers()
	_, _ = fmt.Fprintf(out, "%d runs each, in turns, medians; %d cores, %s/%s; %s\n", o.runs, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, strings.Join(b.versions(), ", "))
	if len(b.missing) > 0 {
		_, _ = fmt.Fprintf(out, "Left out, not installed: %s.\n", strings.Join(b.missing, ", "))
	}
	for _, g := range groups() {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), g.name) {
			continue
		}
		if err := b.group(g); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}

// bench is one run of this program.
type bench struct {
	ctx      context.Context //nolint:containedctx // of main: every process that is started ends with it
	o        options
	dvx, dir string
	out, log io.Writer
	peers    map[string]bool
	missing  []string
}

// findPeers looks for what dvx is compared with.
func (b *bench) findPeers() {
	b.peers = map[string]bool{"dvx": true, "files": true}
	if path, err := filepath.Abs(b.o.versitygw); err == nil {
		if _, err := os.Stat(path); err == nil {
			b.o.versitygw, b.peers["versitygw"] = path, true
		}
	}
	if !b.peers["versitygw"] {
		b.missing = append(b.missing, "versitygw")
	}
	for _, name := range []string{"restic", "borg", "git", "cp", "find"} {
		if b.o.peers != "" && !slices.Contains(strings.Split(b.o.peers, ","), name) {
			continue
		}
		if _, err := exec.LookPath(name); err != nil {
			b.missing = append(b.missing, name)
			continue
		}
		b.peers[name] = true
	}
}

// versions returns the first line that each peer says of itself.
func (b *bench) versions() []string {
	var all []string
	for _, c := range [][]string{{"restic", "version"}, {"borg", "--version"}, {"git", "--version"}} {
		if !b.peers[c[0]] {
			continue
		}
		text, err := exec.CommandContext(b.ctx, c[0], c[1:]...).Output()
		if err == nil {
			line, _, _ := strings.Cut(string(text), "\n")
			all = append(all, strings.Join(strings.Fields(line)[:min(3, len(strings.Fields(line)))], " "))
		}
	}
	return all
}

// wanted reports whether a contest is to be measured.
func (b *bench) wanted(contest string) bool {
	return slices.ContainsFunc(strings.Split(b.o.what, ","), func(word string) bool { return strings.HasPrefix(contest, word) })
}

// group makes a group's inputs, measures its contests and removes all again.
func (b *bench) group(g group) error {
	dir := filepath.Join(b.dir, g.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if g.run != nil {
		return errors.Join(g.run(b, dir), os.RemoveAll(dir))
	}
	_, _ = fmt.Fprintf(b.log, "%s: making the input\n", g.name)
	contests, err := g.make(b, dir)
	if err == nil {
		_, _ = fmt.Fprintf(b.out, "\n## %s\n\n%s\n", g.title, tableHead)
		for _, c := range contests {
			if !b.wanted(c.name) {
				continue
			}
			if err = b.contest(c); err != nil {
				err = fmt.Errorf("%s: %w", c.name, err)
				break
			}
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}
