package main

import (
	_ "embed" // the programs that the pipelines run
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed testdata/program.go.txt
var goProgram []byte

//go:embed testdata/program.c
var cProgram []byte

// pipelines measures a daemon that runs programs: everything that it reports as
// done is synced, memo, logs and outputs included.
func pipelines(b *bench, dir string) error {
	m := &machine{b: b, dir: dir}
	if err := m.build(); err != nil {
		return err
	}
	s, err := b.newSite(dir)
	if err != nil {
		return err
	}
	m.site = s
	_, _ = fmt.Fprintf(b.out, "\n## Pipelines\n\nThe trivial program is %s.\n\n| what | figure | line |\n|---|---|---|\n", m.kind)
	for _, step := range m.steps() {
		if err == nil && b.wanted(step.name) {
			err = step.run()
		}
	}
	err = errors.Join(err, s.stop())
	if b.o.work != "" {
		err = errors.Join(err, os.RemoveAll(b.workFolder()))
	}
	return err
}

// machine is what the measurements of the group share.
type machine struct {
	b       *bench
	dir     string
	site    *site
	program string // in Go
	small   string // the one that starts fastest
	kind    string // of that
}

// step is a measurement of the group, by the name that -what knows.
type step struct {
	name string
	run  func() error
}

func (m *machine) steps() []step {
	return []step{{"latency", m.latency}, {"trivial", m.trivial}, {"many", m.many}, {"again", m.allHit}, {"appended", m.appended}}
}

func (m *machine) say(what, line, format string, args ...any) {
	_, _ = fmt.Fprintf(m.b.out, "| %s | %s | %s |\n", what, fmt.Sprintf(format, args...), line)
}

// build builds the programs, in C too if there is a compiler.
func (m *machine) build() error {
	src := filepath.Join(m.dir, "program.go")
	if err := os.WriteFile(src, goProgram, 0o666); err != nil {
		return err
	}
	m.program = filepath.Join(m.dir, "program")
	cmd := m.b.command(m.dir, "go", "build", "-o", m.program, src)
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build program: %w: %s", err, text)
	}
	m.small, m.kind = m.program, "in Go"
	if _, err := exec.LookPath("cc"); err != nil {
		return nil
	}
	src = filepath.Join(m.dir, "program.c")
	if err := os.WriteFile(src, cProgram, 0o666); err != nil {
		return err
	}
	if m.b.command(m.dir, "cc", "-O2", "-static", "-o", src+".out", src).Run() == nil {
		m.small, m.kind = src+".out", "in C, linked statically"
	}
	return nil
}

// spec is a pipeline over files of a repo.
func spec(name, repo, glob, program string, datum map[string]any, env map[string]string) map[string]any {
	transform := map[string]any{"cmd": []string{program}, "code": map[string]any{"none": true}}
	if env != nil {
		transform["env"] = env
	}
	s := map[string]any{"pipeline": name, "transform": transform, "input": map[string]any{"repo": repo, "glob": glob}}
	if datum != nil {
		s["datum"] = datum
	}
	return s
}

// fill makes a repo of count files, in folders of a thousand if deep.
func (m *machine) fill(repo string, from, count int, deep bool) error {
	dir := filepath.Join(m.dir, repo)
	for i := from; i < from+count; i++ {
		name := filepath.Join(dir, fmt.Sprintf("f%07d", i))
		if deep {
			name = filepath.Join(dir, fmt.Sprintf("d%04d", i/1000), fmt.Sprintf("f%07d", i))
		}
		if i == from || deep && i%1000 == 0 {
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				return err
			}
		}
		if err := os.WriteFile(name, fmt.Appendf(nil, "%s %d\n", repo, i), 0o666); err != nil {
			return err
		}
	}
	if _, err := m.site.dvx("repo", "create", repo); err != nil {
		return err
	}
	_, err := m.site.dvx("put", "-r", dir, repo+"@main:/")
	return err
}

// trivial runs a program that reads its file on 10,000 datums, as xargs does.
func (m *machine) trivial() error {
	n := int(m.b.scaled(10_000))
	if err := m.fill("few", 0, n, false); err != nil {
		return err
	}
	var xargs, dvx []time.Duration
	for round := range m.b.o.runs {
		cmd := m.b.command(m.dir, "sh", "-c", `find few -type f | xargs -P2 -n1 "$0"`, m.small)
		start := time.Now()
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("xargs: %w: %s", err, text)
		}
		xargs = append(xargs, time.Since(start))
		took, err := m.time("trivial"+strconv.Itoa(round), func(name string) map[string]any {
			return spec(name, "few", "/*", m.small, nil, map[string]string{"ROUND": name})
		})
		if err != nil {
			return err
		}
		dvx = append(dvx, took)
		_, _ = fmt.Fprintf(m.b.log, "trivial, round %d: dvx %s, xargs %s\n", round+1, seconds(took), seconds(xargs[round]))
	}
	x, d := middle(xargs), middle(dvx)
	m.say(fmt.Sprintf("%d datums of a trivial static program, against `xargs -P2 -n1`", n), "at most 2 times", "%s against %s: %.2f times", seconds(d), seconds(x), d.Seconds()/x.Seconds())
	return nil
}

func middle(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// time registers a pipeline and returns how long its job took, from when it was
// wanted to when its output was published.
func (m *machine) time(name string, make func(name string) map[string]any) (time.Duration, error) {
	if err := m.site.apply(make(name)); err != nil {
		return 0, err
	}
	j, err := m.site.newest(name)
	if err == nil && (j.State != "done" || j.Counts.Failed > 0) {
		err = fmt.Errorf("job of %s is %s", name, j.State)
	}
	return j.Ended.Sub(j.Created), err
}

// many runs 100,000 datums in batch mode.
func (m *machine) many() error {
	n := int(m.b.scaled(100_000))
	if err := m.fill("many", 0, n, true); err != nil {
		return err
	}
	before, err := m.site.cpu()
	if err != nil {
		return err
	}
	took, err := m.time("batch", func(name string) map[string]any {
		return spec(name, "many", "/*/*", m.program, map[string]any{"batch": true}, nil)
	})
	if err != nil {
		return err
	}
	after, err := m.site.cpu()
	if err != nil {
		return err
	}
	m.say(fmt.Sprintf("%d datums in batch mode, each of which copies its file", n), "at least 5,000/s", "%.0f/s (%s; %.0f µs of CPU each in the daemon)",
		float64(n)/took.Seconds(), seconds(took), (after-before).Seconds()*1e6/float64(n))
	return m.memory(n)
}

func (m *machine) memory(n int) error {
	peak, err := m.site.peak()
	m.say(fmt.Sprintf("peak memory of the daemon after %d datums", n), "at most 512 MiB", "%d MiB", peak>>20)
	return err
}

// allHit registers pipelines of another name, for which everything is there.
func (m *machine) allHit() error {
	var all []time.Duration
	var n int64
	for round := range m.b.o.runs {
		took, err := m.time("again"+strconv.Itoa(round), func(name string) map[string]any {
			return spec(name, "many", "/*/*", m.program, map[string]any{"batch": true}, nil)
		})
		if err != nil {
			return err
		}
		j, err := m.site.newest("again" + strconv.Itoa(round))
		if err != nil {
			return err
		}
		if n = j.Counts.Hit; n != j.Counts.Total {
			return fmt.Errorf("%d of %d datums were there already", n, j.Counts.Total)
		}
		all = append(all, took)
	}
	m.say(fmt.Sprintf("a job of which all %d datums have results", n), "at most 1 s", "%s", seconds(middle(all)))
	return m.memory(int(n))
}

// appended adds 10 files to 1,000,000, each of which is a datum.
func (m *machine) appended() error {
	n := int(m.b.scaled(1_000_000))
	if err := m.fill("all", 0, n, true); err != nil {
		return err
	}
	took, err := m.time("all-batch", func(name string) map[string]any {
		return spec(name, "all", "/*/*", m.program, map[string]any{"batch": true}, nil)
	})
	if err != nil {
		return err
	}
	m.say(fmt.Sprintf("%d datums in batch mode", n), "", "%s", seconds(took))
	more := filepath.Join(m.dir, "more")
	for i := range 10 {
		name := filepath.Join(more, fmt.Sprintf("d%04d", i*n/10_000), fmt.Sprintf("x%d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(name, fmt.Appendf(nil, "more %d\n", i), 0o666); err != nil {
			return err
		}
	}
	if _, err := m.site.dvx("put", "-r", more, "all@main:/"); err != nil {
		return err
	}
	if err := m.site.wait("all-batch"); err != nil {
		return err
	}
	j, err := m.site.newest("all-batch")
	if err != nil {
		return err
	}
	m.say(fmt.Sprintf("10 files appended to %d: datums run", n), "10", "%d", j.Counts.Ran)
	m.say("… listed in", "at most 200 ms", "%s", seconds(j.Started.Sub(j.Created)))
	m.say("… published after", "", "%s", seconds(j.Ended.Sub(j.Created)))
	return m.memory(n)
}

// latency puts a file at a time into the input of two stages, and asks the
// programs when they began.
func (m *machine) latency() error {
	n := int(m.b.scaled(200))
	if _, err := m.site.dvx("repo", "create", "clock"); err != nil {
		return err
	}
	first := spec("first", "clock", "/*", m.program, nil, map[string]string{"STAMP": "1"})
	second := spec("second", "first", "/*", m.program, nil, map[string]string{"STAMP": "1"})
	file := filepath.Join(m.dir, "tick")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		return err
	}
	if _, err := m.site.dvx("put", file, "clock@main:/warm"); err != nil {
		return err
	}
	for _, s := range []map[string]any{first, second} {
		if err := m.site.apply(s); err != nil {
			return err
		}
	}
	var commit, stage []time.Duration
	for i := range n {
		name := fmt.Sprintf("t%04d", i)
		if _, err := m.site.dvx("put", file, "clock@main:/"+name); err != nil {
			return err
		}
		root, err := changed(filepath.Join(m.site.path("store"), "root"))
		if err != nil {
			return err
		}
		if err := m.site.wait("clock"); err != nil {
			return err
		}
		text, err := m.site.dvx("cat", "second@main:/"+name)
		if err != nil {
			return err
		}
		var at [4]int64
		if _, err := fmt.Sscan(strings.TrimSpace(text), &at[0], &at[1], &at[2], &at[3]); err != nil {
			return err
		}
		commit = append(commit, time.Unix(0, at[0]).Sub(root))
		stage = append(stage, time.Duration(at[2]-at[1]))
	}
	m.spread("input committed → process started", commit)
	m.spread("a process ends → the one that waits for its output starts", stage)
	return nil
}

func (m *machine) spread(what string, all []time.Duration) {
	all = slices.Sorted(slices.Values(all))
	at := func(percent int) float64 { return all[len(all)*percent/100].Seconds() * 1e3 }
	m.say(what, "p50 at most 5 ms, p99 at most 50 ms", "p50 %.1f ms, p99 %.1f ms", at(50), at(99))
}

// changed returns when a file came under its name.
func changed(name string) (time.Time, error) {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return time.Time{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return time.Unix(st.Ctim.Unix()), nil
}
