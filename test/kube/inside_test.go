//go:build kube

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
)

// bucket starts an S3 server that Pods reach, with the bucket dvx, and returns
// its URL.
func bucket(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(dir, "dvx"), 0o755); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", shared.host+":0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(filepath.Dir(shared.dvxd), "versitygw"), "--port", address, "--keep-alive", "--quiet", "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY=secret-of-the-test")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(waitMax); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return "http://" + address
		}
		if time.Now().After(end) {
			t.Fatal("the S3 server does not listen")
		}
	}
}

// install brings the chart into the cluster: as many servers, and two of whom
// one runs the pipelines. What it makes outside of its namespaces is removed.
func (w *world) install(endpoint string, servers int) (system string) {
	w.Helper()
	system = w.namespace + "-system"
	key, err := auth.NewKey(rand.Reader, auth.Owner)
	if err != nil {
		w.Fatal(err)
	}
	w.info.KeyFile = w.path("owner.key")
	if err := auth.SaveKey(w.info.KeyFile, key); err != nil {
		w.Fatal(err)
	}
	text, err := render(filepath.Join(deployDir, "chart"), system, map[string]any{
		"createNamespace": true, "image": shared.agent, "store": w.store, "replicas": servers, "standbys": 1,
		"s3":      map[string]any{"endpoint": endpoint},
		"workers": map[string]any{"namespace": w.namespace, "pods": 2, "idle": "5s"},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.write("install.yaml", text)
	w.Cleanup(func() {
		if w.Failed() {
			for _, args := range [][]string{{"describe", "pods"}, {"logs", "-l", "app.kubernetes.io/part-of=dvx", "--prefix", "--tail=40"}} {
				out, _ := w.kubectl(append(args, "-n", system)...)
				w.Log(out)
			}
		}
		_, _ = w.kubectl("delete", "-f", w.path("install.yaml"), "--wait=false", "--ignore-not-found")
	})
	w.must(w.kubectl("create", "namespace", system))
	w.must(w.kubectl("create", "secret", "generic", "dvx-owner", "-n", system, "--from-file=owner.key="+w.info.KeyFile))
	w.must(w.kubectl("create", "secret", "generic", "dvx-store", "-n", system,
		"--from-literal=AWS_ACCESS_KEY_ID=key", "--from-literal=AWS_SECRET_ACCESS_KEY=secret-of-the-test"))
	w.must(w.kubectl("apply", "-f", w.path("install.yaml")))
	w.must(w.kubectl("rollout", "status", "-n", system, "deployment/dvx-server", "--timeout=3m"))
	w.info.GRPC = strings.TrimSpace(w.must(w.kubectl("get", "service", "-n", system, "dvx", "-o", "jsonpath={.spec.clusterIP}"))) + ":7777"
	w.eventually("the servers answer", func() bool { // rules of a Service follow its Pods
		_, err := w.try("", "repo", "list")
		return err == nil
	})
	return system
}

// leader is the Pod that holds the lease; "" if none does.
func (w *world) leader(system string) string {
	w.Helper()
	out, err := w.kubectl("get", "lease", "-n", system, "dvx-engine", "-o", "jsonpath={.spec.holderIdentity}")
	if err != nil {
		return ""
	}
	pod, _, _ := strings.Cut(out, "_")
	return pod
}

// TestInside: the daemons run in the cluster, on a bucket. Pipelines run with no
// more rights than the chart gives; the leader is killed while datums run, and
// another goes on; and nobody who asks the servers notices that all of them are
// replaced.
func TestInside(t *testing.T) {
	endpoint := bucket(t)
	w := newWorldIn(t, "s3://dvx/store", "AWS_ENDPOINT_URL="+endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret-of-the-test")
	const n = 40
	w.inputs(n)
	system := w.install(endpoint, 3)
	w.apply("twice", image("busybox:1"), "sleep 0.5; for f in in/data/*; do echo $(( $(cat $f) * 2 )) > out/$(basename $f); done")
	w.eventually("a worker runs", func() bool { return len(w.pods()) > 0 })
	first := w.leader(system)
	w.must(w.kubectl("delete", "pod", "-n", system, first, "--grace-period=0", "--force"))
	w.dvx("", "wait", "twice", "--timeout", "5m")
	if second := w.leader(system); second == first || second == "" {
		t.Errorf("%q leads after %q was killed", second, first)
	}
	for _, i := range []int{0, n / 2, n - 1} {
		if got := w.dvx("", "cat", fmt.Sprintf("twice@main:/d%03d", i)); got != fmt.Sprintln(2*i) {
			t.Errorf("d%03d: %q", i, got)
		}
	}
	w.eventually("no worker is left when there is nothing to do", func() bool { return len(w.pods()) == 0 })

	restarted := make(chan error, 1)
	go func() {
		_, err := w.kubectl("rollout", "restart", "-n", system, "deployment/dvx-server")
		if err == nil {
			_, err = w.kubectl("rollout", "status", "-n", system, "deployment/dvx-server", "--timeout=5m")
		}
		restarted <- err
	}()
	requests, failures := 0, 0
	for over := false; !over; requests++ {
		if out, err := w.try("", "cat", "twice@main:/d001"); err != nil || out != "2\n" {
			failures++
			t.Logf("%v: %q", err, out)
		}
		select {
		case err := <-restarted:
			over = true
			if err != nil {
				t.Error(err)
			}
		default:
		}
	}
	if failures > 0 {
		t.Errorf("%d of %d requests failed while the servers were replaced", failures, requests)
	}
	t.Logf("FIGURE %d requests, %d failures while 3 servers were replaced", requests, failures)
}
