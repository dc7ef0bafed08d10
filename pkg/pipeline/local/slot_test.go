//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

func TestExits(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	cases := []struct {
		name, script string
		accept       []int
		outcome      task.Outcome
		exit         int
		reason       string
	}{
		{"fine", "exit 0", nil, task.Succeeded, 0, ""},
		{"status", "echo out; echo err >&2; exit 3", nil, task.Failed, 3, "exit status 3; it last said: err"},
		{"accepted", "exit 3", []int{2, 3}, task.Succeeded, 3, ""},
		{"signal", "echo dying; kill -TERM $$", nil, task.Failed, 143, "ended by SIGTERM; it last said: dying"},
		{"kill", "kill -KILL $$", nil, task.Failed, 137, "ended by SIGKILL"},
		{"highest", "exit 255", nil, task.Failed, 255, "exit status 255"},
	}
	for _, c := range cases {
		k := shell(c.script)
		k.Transform.AcceptReturnCode = c.accept
		res := run(t, r, k, s)
		if res.Outcome != c.outcome || res.Exit != c.exit || res.Reason != c.reason {
			t.Errorf("%s: outcome %q, exit %d, reason %q", c.name, res.Outcome, res.Exit, res.Reason)
		}
	}
}

func TestProgramSeesItsTaskAndNothingElse(t *testing.T) {
	t.Setenv("DVX_TEST_LEAK", "leak")
	r, s := shared.get(t), &chunk.Mem{}
	k := shell(`cat; pwd; umask; env | cut -d= -f1 | sort | tr '\n' ' '; echo; ls /proc/self/fd | wc -l; cat "$DVX_IN/../in/r/f"; ls "$TMPDIR" "$HOME" out`)
	k.Transform.Stdin = []string{"line 1", "line 2"}
	k.Transform.Env = map[string]string{"MINE": "1"}
	k.Code = code(t, s, map[string]string{"x": ""})
	k.Transform.WorkingDir = "code"
	e := code(t, s, map[string]string{"f": "input\n"})
	k.Inputs = []task.Input{{Name: "r", Items: []task.Item{{Path: "", Entry: dirEntry(e)}}}}
	k.Transform.Cmd[2] = strings.ReplaceAll(k.Transform.Cmd[2], " out", ` "$DVX_OUT"`)
	want := "line 1\nline 2\n" + r.opts.Dir + "/slot-0/task/code\n0022\n" +
		"DVX_ATTEMPT_KEY DVX_CODE DVX_DATUM_ID DVX_IN DVX_INPUT_R_URL DVX_OUT HOME LANG MINE PATH PWD TMPDIR TZ \n" +
		"4\ninput\n"
	log := strings.Replace(succeed(t, r, k, s), "/slot-1/", "/slot-0/", 1) // whichever was free
	if !strings.HasPrefix(log, want) || strings.Contains(log, "leak") {
		t.Errorf("got\n%s\nwant\n%s", log, want)
	}
}

func TestLogIsInOrder(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	log := succeed(t, r, shell(`for i in 1 2 3; do echo out $i; echo err $i >&2; done; (echo child)`), s)
	if log != "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nchild\n" {
		t.Errorf("log %q", log)
	}
}

func TestSlotsGiveTheSameOutput(t *testing.T) {
	r, s := newRunner(t, 1), &chunk.Mem{} // which has two folders
	script := `mkdir out/d; echo hi >out/d/f; ln -s "$DVX_OUT/d/f" out/l; ln -s d out/m`
	take := func() *bench {
		<-r.idle
		return r.take(task.Task{})
	}
	first, second := take(), take()
	r.put(first)
	a, again := run(t, r, shell(script), s), run(t, r, shell(script), s)
	r.put(second)
	take()
	b := run(t, r, shell(script), s)
	r.put(first)
	if a.Output != again.Output || a.Output != b.Output || a.Output.Files != 3 {
		t.Errorf("outputs %v, %v, %v", a.Output, again.Output, b.Output)
	}
	if first.exec.slot == nil || second.exec.slot == nil {
		t.Error("one slot ran everything")
	}
}

func TestCommandsThatCantBeStarted(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	files := code(t, s, map[string]string{
		"plain": "echo", "noshebang*": "text", "lost*": "#!/no/such/interpreter\n", "fine*": "#!/bin/sh\nexec env true",
	})
	cases := []struct {
		cmd    []string
		reason string
	}{
		{[]string{"no-such-program"}, "not on the fixed PATH"},
		{[]string{"/no/such/program"}, "/no/such/program"},
		{[]string{"/tmp"}, "is no file"},
		{[]string{"/etc/passwd"}, "not executable"},
		{[]string{"bin/x"}, "as code/NAME"},
		{[]string{"code/plain"}, "code/plain: permission denied"},
		{[]string{"code/none"}, "code/none: no such file"},
		{[]string{"code/noshebang"}, "first line such as #!/bin/sh"},
		{[]string{"code/lost"}, "interpreter in its first line"},
		{[]string{"true", strings.Repeat("x", 3<<20)}, "argument"},
	}
	for _, c := range cases {
		k := task.Task{Attempt: 1, Transform: spec.Transform{Cmd: c.cmd}, Code: files}
		res := run(t, r, k, s)
		if res.Outcome != task.Failed || res.Exit != 127 || !strings.Contains(res.Reason, c.reason) ||
			strings.Contains(res.Reason, r.opts.Dir) {
			t.Errorf("%.40q: outcome %q, exit %d, reason %q", c.cmd, res.Outcome, res.Exit, res.Reason)
		}
	}
	succeed(t, r, task.Task{Transform: spec.Transform{Cmd: []string{"code/fine", "arg\xff"}}, Code: files}, s)
}

// A program may change the code folder; the next one does not see it.
func TestCodeIsWholeForEveryDatum(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	k := task.Task{Transform: spec.Transform{Cmd: []string{"code/run"}}, Code: code(t, s, map[string]string{
		"run*":  "#!/bin/sh\ncat code/state; exec sh -c \"chmod -R u+w code; echo dirty >code/state; echo 'exit 7' >>code/run\"\n",
		"state": "clean\n",
	})}
	for range 3 {
		if log := succeed(t, r, k, s); log != "clean\n" {
			t.Fatalf("log %q", log)
		}
	}
}

// forkers leave processes behind, each of which writes its number to
// $PIDS/NAME.pid first.
var forkers = map[string]string{
	"background child": `sleep 300 & echo $! >$PIDS/a.pid`,
	"deaf to signals":  `(trap "" TERM HUP INT; echo $(exec sh -c 'echo $PPID') >$PIDS/a.pid; while :; do sleep 300; done) & while [ ! -s $PIDS/a.pid ]; do :; done`,
	"daemon": `setsid sh -c 'trap "" TERM HUP; (trap "" TERM; echo $(exec sh -c "echo \$PPID") >$PIDS/a.pid; while :; do sleep 300; done) & exit 0' &
while [ ! -s $PIDS/a.pid ]; do :; done`,
	"many daemons": `for i in 1 2 3 4 5; do setsid sh -c "(echo \$\$ >$PIDS/p$i.pid; setsid sh -c 'echo \$\$ >$PIDS/c$i.pid; exec sleep 300') & exec sleep 300" & done
while [ "$(cat $PIDS/c*.pid 2>/dev/null | wc -l)" -lt 5 ]; do :; done`,
	"hopping": `cat >tmp/hop <<'X'
[ $1 -gt 3000 ] && exec sleep 300
echo $$ >>$PIDS/a.pid
sh $TMPDIR/hop $(($1+1)) &
X
sh tmp/hop 0; sleep 0.02`,
	"storm": `cat >tmp/storm <<'X'
echo $$ >>$PIDS/a.pid
[ $1 -ge 5 ] && exec sleep 300
sh $TMPDIR/storm $(($1+1)) & sh $TMPDIR/storm $(($1+1)) &
wait
X
sh tmp/storm 0 & while [ ! -s $PIDS/a.pid ]; do :; done`,
	"replaced main": `sleep 300 & echo $! >$PIDS/a.pid; kill -9 $$`,
}

func TestNothingOfAProgramLivesOn(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	for name, script := range forkers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := shell(script)
			k.Transform.Env = map[string]string{"PIDS": dir}
			run(t, r, k, s)
			noneAlive(t, dir, 1)
		})
	}
	succeed(t, r, shell("true"), s)
}

func TestTimeLimitKillsEverything(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	dir := t.TempDir()
	k := shell(`trap "" TERM; echo $$ >$PIDS/a.pid; setsid sleep 300 & echo $! >$PIDS/b.pid; echo waiting; sleep 300`)
	k.Transform.Env = map[string]string{"PIDS": dir}
	var res task.Result
	for k.Timeout = 2 * time.Second; k.Timeout < hung; k.Timeout *= 4 { // until both processes run by then
		res = run(t, r, k, s)
		noneAlive(t, dir, 0)
		if len(pids(t, dir)) == 2 && strings.HasSuffix(res.Reason, "waiting") {
			break
		}
	}
	if res.Outcome != task.TimedOut || !strings.Contains(res.Reason, "time limit of "+k.Timeout.String()) || !strings.HasSuffix(res.Reason, "waiting") || res.Exit != 137 {
		t.Errorf("result %+v", res)
	}
	noneAlive(t, dir, 2)
	if res := run(t, r, k, s); res.Outcome != task.TimedOut {
		t.Errorf("again: %+v", res)
	}
	k = shell("true")
	k.Timeout = hung
	succeed(t, r, k, s)
}

func TestCancelKillsEverything(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	dir := t.TempDir()
	k := shell(`setsid sleep 300 & echo $! >$PIDS/b.pid; echo $$ >$PIDS/a.pid; sleep 300`)
	k.Transform.Env = map[string]string{"PIDS": dir}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := r.Run(ctx, k, s)
		ended <- err
	}()
	eventually(t, "the program runs", func() bool { return len(pids(t, dir)) == 2 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	noneAlive(t, dir, 2)
	succeed(t, r, shell("true"), s)
	if _, err := r.Run(ctx, k, s); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: %v", err)
	}
}

// Kills that come before the start, at the end and after it hit nothing else.
func TestCancelAtAnyMoment(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	for i := range 150 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*100*time.Microsecond)
		res, err := r.Run(ctx, shell("true"), s)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) || err == nil && res.Outcome != task.Succeeded {
			t.Fatalf("after %d: %+v, %v", i, res, err)
		}
		if i%10 == 0 {
			succeed(t, r, shell("true"), s)
		}
	}
}

func TestSlotDiesWithItsOwner(t *testing.T) {
	dir := t.TempDir()
	owner := startOwner(t, dir, fmt.Sprintf(`setsid sleep 300 & echo $! >%[1]s/b.pid; echo $PPID >%[1]s/slot.pid; echo $$ >%[1]s/a.pid; sleep 300`, dir))
	eventually(t, "the program runs", func() bool { return len(pids(t, dir)) == 3 })
	all := pids(t, dir)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	for _, pid := range all {
		eventually(t, fmt.Sprintf("process %d ends", pid), func() bool { return !alive(pid) })
	}
}

func TestLostSlotIsReplaced(t *testing.T) {
	r, s := newRunner(t, 1), &chunk.Mem{}
	dir := t.TempDir()
	k := shell(`setsid sleep 300 & echo $! >$PIDS/b.pid; echo $$ >$PIDS/a.pid; kill -9 $PPID; sleep 300`)
	k.Transform.Env = map[string]string{"PIDS": dir}
	for range 2 {
		if res, err := r.Run(context.Background(), k, s); err == nil || !strings.Contains(err.Error(), "slot process") {
			t.Fatalf("result %+v, error %v", res, err)
		}
		for _, pid := range pids(t, dir) {
			eventually(t, fmt.Sprintf("process %d ends", pid), func() bool { return !alive(pid) })
		}
		succeed(t, r, shell("true"), s)
	}
	// Also one that was lost while it was idle.
	for _, p := range slotProcesses(r) {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a run succeeds again", func() bool {
		res, err := r.Run(context.Background(), shell("true"), s)
		return err == nil && res.Outcome == task.Succeeded
	})
}

// Signals for the daemon's whole group do not keep a slot from its duty.
func TestSlotOutlivesSignals(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	succeed(t, r, shell("kill -TERM $PPID; kill -INT $PPID; kill -HUP $PPID; sleep 0.05"), s)
	before := slotProcesses(r)
	// Programs do not inherit that.
	for range r.Slots() {
		if res := run(t, r, shell("kill -TERM $$; echo alive"), s); res.Exit != 128+int(syscall.SIGTERM) {
			t.Errorf("result %+v", res)
		}
	}
	after := slotProcesses(r)
	for _, p := range before {
		if !slices.ContainsFunc(after, func(q *os.Process) bool { return p.Pid == q.Pid }) {
			t.Error("another slot")
		}
	}
}

// slotProcesses returns the slots that were started, while none is in use.
func slotProcesses(r *Runner) []*os.Process {
	var all []*os.Process
	for _, b := range r.benches {
		if b.exec.slot != nil {
			all = append(all, b.exec.slot.cmd.Process)
		}
	}
	return all
}

func TestCloseEndsTheSlots(t *testing.T) {
	r, s := newRunner(t, 2), &chunk.Mem{}
	slots := t.TempDir()
	k := shell("echo $PPID >$PIDS/a.pid")
	k.Transform.Env = map[string]string{"PIDS": slots}
	succeed(t, r, k, s)
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	noneAlive(t, slots, 1)
	if _, err := r.Run(context.Background(), k, s); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestStatsCountChildren(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	res := run(t, r, shell(`sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done'; echo 12345 >out/f`), s)
	if res.Outcome != task.Succeeded || res.Stats.CPU < time.Millisecond || res.Stats.RSSMax < 100<<10 || res.Stats.BytesOut != 6 ||
		res.Stats.Run <= 0 || !res.Ended.After(res.Started) || res.Started.Location() != time.UTC {
		t.Errorf("result %+v", res)
	}
}

func TestRunsSideBySide(t *testing.T) {
	r, s := newRunner(t, 2), &chunk.Mem{}
	dir := t.TempDir()
	ended := make(chan task.Result, 2)
	for i := range 2 {
		go func() {
			k := shell(fmt.Sprintf(`echo >%[1]s/%[2]d; while [ ! -e %[1]s/%[3]d ]; do sleep 0.01; done`, dir, i, 1-i))
			k.Timeout = hung
			res, err := r.Run(context.Background(), k, s)
			if err != nil {
				t.Error(err)
			}
			ended <- res
		}()
	}
	for range 2 {
		if res := <-ended; res.Outcome != task.Succeeded {
			t.Errorf("result %+v", res)
		}
	}
	if r.Slots() != 2*aheadPerSlot {
		t.Errorf("%d slots", r.Slots())
	}
	if names, err := filepath.Glob(filepath.Join(r.opts.Dir, "slot-*")); err != nil || len(names) != r.Slots() {
		t.Errorf("folders %v, %v", names, err)
	}
}
