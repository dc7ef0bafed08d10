//go:build kube

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// inputs makes the repo data of n files, each with its number.
func (w *world) inputs(n int) {
	w.Helper()
	for i := range n {
		w.write(fmt.Sprintf("data/d%03d", i), fmt.Sprintln(i))
	}
	w.dvx("data", "init", "--store", w.store)
	w.dvx("data", "commit", "-m", "inputs")
}

// apply registers a pipeline of one datum a file, whose program is a shell
// script in an image.
func (w *world) apply(name, image, script string, more ...string) {
	w.Helper()
	cmd, err := json.Marshal([]string{"sh", "-c", script})
	if err != nil {
		w.Fatal(err)
	}
	w.write(name+"/spec.yaml", fmt.Sprintf("pipeline: %s\ntransform:\n  image: %s\n  cmd: %s\ninput:\n  repo: data\n  glob: \"/*\"\n%s\n",
		name, image, cmd, strings.Join(more, "\n")))
	w.dvx(name, "pipeline", "apply", "-f", "spec.yaml")
}

// job is the newest of a pipeline.
type job struct {
	ID     string
	State  string
	Counts struct{ Total, Hit, Ran, Failed int }
}

func (w *world) job(pipeline string) job {
	w.Helper()
	var j job
	line, _, _ := strings.Cut(w.dvx("", "job", "list", pipeline, "--json"), "\n")
	if err := json.Unmarshal([]byte(line), &j); err != nil {
		w.Fatalf("%v\n%s", err, line)
	}
	return j
}

// TestMovedTag: a tag that names other bytes runs again, and other names for
// the same bytes do not.
func TestMovedTag(t *testing.T) {
	w := newWorld(t)
	w.inputs(3)
	w.serve()
	config := v1.Config{Env: []string{"PATH=/bin"}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	settle := func(ref string, ran int) {
		t.Helper()
		w.apply("copy", image(ref), "cp in/data/* out/")
		w.dvx("", "wait", "copy", "--timeout", "5m")
		if j := w.job("copy"); j.Counts.Ran != ran || j.Counts.Total != 3 || j.State != "done" {
			t.Errorf("%s: %+v, want %d of 3 to run", ref, j, ran)
		}
	}
	must(push("tool:1", config, busyboxFiles()...))
	must(push("tool:same", config, busyboxFiles()...))
	settle("tool:1", 3)
	settle("tool:same", 0)
	config.Labels = map[string]string{"version": "2"}
	must(push("tool:1", config, busyboxFiles()...))
	settle("tool:1", 3)
}

// TestPodsComeAndGo deletes worker Pods while they work: what comes out is what
// an undisturbed run gives, and no Pod is left.
func TestPodsComeAndGo(t *testing.T) {
	w := newWorld(t)
	const n = 60
	w.inputs(n)
	stop := w.serve("--kube-pods", "2", "--kube-idle", "2s")
	w.apply("slow", image("busybox:1"), "sleep 0.5; for f in in/data/*; do echo $(( $(cat $f) * 2 )) > out/$(basename $f); done")
	w.eventually("a worker runs", func() bool { return len(w.pods()) > 0 })
	deleted := 0
	for end := time.Now().Add(5 * time.Minute); w.job("slow").State != "done"; time.Sleep(2 * time.Second) {
		if state := w.job("slow").State; time.Now().After(end) || state == "failed" {
			t.Fatalf("%s: %s", state, failedOnes(w.dvx("", "datum", "list", "slow", "--json")))
		}
		if pods := w.pods(); len(pods) > 0 && deleted < 8 {
			w.must(w.kubectl("delete", "pod", "-n", w.namespace, pods[0], "--wait=false", fmt.Sprintf("--grace-period=%d", deleted%2*30)))
			deleted++
		}
	}
	if j := w.job("slow"); j.Counts.Ran != n || j.Counts.Failed != 0 {
		t.Errorf("%+v", j)
	}
	for i := range n {
		if got := w.dvx("", "cat", fmt.Sprintf("slow@main:/d%03d", i)); got != fmt.Sprintln(2*i) {
			t.Fatalf("d%03d: %q", i, got)
		}
	}
	w.eventually("no worker is left when there is nothing to do", func() bool { return len(w.pods()) == 0 })
	t.Logf("FIGURE %d Pods deleted while %d datums ran", deleted, n)
	stop()
}

// failedOnes picks the lines of the datums that failed.
func failedOnes(list string) string {
	var failed strings.Builder
	for line := range strings.Lines(list) {
		if strings.Contains(line, `"failed"`) {
			failed.WriteString(line)
		}
	}
	return failed.String()
}

// TestWordsForTrouble: what keeps a Pod from working is said in words.
func TestWordsForTrouble(t *testing.T) {
	w := newWorld(t)
	w.inputs(1)
	w.serve("--kube-idle", "2s")
	inspect := func(name string, words ...string) {
		t.Helper()
		var said string
		w.eventually(fmt.Sprintf("pipeline inspect %s says %q", name, words), func() bool {
			said = w.dvx("", "pipeline", "inspect", name) + w.dvx("", "job", "list", name, "--json")
			for _, word := range words {
				if !strings.Contains(said, word) {
					return false
				}
			}
			return true
		})
	}
	t.Run("Unschedulable", func(t *testing.T) {
		w.apply("huge", image("busybox:1"), "true", `resource_requests: {cpu: "5000"}`)
		inspect("huge", "Pod pending", "cpu")
		w.dvx("", "pipeline", "delete", "huge")
	})
	t.Run("NoImage", func(t *testing.T) {
		out, err := w.try("", "pipeline", "inspect", "nothing")
		if err == nil {
			t.Errorf("a pipeline that is not there: %s", out)
		}
		w.apply("lost", image("no-such-image:1"), "true")
		inspect("lost", "no-such-image")
		w.dvx("", "pipeline", "delete", "lost")
	})
	t.Run("OutOfMemory", func(t *testing.T) {
		w.apply("greedy", image("busybox:1"), "echo it begins; x=$(head -c 300000000 /dev/zero | tr '\\0' x); test $x = y",
			`resource_limits: {memory: 64Mi}`, "datum: {tries: 1}")
		if out, err := w.try("", "wait", "greedy", "--timeout", "5m"); err == nil {
			t.Fatalf("it succeeded: %s", out)
		}
		said := w.dvx("", "datum", "list", "greedy", "--json")
		if !strings.Contains(said, "memory") {
			t.Errorf("the datum says %s", said)
		}
	})
}

// TestLogsOutliveThePod: the log of a failed datum is there when its Pod is not.
func TestLogsOutliveThePod(t *testing.T) {
	w := newWorld(t)
	w.inputs(1)
	w.serve("--kube-idle", "1s")
	w.apply("talker", image("busybox:1"), "seq 1 20000; echo that was it >&2; exit 3", "datum: {tries: 1}")
	if out, err := w.try("", "wait", "talker", "--timeout", "5m"); err == nil {
		t.Fatalf("it succeeded: %s", out)
	}
	w.eventually("no Pod is left", func() bool { return len(w.pods()) == 0 })
	lines := strings.Split(strings.TrimSpace(w.dvx("", "logs", "talker")), "\n")
	if len(lines) < 20001 || !strings.Contains(lines[len(lines)-1], "that was it") {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}
