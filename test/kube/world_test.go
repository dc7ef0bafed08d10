//go:build kube

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	registryserver "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// waitMax bounds every wait; it is no measurement.
const waitMax = time.Minute

// site is what all tests share.
type site struct {
	cluster    *cluster // nil: somebody else's
	kubeconfig string
	registry   string // that daemon and nodes pull from
	host       string // this machine, as Pods reach it
	dvx, dvxd  string
	agent      string // image with dvxd, by digest: the node may have another one by that tag
}

var shared site

// TestMain starts the cluster, unless KUBECONFIG names one, and ends it unless
// it ran already. Another cluster's nodes must reach DVX_KUBE_HOST, this
// machine's address, and pull from the registry DVX_KUBE_REGISTRY.
func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kube:", err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (int, error) {
	bin := os.Getenv("DVX_BIN")
	if bin == "" {
		return 1, fmt.Errorf("DVX_BIN names no folder with dvx and dvxd: run make kube")
	}
	ctx := context.Background()
	shared = site{kubeconfig: os.Getenv("KUBECONFIG"), registry: os.Getenv("DVX_KUBE_REGISTRY"), host: os.Getenv("DVX_KUBE_HOST")}
	shared.dvx, shared.dvxd = filepath.Join(bin, "dvx"), filepath.Join(bin, "dvxd")
	if shared.kubeconfig == "" {
		c, err := newCluster()
		if err != nil {
			return 1, err
		}
		_, ran := c.pid("kubelet")
		if err := c.up(ctx); err != nil {
			return 1, err
		}
		if !ran {
			defer func() { _ = c.down(ctx) }()
		}
		shared.cluster, shared.kubeconfig, shared.host, shared.registry = c, c.kubeconfig(), nodeIP, registry
		lis, err := net.Listen("tcp", registry)
		if err != nil {
			return 1, err
		}
		server := &http.Server{Handler: registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0)))}
		go func() { _ = server.Serve(lis) }()
		defer func() { _ = server.Close() }()
	}
	var err error
	if shared.agent, err = pushed("dvxd:test", v1.Config{}, file{path: "/dvxd", from: shared.dvxd}); err != nil {
		return 1, err
	}
	if err := push("busybox:1", v1.Config{Env: []string{"PATH=/bin"}}, busyboxFiles()...); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// image names an image of the shared registry.
func image(tag string) string { return shared.registry + "/" + tag }

// push puts an image into the shared registry.
func push(tag string, config v1.Config, files ...file) error {
	_, err := pushed(tag, config, files...)
	return err
}

// pushed is push, and returns the image's name by its digest.
func pushed(tag string, config v1.Config, files ...file) (string, error) {
	img, err := makeImage(config, files...)
	if err != nil {
		return "", err
	}
	ref, err := name.NewTag(image(tag))
	if err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), remote.Write(ref, img)
}

// world is one test's: a namespace, a store, and somebody who works with them.
type world struct {
	*testing.T
	namespace string
	dir       string
	info      struct{ GRPC, KeyFile string }
	env       []string
	log       *bytes.Buffer
	address   string // of its daemon, the same when it starts again
	daemon    *os.Process
	store     string // its location
}

// newWorld makes a namespace that admits what is restricted, and a store.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, filepath.Join(t.TempDir(), "store"))
}

// newWorldIn makes the store in a place of its own, with more in the
// environment of whoever works with it.
func newWorldIn(t *testing.T, store string, env ...string) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, dir: dir, namespace: fmt.Sprintf("dvx-test-%d", time.Now().UnixNano()%1e9), env: append(os.Environ(),
		"HOME="+dir, "DVX_HOME="+filepath.Join(dir, "home"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"),
		"XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "DVX_AUTHOR=tester@kube"), store: store}
	w.env = append(w.env, env...)
	t.Cleanup(func() { _, _ = w.kubectl("delete", "namespace", w.namespace, "--wait=false") })
	w.must(w.kubectl("create", "namespace", w.namespace))
	w.must(w.kubectl("label", "namespace", w.namespace, "pod-security.kubernetes.io/enforce=restricted"))
	w.dvx("", "init", "--bare", w.store)
	return w
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// must ends the test unless a command succeeded.
func (w *world) must(out string, err error) string {
	w.Helper()
	if err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	return out
}

// kubectl asks the cluster.
func (w *world) kubectl(args ...string) (string, error) {
	kubectl := []string{"kubectl"}
	if shared.cluster != nil {
		kubectl = []string{shared.cluster.components(), "kubectl"}
	}
	args = append(append(kubectl, "--kubeconfig", shared.kubeconfig), args...)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// pods lists the names of the worker Pods.
func (w *world) pods() []string {
	w.Helper()
	return strings.Fields(w.must(w.kubectl("get", "pods", "-n", w.namespace, "-l", "app.kubernetes.io/name=dvx-worker", "-o", "jsonpath={.items[*].metadata.name}")))
}

// serve starts a daemon on the world's store and returns how to end it.
func (w *world) serve(flags ...string) (stop func()) {
	w.Helper()
	ready := w.path("ready.json")
	_ = os.Remove(ready)
	if w.address == "" {
		free, err := net.Listen("tcp", shared.host+":0")
		if err != nil {
			w.Fatal(err)
		}
		w.address = free.Addr().String()
		_ = free.Close()
	}
	cmd := exec.Command(shared.dvxd, append([]string{
		"serve", "--store", w.store, "--listen", w.address, "--s3-listen", "127.0.0.1:0", "--ready-file", ready,
		"--kube", "--kubeconfig", shared.kubeconfig, "--kube-namespace", w.namespace, "--kube-agent-image", shared.agent,
		"--kube-server", w.address,
	}, flags...)...)
	cmd.Env = w.env
	w.log = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = w.log, w.log
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.daemon = cmd.Process
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		_ = cmd.Process.Signal(os.Interrupt)
		_ = <-done
	}
	w.Cleanup(func() {
		stop()
		if w.Failed() {
			out, _ := w.kubectl("describe", "pods", "-n", w.namespace)
			w.Logf("the daemon said:\n%s\nPods:\n%s", w.log, out)
		}
	})
	w.eventually("the daemon listens", func() bool {
		b, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(b, &w.info) == nil
	})
	return stop
}

// eventually waits until something is so.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(waitMax); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not so after %v: %s", waitMax, what)
		}
	}
}

// try runs dvx in a folder of the world.
func (w *world) try(dir string, args ...string) (string, error) {
	if w.info.GRPC != "" {
		args = append([]string{"--server", w.info.GRPC, "--key-file", w.info.KeyFile}, args...)
	}
	cmd := exec.Command(shared.dvx, args...)
	cmd.Dir, cmd.Env = w.path(dir), w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("dvx %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// dvx runs dvx, which must succeed.
func (w *world) dvx(dir string, args ...string) string {
	w.Helper()
	return w.must(w.try(dir, args...))
}

// write writes a file of the world.
func (w *world) write(name, text string) {
	w.Helper()
	file := w.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

// busyboxFiles are a shell and what it is used with.
func busyboxFiles() []file {
	files := []file{{path: "/bin/busybox", from: "/bin/busybox"}}
	for _, applet := range []string{
		"awk", "basename", "cat", "chmod", "cp", "cut", "date", "dd", "dirname", "echo", "env", "expr", "false", "find", "grep", "head", "id",
		"kill", "ln", "ls", "mkdir", "mv", "nc", "ps", "rm", "sed", "seq", "sh", "sleep", "sort", "tail", "tr", "true", "uniq", "wc", "wget",
	} {
		files = append(files, file{path: "/bin/" + applet, link: "busybox"})
	}
	return slices.Clip(files)
}
