//go:build kube

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// attempt is what is recorded of one run of a program.
type attempt struct {
	Outcome        string
	Started, Ended time.Time
	Stats          struct{ Fetch, Queue, Run, Store time.Duration }
}

// began is when the program was started.
func (a attempt) began() time.Time { return a.Started.Add(a.Stats.Fetch + a.Stats.Queue) }

// attempts lists the last one of each datum of a pipeline's newest job, in the
// order in which they began.
func (w *world) attempts(pipeline string) []attempt {
	w.Helper()
	var all []attempt
	for line := range strings.Lines(w.dvx("", "datum", "list", pipeline, "--json")) {
		var d struct{ Last attempt }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			w.Fatalf("%v\n%s", err, line)
		}
		all = append(all, d.Last)
	}
	slices.SortFunc(all, func(a, b attempt) int { return a.Started.Compare(b.Started) })
	return all
}

// commitFiles replaces the repo data by n files of a size, and returns when
// they were committed.
func (w *world) commitFiles(n, size int, mark string) time.Time {
	w.Helper()
	if err := os.RemoveAll(w.path("data", "files")); err != nil {
		w.Fatal(err)
	}
	for i := range n {
		text := fmt.Sprintf("%s %d\n", mark, i)
		w.write(filepath.Join("data", "files", fmt.Sprintf("f%05d", i)), text+strings.Repeat("x", max(size-len(text), 0)))
	}
	w.dvx("data", "commit", "-m", mark)
	return time.Now()
}

// TestSpeed says how soon and how fast datums run in Pods. It asserts that they
// run: how long it takes is printed, for the machine has other things to do.
func TestSpeed(t *testing.T) {
	w := newWorld(t)
	w.write("data/README", "files are what counts\n")
	w.dvx("data", "init", "--store", w.store)
	w.dvx("data", "commit", "-m", "nothing")
	w.serve("--kube-pods", "2", "--kube-idle", "60s")
	w.write("copy/spec.yaml", fmt.Sprintf("pipeline: copy\ntransform:\n  image: %s\n  cmd: [cp, -r, in/data/files, out/]\ninput:\n  repo: data\n  glob: \"/files/*\"\n", image("busybox:1")))
	w.dvx("copy", "pipeline", "apply", "-f", "spec.yaml")
	w.dvx("", "wait", "copy", "--timeout", "5m")
	run := func(what string, n, size int) []attempt {
		t.Helper()
		at := w.commitFiles(n, size, what)
		w.dvx("", "wait", "copy", "--timeout", "5m")
		took := time.Since(at)
		all := w.attempts("copy")
		if j := w.job("copy"); len(all) != n || j.Counts.Ran != n || j.State != "done" {
			t.Fatalf("%s: %d attempts, %+v", what, len(all), j)
		}
		t.Logf("FIGURE %s: %d datums in %.2f s; %.0f ms from the commit to the first program", what, n, took.Seconds(), float64(all[0].began().Sub(at).Microseconds())/1000)
		return all
	}
	run("cold", 1, 100)
	for i := range 5 {
		run(fmt.Sprint("warm ", i), 1, 100)
	}
	run("warm, many", 10_000, 100)
}

// TestOverhead says what a datum of 1 KiB costs beside its program, one after
// the other.
func TestOverhead(t *testing.T) {
	w := newWorld(t)
	w.write("data/README", "files are what counts\n")
	w.dvx("data", "init", "--store", w.store)
	w.dvx("data", "commit", "-m", "nothing")
	w.serve("--kube-pods", "1", "--kube-idle", "60s", "--pool", "one=1")
	w.write("copy/spec.yaml", fmt.Sprintf("pipeline: copy\nconcurrency: {one: 1}\ntransform:\n  image: %s\n  cmd: [cp, -r, in/data/files, out/]\ninput:\n  repo: data\n  glob: \"/files/*\"\n", image("busybox:1")))
	w.dvx("copy", "pipeline", "apply", "-f", "spec.yaml")
	w.dvx("", "wait", "copy", "--timeout", "5m")
	const n = 200
	w.commitFiles(n, 1024, "inputs")
	w.dvx("", "wait", "copy", "--timeout", "5m")
	all := w.attempts("copy")
	if len(all) != n {
		t.Fatalf("%d attempts", len(all))
	}
	var gaps, inside []time.Duration
	for i, a := range all[1:] {
		gaps = append(gaps, a.Started.Sub(all[i].Started)-all[i].Stats.Run)
		inside = append(inside, a.Ended.Sub(a.Started)-a.Stats.Run)
	}
	slices.Sort(gaps)
	slices.Sort(inside)
	t.Logf("FIGURE overhead of a datum of 1 KiB, one at a time: p50 %v, p99 %v; in the worker p50 %v", gaps[n/2], gaps[n*99/100], inside[n/2])
}
