package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// site is a store with a daemon that runs its pipelines.
type site struct {
	b      *bench
	dir    string
	daemon *exec.Cmd
	said   bytes.Buffer
}

// newSite makes a store and starts its daemon.
func (b *bench) newSite(dir string) (*site, error) {
	s := &site{b: b, dir: dir}
	if _, err := s.dvx("init", "--bare", s.path("store")); err != nil {
		return nil, err
	}
	args := []string{"serve", "--listen", "127.0.0.1:0", "--s3-listen", "", "--ready-file", s.path("ready"), "--state", s.path("state")}
	if b.o.work != "" {
		args = append(args, "--work", b.workFolder())
	}
	s.daemon = s.command(filepath.Join(filepath.Dir(b.dvx), "dvxd"), args...)
	s.daemon.Stderr = &s.said
	if err := s.daemon.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if _, err := os.Stat(s.path("ready")); err == nil {
			return s, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("the daemon is not ready after 30 s: %s", s.said.Bytes()), s.stop())
}

// workFolder is where programs run if it is not for the daemon to choose.
func (b *bench) workFolder() string { return filepath.Join(b.o.work, filepath.Base(b.dir)) }

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// stop ends the daemon.
func (s *site) stop() error {
	if err := s.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.daemon.Wait(); err != nil {
		return fmt.Errorf("daemon: %w: %s", err, s.said.Bytes())
	}
	return nil
}

// command is a process that works on the store, with nothing of the user's.
func (s *site) command(name string, args ...string) *exec.Cmd {
	cmd := s.b.command(s.dir, name, args...)
	cmd.Env = append(cmd.Env, "DVX_STORE="+s.path("store"), "DVX_HOME="+s.path("home"), "DVX_KEY_FILE="+s.path("key"), "DVX_SERVER=")
	return cmd
}

// dvx runs a verb and returns what it printed.
func (s *site) dvx(args ...string) (string, error) {
	cmd := s.command("dvx", args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("dvx %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return string(out), nil
}

// apply registers a pipeline, given as JSON, and waits until it is up to date.
func (s *site) apply(spec map[string]any) error {
	name, _ := spec["pipeline"].(string)
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path(name+".json"), b, 0o666); err != nil {
		return err
	}
	if _, err := s.dvx("pipeline", "apply", "-f", name+".json"); err != nil {
		return err
	}
	return s.wait(name)
}

func (s *site) wait(name string) error {
	_, err := s.dvx("wait", name)
	return err
}

// job is what dvx says of one.
type job struct {
	State   string
	Created time.Time
	Started time.Time
	Ended   time.Time
	Counts  struct{ Total, Hit, Ran, Failed int64 }
}

// newest returns the newest job of a pipeline.
func (s *site) newest(pipeline string) (j job, err error) {
	out, err := s.dvx("job", "inspect", pipeline, "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &j)
	}
	return j, err
}

// cpu returns the processor time that the daemon and its ended children have
// taken.
func (s *site) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.daemon.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from the state on, the third of proc(5)
	var ticks int64
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 everywhere
}

// peak returns the daemon's peak memory in bytes.
func (s *site) peak() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.daemon.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	return kib << 10, err
}
