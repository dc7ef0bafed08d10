//go:build kube

package main

import (
	"fmt"
	"strings"
	"testing"
)

// demoScript is that of the demo's first pipeline.
const demoScript = `for f in in/weather/*.csv; do
  awk -F, 'NR > 1 { n[$3]++; s[$3] += $4 } END { for (k in n) printf "%s %.1f\n", k, s[k] / n[k] }' "$f" |
    sort > "out/$(basename "$f" .csv).txt"
  echo "summed up $f"
done
`

// TestDemoInPods runs the demo's pipeline in Pods, and again in a second
// environment, which has nothing to do.
func TestDemoInPods(t *testing.T) {
	w := newWorld(t)
	for month := 1; month <= 12; month++ {
		w.write(fmt.Sprintf("weather/2026-%02d.csv", month), fmt.Sprintf("day,hour,station,celsius\n1,0,hill,%d.0\n1,3,hill,%d.0\n", month, month+2))
	}
	w.write("monthly/monthly.sh", demoScript)
	w.write("monthly/monthly.yaml", "pipeline: monthly\ntransform:\n  image: "+image("busybox:1")+"\n  cmd: [sh, code/monthly.sh]\ninput:\n  repo: weather\n  glob: \"/*\"\n")
	w.dvx("weather", "init", "--store", w.store)
	w.dvx("weather", "commit", "-m", "a year")
	w.serve("--kube-idle", "3s")
	w.dvx("monthly", "pipeline", "create", "-f", "monthly.yaml")
	w.dvx("", "wait", "monthly", "--timeout", "50s")
	if got := w.dvx("", "cat", "monthly@main:/2026-03.txt"); got != "hill 4.0\n" {
		t.Errorf("the output is %q", got)
	}
	if pods := w.pods(); len(pods) == 0 {
		t.Error("no worker Pod was there")
	}
	w.eventually("idle: no worker Pods", func() bool { return len(w.pods()) == 0 })

	w.dvx("", "branch", "create", "weather@staging")
	w.dvx("monthly", "pipeline", "create", "-f", "monthly.yaml", "--branch", "staging")
	w.dvx("", "wait", "monthly@staging", "--timeout", "50s")
	if pods := w.pods(); len(pods) != 0 {
		t.Errorf("the second environment has nothing to run, and yet Pods %v", pods)
	}
	jobs := w.dvx("", "job", "list", "--json")
	if !strings.Contains(jobs, "monthly") {
		t.Errorf("jobs: %s", jobs)
	}
	t.Log(jobs)
}
