package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// says makes an executor that logs text and ends so.
func says(t *testing.T, text string, e Exit) inProcess {
	t.Helper()
	return func(_ context.Context, p Process) (Exit, error) {
		f, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString(text)
		must(t, errors.Join(err, f.Close()))
		return e, nil
	}
}

func TestOutcomes(t *testing.T) {
	cases := []struct {
		name    string
		exit    Exit
		log     string
		outcome task.Outcome
		reason  string
	}{
		{"fine", Exit{}, "hello\n", task.Succeeded, ""},
		{"accepted", Exit{Code: 3}, "odd\n", task.Succeeded, ""},
		{"status", Exit{Code: 1}, "one\ntwo \n\n", task.Failed, "exit status 1; it last said: two"},
		{"silent", Exit{Code: 2}, "", task.Failed, "exit status 2"},
		{"blank", Exit{Code: 2}, "\n \n", task.Failed, "exit status 2"},
		{"signal", Exit{Code: 137, Signal: "SIGKILL"}, "x", task.Failed, "ended by SIGKILL; it last said: x"},
		{"starved", Exit{Code: 137, Signal: "SIGKILL", Starved: true}, "x", task.Failed, "it needed more memory than its limit: raise resource_limits.memory; it last said: x"},
		{"not started", Exit{Code: 127, Failure: "no such thing"}, "", task.Failed, "could not be started: no such thing"},
		{"progress bar", Exit{Code: 1}, "a\n10%\r20%\r30%", task.Failed, "exit status 1; it last said: 30%"},
		{"colours", Exit{Code: 1}, "\x1b[31mred\x07\n", task.Failed, "exit status 1; it last said: ?[31mred?"},
		{"not text", Exit{Code: 1}, "a\n\xff\xfeb", task.Failed, "exit status 1; it last said: ?b"},
		{"endless line", Exit{Code: 1}, strings.Repeat("x", 5000), task.Failed, "exit status 1; it last said: " + strings.Repeat("x", 200)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &chunk.Mem{}
			k := aTask()
			k.Transform.AcceptReturnCode = []int{3}
			res, err := newWorker(t, says(t, c.log, c.exit)).Run(context.Background(), k, s)
			if err != nil || res.Outcome != c.outcome || res.Reason != c.reason || res.Exit != c.exit.Code {
				t.Errorf("outcome %q, exit %d, reason %q, error %v", res.Outcome, res.Exit, res.Reason, err)
			}
			if got := content(t, s, res.Log); got != c.log {
				t.Errorf("log %q", got)
			}
			if (res.Outcome == task.Succeeded) == res.Output.ID.IsZero() {
				t.Errorf("output %v of outcome %q", res.Output, res.Outcome)
			}
			if !res.Ended.After(res.Started) || res.Stats.Fetch != time.Second || res.Stats.Run != time.Second || res.Stats.Store <= 0 {
				t.Errorf("times %+v", res)
			}
		})
	}
}

func TestLongLogKeepsBothEnds(t *testing.T) {
	s := &chunk.Mem{}
	log := "first line\n" + strings.Repeat("0123456789abcde\n", LogSizeMax/16) + "last line\n"
	res, err := newWorker(t, says(t, log, Exit{Code: 1})).Run(context.Background(), aTask(), s)
	must(t, err)
	got := content(t, s, res.Log)
	notice := "\n[dvx: 21 bytes left out]\n"
	if len(got) != LogSizeMax+len(notice) || !strings.HasPrefix(got, "first line\n") || !strings.HasSuffix(got, "last line\n") ||
		strings.Index(got, notice) != LogSizeMax/2 {
		t.Errorf("%d bytes kept", len(got))
	}
	if !strings.HasSuffix(res.Reason, "last line") {
		t.Errorf("reason %q", res.Reason)
	}
}

func TestTimeLimitAndCancel(t *testing.T) {
	s := &chunk.Mem{}
	waits := inProcess(func(ctx context.Context, _ Process) (Exit, error) {
		<-ctx.Done()
		return Exit{Code: 137, Signal: "SIGKILL", Killed: true}, nil
	})
	w := newWorker(t, waits)
	k := aTask()
	k.Timeout = time.Millisecond
	res, err := w.Run(context.Background(), k, s)
	if err != nil || res.Outcome != task.TimedOut || !strings.Contains(res.Reason, "1ms") {
		t.Errorf("at its limit: %+v, %v", res, err)
	}
	// One that ends by itself in time, however close, is judged by its end.
	w.opts.Exec = inProcess(func(ctx context.Context, _ Process) (Exit, error) {
		<-ctx.Done()
		return Exit{}, nil
	})
	if res, err := w.Run(context.Background(), k, s); err != nil || res.Outcome != task.Succeeded {
		t.Errorf("just in time: %+v, %v", res, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.opts.Exec = inProcess(func(ctx context.Context, p Process) (Exit, error) {
		cancel()
		return waits(ctx, p)
	})
	if res, err := w.Run(ctx, k, s); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %+v, %v", res, err)
	}
}

func TestBrokenExecutorIsTheInfrastructuresFault(t *testing.T) {
	s := &chunk.Mem{}
	broken := errors.New("slot lost")
	w := newWorker(t, inProcess(func(context.Context, Process) (Exit, error) { return Exit{}, broken }))
	if res, err := w.Run(context.Background(), aTask(), s); !errors.Is(err, broken) || res.Outcome == task.Succeeded {
		t.Errorf("%+v, %v", res, err)
	}
	w.opts.Exec = program(t, func(string) {})
	succeed(t, w, aTask(), s)
}

func TestNewNeedsItsParts(t *testing.T) {
	for _, o := range []Options{{}, {Exec: says(t, "", Exit{})}, {Now: clock()}} {
		o.Dir = filepath.Join(t.TempDir(), "w")
		if _, err := New(chunk.DefaultParams(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
