package pipeline_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

// TestDailyChange lives through ten days of a data set of which 1 % changes each
// day, with two stages in three environments, and a new version of the first
// stage's code on the fifth day that gives what the old one gave. It prints the
// table of docs/BENCHMARKS.md. With DVX_SEEDS it has twenty inputs for each seed.
func TestDailyChange(t *testing.T) {
	inputs := 200
	if n, err := strconv.Atoi(os.Getenv("DVX_SEEDS")); err == nil {
		inputs = min(20*n, 10_000)
	}
	const days, stages = 10, 2
	environments := []string{"main", "staging", "prod"}
	b := newBench(t)
	files := map[string]string{}
	for i := range inputs {
		files[fmt.Sprintf("f%05d", i)] = fmt.Sprint("first version of ", i)
	}
	code := "1"
	register := func() {
		for _, e := range environments {
			b.register("clean", "src", e, func(s *spec.Spec) { s.Reprocess = code })
			b.register("report", "clean", e, func(s *spec.Spec) { s.Reprocess = "report" })
		}
	}
	b.commit("day 1", files)
	for _, e := range environments[1:] {
		b.move(repo.CreateBranch{Repo: "src", Branch: e, From: b.head("src@main").ID, Fork: "main"})
	}
	register()
	b.start()
	ran := 0
	t.Logf("day | executed | all of them")
	for day := 1; day <= days; day++ {
		if day > 1 {
			for i := range inputs / 100 {
				files[fmt.Sprintf("f%05d", (day*7919+i*101)%inputs)] = fmt.Sprint("version of day ", day, " of ", i)
			}
			b.commit(fmt.Sprint("day ", day), files)
			for _, e := range environments[1:] {
				b.move(repo.MoveBranch{Repo: "src", Branch: e, Expect: b.head("src@" + e).ID, To: b.head("src@main").ID})
			}
		}
		if day == 5 {
			code = "2"
			register()
		}
		if s := b.waitFor(5 * time.Minute); s.Err() != nil {
			t.Fatalf("day %d: %v: %s", day, s.Err(), b.newest("clean").Reason)
		}
		now := b.runner.count()
		t.Logf("%3d | %8d | %8d", day, now-ran, inputs*stages*len(environments))
		ran = now
	}
	naive := days * inputs * stages * len(environments)
	t.Logf("sum | %8d | %8d: %.1f %%", ran, naive, 100*float64(ran)/float64(naive))
	if ran*10 > naive {
		t.Errorf("%d datums were executed of %d", ran, naive)
	}
	for _, e := range environments {
		if got := len(b.files("report@" + e)); got != inputs {
			t.Errorf("report@%s has %d files", e, got)
		}
	}
}
