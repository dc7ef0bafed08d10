package pipeline_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

func utc(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		panic(err)
	}
	return t
}

// TestDue: which ticks are made up for, and when the next one is, over the
// changes of the clock too.
func TestDue(t *testing.T) {
	for _, c := range []struct {
		name      string
		cron      spec.Cron
		last, now string
		due       []string
		next      string
	}{
		{"nothing yet", spec.Cron{Spec: "0 * * * *"}, "2026-11-20 09:10", "2026-11-20 09:59", nil, "2026-11-20 10:00"},
		{"on time", spec.Cron{Spec: "0 * * * *"}, "2026-11-20 09:10", "2026-11-20 10:00", []string{"2026-11-20 10:00"}, "2026-11-20 11:00"},
		{"all missed", spec.Cron{Spec: "0 * * * *"}, "2026-11-20 09:00", "2026-11-20 12:30", []string{"2026-11-20 10:00", "2026-11-20 11:00", "2026-11-20 12:00"}, "2026-11-20 13:00"},
		{"latest missed", spec.Cron{Spec: "0 * * * *", Missed: "latest"}, "2026-11-20 09:00", "2026-11-20 12:30", []string{"2026-11-20 12:00"}, "2026-11-20 13:00"},
		{"none missed", spec.Cron{Spec: "0 * * * *", Missed: "none"}, "2026-11-20 09:00", "2026-11-20 12:30", nil, "2026-11-20 13:00"},
		{"none missed, one is just due", spec.Cron{Spec: "0 * * * *", Missed: "none"}, "2026-11-20 09:00", "2026-11-20 12:01", []string{"2026-11-20 12:00"}, "2026-11-20 13:00"},
		{"midnight over there", spec.Cron{Spec: "@daily", TimeZone: "Asia/Tokyo"}, "2026-11-20 10:00", "2026-11-20 16:00", []string{"2026-11-20 15:00"}, "2026-11-21 15:00"},
		{"in summer and winter", spec.Cron{Spec: "0 0 * * *", TimeZone: "Europe/Berlin"}, "2026-10-24 00:00", "2026-10-25 23:30", []string{"2026-10-24 22:00", "2026-10-25 23:00"}, "2026-10-26 23:00"},
		{"once a leap year", spec.Cron{Spec: "0 0 29 2 *"}, "2026-11-20 09:00", "2026-11-20 09:00", nil, "2028-02-29 00:00"},
	} {
		due, next, more, err := pipeline.Due(c.cron, utc(c.last), utc(c.now))
		if err != nil || more {
			t.Errorf("%s: more %v, %v", c.name, more, err)
		}
		var got []string
		for _, d := range due {
			got = append(got, d.Format("2006-01-02 15:04"))
		}
		if !slices.Equal(got, c.due) || next.Format("2006-01-02 15:04") != c.next {
			t.Errorf("%s: due %v, next %v; want %v, %v", c.name, got, next, c.due, c.next)
		}
	}
}

// TestDueForTenYears: midnight comes once a local day.
func TestDueForTenYears(t *testing.T) {
	c := spec.Cron{Spec: "0 0 * * *", TimeZone: "America/New_York"}
	days := map[string]int{}
	last, end := utc("2026-01-01 12:00"), utc("2036-01-01 12:00")
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		var due []time.Time
		if due, _, more, err = pipeline.Due(c, last, end); err != nil {
			t.Fatal(err)
		}
		for _, d := range due {
			days[d.In(zone).Format("2006-01-02")]++
			last = d
		}
	}
	if len(days) != 3652 || slices.Max(slices.Collect(maps.Values(days))) != 1 {
		t.Errorf("%d days, at most %d times", len(days), slices.Max(slices.Collect(maps.Values(days))))
	}
}

// web is files that are there under URLs, as name, version and text.
type web struct {
	files map[string][2]string
	gets  int
}

func (w *web) Fetch(_ context.Context, url, etag string) (io.ReadCloser, string, error) {
	f, ok := w.files[url]
	if !ok {
		return nil, "", errors.New("not there")
	}
	if etag == f[0] {
		return nil, etag, nil
	}
	w.gets++
	return io.NopCloser(strings.NewReader(f[1])), f[0], nil
}

// fill looks once at what is due, all of which can be had.
func (b *bench) fill(w *web) time.Time {
	b.Helper()
	next, failed := b.tryFill(w)
	if len(failed) > 0 {
		b.Fatal(failed[0].Err)
	}
	return next
}

// tryFill looks once at what is due.
func (b *bench) tryFill(w *web) (time.Time, []pipeline.Unfilled) {
	b.Helper()
	c, err := pipeline.NewController(pipeline.ControllerOptions{
		Store: b.store, Runner: b.runner, Now: b.clock.Now, Platform: "test/test", Scope: "test", Fetch: w, Report: func(err error) { b.Log(err) },
	})
	if err != nil {
		b.Fatal(err)
	}
	next, failed, err := c.Fill(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return next, failed
}

func (b *bench) advance(d time.Duration) {
	b.clock.mu.Lock()
	defer b.clock.mu.Unlock()
	b.clock.now = b.clock.now.Add(d)
}

// TestCronInput: each tick is a file in a repo of the pipeline's own, made once
// by however many engines, made up for after a pause, and a datum.
func TestCronInput(t *testing.T) {
	b := newBench(t)
	b.register("nightly", "", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Name: "tick", Cron: &spec.Cron{Spec: "0 * * * *"}}
	})
	if next := b.fill(nil); !next.Equal(utc("2026-11-20 10:00")) {
		t.Errorf("the next is due at %v", next)
	}
	b.advance(150 * time.Minute)
	b.fill(nil)
	b.fill(nil)
	ten, eleven := "2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"
	b.wantFiles("nightly_tick@main", map[string]string{ten: "", eleven: ""})
	b.wantFiles("nightly_tick@main~1", map[string]string{ten: ""})
	stop := b.start()
	b.wait()
	stop()
	b.wantFiles("nightly@main", map[string]string{ten: "", eleven: ""})

	b.register("nightly", "", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Name: "tick", Cron: &spec.Cron{Spec: "0 * * * *", Overwrite: true}}
	})
	b.advance(time.Hour)
	b.fill(nil)
	b.wantFiles("nightly_tick@main", map[string]string{"2026-11-20T12:00:00Z": ""})

	// A repo that is another pipeline's is not touched.
	b.register("up", "src", "main", nil)
	b.register("thief", "", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Repo: "up", Name: "x", Cron: &spec.Cron{Spec: "0 * * * *"}}
	})
	b.advance(time.Hour)
	if _, failed := b.tryFill(nil); len(failed) != 1 || failed[0].Pipeline != "thief" {
		t.Errorf("not filled: %v", failed)
	}
	if view, err := b.store.View(b.ctx); err != nil || !view.Repos["up"].Branches["main"].Commit.IsZero() {
		t.Errorf("the output of another pipeline was written to (%v)", err)
	}
}

// TestURLInput: a file is fetched once, or again when it is time and it has
// changed; where it came from is recorded.
func TestURLInput(t *testing.T) {
	b := newBench(t)
	w := &web{files: map[string][2]string{"https://x.example/a/rates.csv": {"v1", "one"}, "https://x.example/b": {"w1", "other"}}}
	urlInput := func(url, every string) func(*spec.Spec) {
		return func(s *spec.Spec) { s.Input = spec.Input{Name: "rates", URL: url, Every: every} }
	}
	b.register("load", "", "main", urlInput("https://x.example/a/rates.csv", ""))
	b.fill(w)
	b.wantFiles("load_rates@main", map[string]string{"rates.csv": "one"})
	w.files["https://x.example/a/rates.csv"] = [2]string{"v2", "two"}
	b.advance(48 * time.Hour)
	b.fill(w)
	b.wantFiles("load_rates@main", map[string]string{"rates.csv": "one"}) // it was asked for once
	b.register("load", "", "main", urlInput("https://x.example/a/rates.csv", "1h"))
	next := b.fill(w)
	b.wantFiles("load_rates@main", map[string]string{"rates.csv": "two"})
	if wait := next.Sub(b.clock.Now()); wait > time.Hour || wait < 59*time.Minute {
		t.Errorf("the next is due in %v", wait)
	}
	b.fill(w)
	at, err := repo.Resolve(b.ctx, b.store, "load_rates@main")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"dvx.url": "https://x.example/a/rates.csv", "dvx.etag": "v2"}
	if diff := cmp.Diff(want, at.Commit.Labels); diff != "" || w.gets != 2 {
		t.Errorf("after %d downloads the labels differ (-want +got):\n%s", w.gets, diff)
	}
	// What can't be had is tried again; what is there stays.
	b.register("load", "", "main", urlInput("https://x.example/gone", ""))
	next, failed := b.tryFill(w)
	if next.Sub(b.clock.Now()) > time.Minute {
		t.Errorf("it is tried again at %v", next)
	}
	if len(failed) != 1 || failed[0].Pipeline != "load" || !strings.Contains(failed[0].Err.Error(), "input rates of pipeline load@main: fetch https://x.example/gone: not there") {
		t.Errorf("what could not be had: %v", failed)
	}
	b.wantFiles("load_rates@main", map[string]string{"rates.csv": "two"})
	b.register("load", "", "main", urlInput("https://x.example/b", ""))
	b.fill(w)
	b.wantFiles("load_rates@main", map[string]string{"b": "other"})
}
