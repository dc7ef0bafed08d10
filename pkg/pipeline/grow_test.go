package pipeline_test

import (
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// links reads "text -> name=text2, name=text3": what follows from a text.
func links(text string) map[string]string {
	_, after, ok := strings.Cut(text, " -> ")
	if !ok {
		return nil
	}
	all := map[string]string{}
	for part := range strings.SplitSeq(after, ", ") {
		name, to, _ := strings.Cut(part, "=")
		all[name] = strings.ReplaceAll(to, "~", " -> ")
	}
	return all
}

// TestGrowth: what datums emit runs once, whoever emits it, and a cycle ends;
// it is remembered, and goes with the last one that it followed from.
func TestGrowth(t *testing.T) {
	b := newBench(t)
	b.runner.emit = func(text string) map[string]string {
		switch text { // a cycle
		case "three", "right":
			return map[string]string{"l": "left"}
		case "left":
			return map[string]string{"r": "right"}
		}
		return links(text)
	}
	files := map[string]string{"a": "one -> x=ex~y=why", "b": "two -> y=why", "c": "three"}
	b.commit("links", files)
	b.register("up", "src", "main", func(s *spec.Spec) { s.Growth = &spec.Growth{} })
	stop := b.start()
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	b.wantFiles("up@main", map[string]string{
		"a": "ONE -> X=EX~Y=WHY", "b": "TWO -> Y=WHY", "c": "THREE",
		"x": "EX -> Y=WHY", "y": "WHY", "l": "LEFT", "r": "RIGHT",
	})
	b.wantRuns(7)
	if j := b.newest("up"); j.Counts.Total != 7 || j.Counts.Ran != 7 {
		t.Errorf("counts %+v", j.Counts)
	}
	stop()
	files["d"] = "four"
	b.commit("more", files)
	stop = b.start()
	b.wait()
	b.wantRuns(8)
	stop()
	delete(files, "a")
	b.commit("less", files)
	b.start()
	b.wait()
	b.wantRuns(8)
	b.wantFiles("up@main", map[string]string{"b": "TWO -> Y=WHY", "c": "THREE", "d": "FOUR", "y": "WHY", "l": "LEFT", "r": "RIGHT"})
}

// TestGrowthIsBounded: too deep, too many, or two of one name fail the job, and
// it says why.
func TestGrowthIsBounded(t *testing.T) {
	endless := func(text string) map[string]string {
		if n := strings.Count(text, "+"); n > 0 {
			return map[string]string{strings.Repeat("p", n): text + "+"}
		}
		return nil
	}
	for says, c := range map[string]struct {
		emit  func(string) map[string]string
		files map[string]string
	}{
		"in step 4, more than growth.depth allows": {endless, map[string]string{"a": "one+"}},
		"more than 5 further datums":               {links, map[string]string{"a": "1 -> a=1, b=2, c=3", "b": "2 -> d=4, e=5, f=6"}},
		"datums src:/a and src:/b emit different":  {links, map[string]string{"a": "1 -> x=1", "b": "2 -> x=2"}},
	} {
		b := newBench(t)
		b.runner.emit = c.emit
		b.commit("links", c.files)
		b.register("up", "src", "main", func(s *spec.Spec) { s.Growth = &spec.Growth{Depth: 3, Max: 5} })
		b.start()
		b.wait()
		if j := b.newest("up"); j.State != history.Failed || !strings.Contains(j.Reason, says) {
			t.Errorf("job %s: %s, want %s", j.State, j.Reason, says)
		}
	}
}
