//go:build kube

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// chaosJobs is how many jobs of chaosDatums datums run while things fail;
// DVX_KUBE_JOBS says another number.
const (
	chaosJobs   = 12
	chaosDatums = 20
)

// TestChaos lets jobs run while Pods are deleted, and kubelet, API server and
// daemon are killed in turn: each job's output is what an undisturbed run gives,
// nothing is lost, and no Pod is left.
func TestChaos(t *testing.T) {
	jobs := chaosJobs
	if v := os.Getenv("DVX_KUBE_JOBS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		jobs = n
	}
	w := newWorld(t)
	w.write("data/README", "files are what counts\n")
	w.dvx("data", "init", "--store", w.store)
	w.dvx("data", "commit", "-m", "nothing")
	flags := []string{"--kube-pods", "2", "--kube-idle", "2s"}
	stop := w.serve(flags...)
	w.write("double/spec.yaml", fmt.Sprintf(`pipeline: double
commits: every
transform:
  image: %s
  cmd: [sh, -c, "sleep 0.2; for f in in/data/files/*; do echo $(( $(cut -d ' ' -f 2 $f) * 2 + $(cut -d ' ' -f 1 $f) )) > out/$(basename $f); done"]
input:
  repo: data
  glob: "/files/*"
`, image("busybox:1")))
	w.dvx("double", "pipeline", "apply", "-f", "spec.yaml")
	w.dvx("", "wait", "double", "--timeout", "5m")
	before := w.over("double")
	for i := range jobs {
		w.commitFiles(chaosDatums, 0, strconv.Itoa(1000*(i+1)))
	}
	faults := w.faults(func() {
		_ = w.daemon.Kill()
		stop()
		stop = w.serve(flags...)
	})
	for n, end := 0, time.Now().Add(10*time.Minute); w.over("double") < before+jobs; n++ {
		if time.Now().After(end) {
			t.Fatalf("after 10 minutes:\n%s", w.dvx("", "job", "list", "double"))
		}
		faults[n%len(faults)]()
		time.Sleep(2 * time.Second)
	}
	executions := 0
	for _, j := range w.jobs("double") {
		if j.State != "done" {
			t.Errorf("%+v", j)
		}
		executions += w.executions(j.ID)
	}
	for i := range jobs {
		w.checkDoubled(fmt.Sprintf("double@main~%d", jobs-1-i), 1000*(i+1))
	}
	w.eventually("no worker is left when there is nothing to do", func() bool { return len(w.pods()) == 0 })
	t.Logf("FIGURE %d executions of %d datums in %d jobs", executions, jobs*chaosDatums, jobs)
	stop()
}

// faults are what is done to the cluster and the daemon, in turn.
func (w *world) faults(restartDaemon func()) []func() {
	part := func(name string) func() {
		return func() {
			if shared.cluster == nil {
				return // somebody else's
			}
			w.Logf("%s is killed", name)
			if err := shared.cluster.restart(context.Background(), name); err != nil {
				w.Fatal(err)
			}
		}
	}
	pod := func(grace int) func() {
		return func() {
			for _, name := range w.pods()[:min(1, len(w.pods()))] {
				w.must(w.kubectl("delete", "pod", "-n", w.namespace, name, "--wait=false", "--ignore-not-found", fmt.Sprintf("--grace-period=%d", grace)))
			}
		}
	}
	return []func(){pod(30), part("kubelet"), pod(0), restartDaemon, part("kube-apiserver"), pod(0)}
}

// jobs lists those of a pipeline, newest first.
func (w *world) jobs(pipeline string) []job {
	w.Helper()
	var all []job
	for line := range strings.Lines(w.dvx("", "job", "list", pipeline, "--json")) {
		var j job
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			w.Fatalf("%v\n%s", err, line)
		}
		all = append(all, j)
	}
	return all
}

// over counts the jobs of a pipeline that have come to an end.
func (w *world) over(pipeline string) int {
	w.Helper()
	n := 0
	for _, j := range w.jobs(pipeline) {
		if j.State == "done" || j.State == "failed" {
			n++
		}
	}
	return n
}

// executions counts the attempts of a job that are recorded.
func (w *world) executions(id string) int {
	w.Helper()
	n := 0
	for line := range strings.Lines(w.dvx("", "datum", "list", id, "--json")) {
		var d struct{ Attempts int }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			w.Fatalf("%v\n%s", err, line)
		}
		n += d.Attempts
	}
	return n
}

// checkDoubled compares a version of the output with what its input must give.
func (w *world) checkDoubled(version string, mark int) {
	w.Helper()
	dir := w.path(fmt.Sprintf("out-%d", mark))
	w.dvx("", "checkout", version, dir)
	files, err := os.ReadDir(dir)
	if err != nil {
		w.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if f.IsDir() {
			continue // .dvx
		}
		var i int
		if _, err := fmt.Sscanf(f.Name(), "f%d", &i); err != nil {
			w.Fatalf("%s holds %s: %v", version, f.Name(), err)
		}
		n++
		if b, err := os.ReadFile(filepath.Join(dir, f.Name())); err != nil || string(b) != fmt.Sprintln(mark+2*i) {
			w.Errorf("%s:/%s is %q (%v), want %d", version, f.Name(), b, err, mark+2*i)
		}
	}
	if n != chaosDatums {
		w.Errorf("%s has %d files", version, n)
	}
}

// restart kills a part of the cluster and starts it again.
func (c *cluster) restart(ctx context.Context, name string) error {
	c.stop(name)
	if err := c.controlPlane(ctx); err != nil {
		return err
	}
	return c.node(ctx)
}
