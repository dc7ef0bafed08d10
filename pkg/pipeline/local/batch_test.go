//go:build unix

package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// serveBatch makes the test binary a program that takes datum after datum, and
// does what the file in/r/do says of each.
func serveBatch() {
	lines, answers := bufio.NewScanner(os.NewFile(3, "lines")), os.NewFile(4, "answers")
	fmt.Println("hello")
	late := ""
	for lines.Scan() {
		var o struct {
			N       int
			In, Out string
		}
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			panic(err)
		}
		if late != "" { // the folder is gone, and nothing lies at its name
			err := os.WriteFile(filepath.Join(late, "late"), nil, 0o666)
			fmt.Println("late:", errors.Is(err, os.ErrNotExist))
			late = ""
		}
		b, err := os.ReadFile(filepath.Join(o.In, "r", "do"))
		if err != nil {
			panic(err)
		}
		do, text, _ := strings.Cut(string(b), " ")
		if err := os.WriteFile(filepath.Join(o.Out, "pid"), []byte(strconv.Itoa(os.Getpid())), 0o666); err != nil {
			panic(err)
		}
		fmt.Println("did", do)
		answer := fmt.Sprintf(`{"n":%d}`, o.N)
		switch do {
		case "error":
			answer = fmt.Sprintf(`{"n":%d,"error":%q}`, o.N, text)
		case "exit":
			code, _ := strconv.Atoi(text)
			os.Exit(code)
		case "hang":
			time.Sleep(time.Hour)
		case "say":
			answer = text
		case "twice":
			answer += "\n" + answer
		case "quit":
			_, _ = fmt.Fprintln(answers, answer)
			os.Exit(0)
		case "late":
			late = o.Out
		}
		_, _ = fmt.Fprintln(answers, answer)
	}
	os.Exit(0)
}

// batchTask makes a task that serveBatch does.
func batchTask(t testing.TB, s chunk.Store, do string) task.Task {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := task.Task{
		Key: memo.Key(chunk.Data.Sum([]byte(do))), Attempt: 1, Batch: true, Program: chunk.ID{1}, Transform: spec.Transform{Cmd: []string{exe}},
		Inputs: []task.Input{{Name: "r", Items: []task.Item{{Entry: tree.Entry{Kind: tree.Dir, Dir: code(t, s, map[string]string{"do": do})}}}}},
	}
	return k
}

// pidIn returns the process that gave a result.
func pidIn(t *testing.T, s chunk.Store, res task.Result) string {
	t.Helper()
	e, err := tree.Open(s, res.Output).Lookup(context.Background(), "pid")
	if err != nil {
		t.Fatal(err)
	}
	return content(t, s, e.Content)
}

// TestBatch: one process takes datum after datum; one that it fails, or that it
// ends in, fails alone; each has its own outputs and log.
func TestBatch(t *testing.T) {
	r, s := newRunner(t, 1), &chunk.Mem{}
	last, pid := "", ""
	for i, c := range []struct {
		do      string
		timeout time.Duration
		outcome task.Outcome
		reason  string
		fresh   bool   // the process is another than that of the datum before
		log     string // all of it
	}{
		{do: "copy", outcome: task.Succeeded, fresh: true, log: "hello\ndid copy\n"},
		{do: "copy again", outcome: task.Succeeded, log: "did copy\n"},
		{do: "late", outcome: task.Succeeded, log: "did late\n"},
		{do: "copy 2", outcome: task.Succeeded, log: "late: true\ndid copy\n"},
		{do: "error no such colour", outcome: task.Failed, reason: "no such colour", log: "did error\n"},
		{do: "copy 3", outcome: task.Succeeded, log: "did copy\n"},
		{do: "exit 3", outcome: task.Failed, reason: "exit status 3; it last said: did exit", log: "did exit\n"},
		{do: "copy 4", outcome: task.Succeeded, fresh: true, log: "hello\ndid copy\n"},
		{do: "exit 0", outcome: task.Failed, reason: "ended without an answer", log: "did exit\n"},
		{do: "hang", timeout: 2 * time.Second, outcome: task.TimedOut, reason: "time limit of ", fresh: true, log: "hello\ndid hang\n"},
		{do: "say nonsense", outcome: task.Failed, reason: "want a line like", fresh: true, log: "hello\ndid say\n"},
		{do: `say {"n":7}`, outcome: task.Failed, reason: "answered for n 7 when it had 1", fresh: true, log: "hello\ndid say\n"},
		{do: "say " + strings.Repeat("x", 70_000), outcome: task.Failed, reason: "more than 65536 bytes", fresh: true, log: "hello\ndid say\n"},
		{do: "say ", outcome: task.Failed, reason: "want a line like", fresh: true, log: "hello\ndid say\n"},
		{do: "twice", outcome: task.Succeeded, fresh: true, log: "hello\ndid twice\n"},
		{do: "copy 5", outcome: task.Failed, reason: "answered for n 1 when it had 2", log: ""},
		{do: "quit", outcome: task.Succeeded, fresh: true, log: "hello\ndid quit\n"},
		{do: "copy 6", outcome: task.Succeeded, fresh: true, log: "hello\ndid copy\n"},
	} {
		k := batchTask(t, s, c.do)
		k.Timeout = c.timeout
		res := run(t, r, k, s)
		for c.timeout > 0 && content(t, s, res.Log) != c.log && k.Timeout < hung { // it had not begun
			k.Timeout *= 4
			res = run(t, r, k, s)
		}
		if res.Outcome != c.outcome || !strings.Contains(res.Reason, c.reason) {
			t.Fatalf("%d, %.20s: outcome %q, reason %q", i, c.do, res.Outcome, res.Reason)
		}
		if log := content(t, s, res.Log); c.do != "copy 5" && log != c.log {
			t.Errorf("%d, %.20s: log %q, want %q", i, c.do, log, c.log)
		}
		if res.Outcome != task.Succeeded {
			continue
		}
		if res.Output.Files != 1 {
			t.Errorf("%d, %.20s: %d outputs", i, c.do, res.Output.Files)
		}
		if pid = pidIn(t, s, res); (pid != last) != c.fresh {
			t.Errorf("%d, %.20s: process %s after %s", i, c.do, pid, last)
		}
		last = pid
	}
}

// TestBatchProcesses: other programs, as many datums as a process may take, and
// programs that take one, end the process; a program that is asked for one
// datum at a time has one process.
func TestBatchProcesses(t *testing.T) {
	r, s := newRunner(t, 2), &chunk.Mem{}
	pids := map[string]bool{}
	for i := range 10 {
		pids[pidIn(t, s, run(t, r, batchTask(t, s, fmt.Sprintf("copy %d", i)), s))] = true
	}
	if len(pids) != 1 {
		t.Errorf("%d processes for 10 datums in turn", len(pids))
	}
	clear(pids)
	for i := range 10 {
		k := batchTask(t, s, fmt.Sprintf("copy %d", i))
		k.Program, k.SetSize = chunk.ID{2}, 4
		pids[pidIn(t, s, run(t, r, k, s))] = true
	}
	if len(pids) != 3 {
		t.Errorf("%d processes for 10 datums in sets of 4", len(pids))
	}
	for i := range 8 { // more than there are benches, so every one has another program for a while
		k := batchTask(t, s, "copy")
		k.Program = chunk.ID{byte(10 + i)}
		run(t, r, k, s)
		succeed(t, r, shell("echo x >out/x"), s)
	}
}

// TestBatchCancelled: a datum that is cancelled ends its process, and no other.
func TestBatchCancelled(t *testing.T) {
	r, s := newRunner(t, 1), &chunk.Mem{}
	run(t, r, batchTask(t, s, "copy"), s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := r.Run(ctx, batchTask(t, s, "hang"), s)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled datum: %v", err)
	}
	if res := run(t, r, batchTask(t, s, "copy 2"), s); res.Outcome != task.Succeeded {
		t.Errorf("after it: %+v", res)
	}
}
