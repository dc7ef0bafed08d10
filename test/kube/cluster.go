package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Addresses of the one cluster of a machine.
const (
	nodeName    = "node1"
	nodeIP      = "10.77.0.1" // of the Pods' bridge: the node, and this machine as Pods see it
	podNet      = "10.77.0.0/24"
	serviceNet  = "10.78.0.0/24"
	apiService  = "10.78.0.1"
	apiPort     = "6477"
	etcdURL     = "http://127.0.0.1:23977"
	etcdPeerURL = "http://127.0.0.1:23978"
	bridge      = "dvxkube0"
	registry    = nodeIP + ":5077" // a plain HTTP registry that the node pulls from, if somebody serves it
	pauseImage  = "dvx.test/pause:1"
)

// cluster is the cluster of this machine, running or not.
type cluster struct{ state, cache, source string }

func newCluster() (*cluster, error) {
	state, cache, err := dirs()
	if err != nil {
		return nil, err
	}
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("where the sources are is not known")
	}
	return &cluster{state: state, cache: cache, source: filepath.Dir(file)}, nil
}

func (c *cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.state}, elem...)...)
}

func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

func (c *cluster) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, c.components(), append([]string{"kubectl", "--kubeconfig", c.kubeconfig()}, args...)...)
}

// up starts all that does not run yet.
func (c *cluster) up(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		c.install, c.build, c.prepare, c.controlPlane, c.node, c.ready,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// install installs what Debian has.
func (c *cluster) install(ctx context.Context) error {
	packages := []string{
		"containerd", "runc", "containernetworking-plugins", "etcd-server", "iptables", "iproute2", "conntrack", "busybox-static",
	}
	return c.run(ctx, filepath.Join(c.source, "..", "..", ".ci", "install"), packages...)
}

// components names the binary that holds Kubernetes' programs.
func (c *cluster) components() string { return filepath.Join(c.cache, "components-"+kubeVersion) }

func (c *cluster) pause() string { return filepath.Join(c.cache, "pause") }

// build builds what is not in the cache.
func (c *cluster) build(ctx context.Context) error {
	if err := os.MkdirAll(c.cache, 0o755); err != nil {
		return err
	}
	major, minor, _ := strings.Cut(strings.TrimPrefix(kubeVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	flags := "-s -w"
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s", p, kubeVersion, p, major, p, minor)
	}
	for _, b := range []struct{ file, dir, flags string }{
		{c.components(), "components", flags},
		{c.pause(), "components/pause", "-s -w"},
	} {
		if _, err := os.Stat(b.file); err == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", b.flags, "-o", b.file+".new", ".")
		cmd.Dir = filepath.Join(c.source, b.dir)
		cmd.Env = os.Environ()
		if b.file == c.pause() {
			cmd.Env = append(cmd.Env, "CGO_ENABLED=0") // it runs where there is no C library
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.dir, err, out)
		}
		if err := os.Rename(b.file+".new", b.file); err != nil {
			return err
		}
	}
	return nil
}

// prepare writes configurations and credentials, and makes the bridge.
func (c *cluster) prepare(ctx context.Context) error {
	for _, dir := range []string{"pki", "log", "pid", "cni"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return err
		}
	}
	if _, err := os.Stat(c.kubeconfig()); err != nil {
		if err := c.credentials(); err != nil {
			return fmt.Errorf("make credentials: %w", err)
		}
	}
	for name, text := range c.files() {
		if old, err := os.ReadFile(c.path(name)); err == nil && string(old) == text {
			continue // kube-proxy exits when its file is touched
		}
		if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return err
	}
	if exec.CommandContext(ctx, "ip", "link", "show", bridge).Run() == nil {
		return nil
	}
	return errors.Join(
		c.run(ctx, "ip", "link", "add", bridge, "type", "bridge"),
		c.run(ctx, "ip", "addr", "add", nodeIP+"/24", "dev", bridge),
		c.run(ctx, "ip", "link", "set", bridge, "up"))
}

// run runs a command to its end.
func (c *cluster) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// pid returns the process ID of a part that runs.
func (c *cluster) pid(name string) (int, bool) {
	b, err := os.ReadFile(c.path("pid", name))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0, false
	}
	// A number that another process has got since is not it.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err == nil && bytes.Contains(line, []byte(c.state))
}

// start starts a part, unless it runs. Its command line names the state folder.
func (c *cluster) start(name, program string, args ...string) error {
	if _, ok := c.pid(name); ok {
		return nil
	}
	log, err := os.OpenFile(c.path("log", name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives this program
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // no zombie while this program lives
	return os.WriteFile(c.path("pid", name), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// stop ends a part at once. Nothing of the cluster is worth keeping.
func (c *cluster) stop(name string) {
	pid, ok := c.pid(name)
	if !ok {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for range 1000 {
		if gone(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// gone reports whether a process has ended and freed what it had: its files are
// closed only after its memory.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// await asks until the answer is no error.
func (c *cluster) await(ctx context.Context, what string, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w; its log is in %s", what, limit, err, c.path("log"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// down ends the cluster and removes its state.
func (c *cluster) down(ctx context.Context) error {
	for _, name := range []string{"names", "kube-proxy", "kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"} {
		c.stop(name)
	}
	c.endTasks(ctx)
	c.stop("containerd")
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // the innermost were mounted last
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], c.state+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
	_ = exec.CommandContext(ctx, "ip", "link", "del", bridge).Run()
	return os.RemoveAll(c.state)
}

// endTasks kills what runs in containers.
func (c *cluster) endTasks(ctx context.Context) {
	out, err := c.ctr(ctx, "tasks", "list", "-q").Output()
	if err != nil {
		return
	}
	for _, id := range strings.Fields(string(out)) {
		_ = c.ctr(ctx, "tasks", "kill", "-s", "SIGKILL", id).Run()
		_ = c.ctr(ctx, "tasks", "delete", "-f", id).Run()
	}
}

func (c *cluster) ctr(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ctr", append([]string{"-a", c.path("containerd.sock"), "-n", "k8s.io"}, args...)...)
}
