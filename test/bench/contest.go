package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// contest is one piece of work that several programs do.
type contest struct {
	name  string
	sides []side
}

// side is how one program does it.
type side struct {
	peer    string // the program; it is left out if it is missing
	label   string // what is printed; the peer's name if empty
	prepare func() error
	command func() *exec.Cmd
	after   func() (string, error) // looks at what was made, for the notes
}

// sample is one process.
type sample struct {
	wall, cpu time.Duration
	rss       int64 // bytes, peak
	note      string
}

// contest measures the sides in turns and prints a line for each.
func (b *bench) contest(c contest) error {
	sides := slices.DeleteFunc(slices.Clone(c.sides), func(s side) bool { return !b.peers[s.peer] })
	samples := make([][]sample, len(sides))
	for round := range b.o.runs {
		for i, s := range sides {
			got, err := b.measure(s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			_, _ = fmt.Fprintf(b.log, "%s, round %d: %s %.3f s\n", c.name, round+1, s.name(), got.wall.Seconds())
			samples[i] = append(samples[i], got)
		}
	}
	first := median(samples[0])
	for i, s := range sides {
		m := median(samples[i])
		_, _ = fmt.Fprintf(b.out, "| %s | %s | %s | %s | %s | %d MiB | %s |\n", c.name, s.name(), seconds(m.wall), seconds(m.cpu),
			ratio(i, first.wall, m.wall), m.rss>>20, m.note)
	}
	return nil
}

func (s side) name() string {
	if s.label != "" {
		return s.label
	}
	return s.peer
}

const tableHead = `| what | who | wall | CPU | wall of dvx / wall | peak memory | |
|---|---|---|---|---|---|---|`

func ratio(i int, dvx, other time.Duration) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", dvx.Seconds()/other.Seconds())
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// median returns the medians of time, CPU time and memory, each by itself, and
// the last note.
func median(all []sample) sample {
	middle := func(of func(sample) int64) int64 {
		var v []int64
		for _, s := range all {
			v = append(v, of(s))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return sample{
		wall: time.Duration(middle(func(s sample) int64 { return int64(s.wall) })),
		cpu:  time.Duration(middle(func(s sample) int64 { return int64(s.cpu) })),
		rss:  middle(func(s sample) int64 { return s.rss }),
		note: all[len(all)-1].note,
	}
}

// measure prepares and runs one process.
func (b *bench) measure(s side) (sample, error) {
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return sample{}, fmt.Errorf("prepare: %w", err)
		}
	}
	cmd := s.command()
	var text bytes.Buffer
	cmd.Stderr = &text
	unix.Sync() // what was written before is nobody's business now
	start := time.Now()
	err := cmd.Run()
	got := sample{wall: time.Since(start)}
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(text.Bytes()))
	}
	got.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		got.rss = ru.Maxrss << 10 // Linux counts in KiB
	}
	if s.after != nil {
		if got.note, err = s.after(); err != nil {
			return sample{}, err
		}
	}
	return got, nil
}

// quiet runs a command that is not measured.
func (b *bench) quiet(dir, name string, args ...string) error {
	cmd := b.command(dir, name, args...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(text))
	}
	return nil
}

// command is a process in dir, whose environment lets restic and borg work
// without asking and without what the user has set up for them.
func (b *bench) command(dir, name string, args ...string) *exec.Cmd {
	if name == "dvx" {
		name = b.dvx
	}
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR="+b.dir+"/cache/restic",
		"BORG_BASE_DIR="+b.dir+"/cache/borg", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@localhost", "GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@localhost")
	return cmd
}
