//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// collectFor is how long TestCollectBesideWriters runs without DVX_SOAK.
const collectFor = 30 * time.Second

// TestCollectBesideWriters collects garbage again and again while 4 writers
// commit, all of them stopped and killed at random moments. Every commit that
// was acknowledged is there in the end, and the store is sound.
func TestCollectBesideWriters(t *testing.T) { collectBesideWriters(t, collectFor) }

// TestSoakCollect does the same for as long as DVX_SOAK says.
func TestSoakCollect(t *testing.T) {
	s := os.Getenv("DVX_SOAK")
	if s == "" {
		t.Skip("runs for as long as DVX_SOAK says (make soak)")
	}
	long, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("DVX_SOAK: %v", err)
	}
	collectBesideWriters(t, long)
}

// unruly runs commands that are stopped and killed at random moments.
type unruly struct {
	u   *user
	dvx string // the program

	mu              sync.Mutex
	killed, stopped int
	acked           map[string]string // what was committed: text by file expression
	failed          map[string]int    // what commands that were not killed said
}

// run runs dvx, mostly in peace, and reports whether it ended well.
func (x *unruly) run(rng *mathrand.Rand, stdin string, args ...string) (out string, ok bool) {
	cmd := x.u.command(x.dvx, args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Start(); err != nil {
		x.u.t.Error(err)
		return "", false
	}
	done := make(chan struct{})
	kill, stop := rng.IntN(5) == 0, rng.IntN(5) == 0
	pause, rest := time.Duration(rng.IntN(60))*time.Millisecond, time.Duration(rng.IntN(1500))*time.Millisecond
	var tamer sync.WaitGroup
	tamer.Go(func() {
		select {
		case <-done:
			return
		case <-time.After(pause):
		}
		if stop {
			_ = cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(rest)
			_ = cmd.Process.Signal(syscall.SIGCONT)
		}
		if kill {
			_ = cmd.Process.Kill()
		}
	})
	err := cmd.Wait()
	close(done)
	tamer.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if stop {
		x.stopped++
	}
	if kill {
		x.killed++
	}
	if err != nil && !kill {
		x.failed[strings.TrimSpace(stderr.String())]++
	}
	return stdout.String(), err == nil
}

// writer commits files until ctx ends: to a branch that all share and to one of
// its own, which it deletes now and then.
func (x *unruly) writer(ctx context.Context, n int) {
	rng := mathrand.New(mathrand.NewPCG(uint64(n), 1))
	own := 0
	for i := 0; ctx.Err() == nil; i++ {
		text := fmt.Sprintf("%d of writer %d: %s", i, n, strings.Repeat(fmt.Sprint(rng.Uint64()), 1+rng.IntN(3000)))
		expr := fmt.Sprintf("shared@main:/w%d/%04d", n, i)
		if i%3 == 0 {
			expr = fmt.Sprintf("shared@w%d-%d:/%04d", n, own, i)
		}
		if _, ok := x.run(rng, text, "put", "-", expr); ok {
			x.mu.Lock()
			x.acked[expr] = text
			x.mu.Unlock()
		}
		if i%10 == 9 {
			prefix := fmt.Sprintf("shared@w%d-%d:", n, own)
			x.mu.Lock()
			for expr := range x.acked {
				if strings.HasPrefix(expr, prefix) {
					delete(x.acked, expr)
				}
			}
			x.mu.Unlock()
			x.run(rng, "", "branch", "delete", fmt.Sprintf("shared@w%d-%d", n, own))
			own++
			x.run(rng, "", "branch", "create", fmt.Sprintf("shared@w%d-%d", n, own), "--from", "shared@main")
		}
	}
}

// happened reports whether enough has been committed for the test to show what
// it should.
func (x *unruly) happened() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.acked) >= 10 && x.killed > 0 && x.stopped > 0
}

// collector collects until the time is over and enough has happened, and returns
// how often it did.
func (x *unruly) collector(until time.Time) (runs int, deleted int64) {
	rng := mathrand.New(mathrand.NewPCG(99, 1))
	last := until.Add(waitMax)
	for time.Now().Before(until) || time.Now().Before(last) && (runs < 3 || deleted == 0 || !x.happened()) {
		args := []string{"gc", "--json", "--yes", "--keep-undo", "0d"}
		if rng.IntN(3) == 0 {
			args = append(args, "--now")
		}
		out, ok := x.run(rng, "", args...)
		var r struct{ Deleted int64 }
		if ok && json.Unmarshal([]byte(out), &r) == nil {
			runs++
			deleted += r.Deleted
		}
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
	}
	return runs, deleted
}

func collectBesideWriters(t *testing.T, long time.Duration) {
	u := newUser(t)
	store := u.path("store")
	u.dvx("init", "--bare", store)
	u = u.with("DVX_STORE", store)
	u.dvx("repo", "create", "shared")
	u.write(map[string]string{"first": "first"})
	u.dvx("put", "first", "shared@main:/first")
	for n := range 4 {
		u.dvx("branch", "create", fmt.Sprintf("shared@w%d-0", n), "--from", "shared@main")
	}
	x := &unruly{u: u, dvx: binary(t, "dvx"), acked: map[string]string{"shared@main:/first": "first"}, failed: map[string]int{}}
	stop := beside(t, 4, x.writer)
	runs, deleted := x.collector(time.Now().Add(long))
	stop()
	u.dvx("gc", "--yes", "--keep-undo", "0d", "--now")
	lost := 0
	for expr, want := range x.acked {
		if r := u.tryDVX("cat", expr); r.code != 0 || r.out != want {
			lost++
			t.Errorf("%s was acknowledged: exit code %d, %d bytes, %s", expr, r.code, len(r.out), r.err)
		}
	}
	u.dvx("fsck", "--read-data") // fails on any finding of damage
	for text, n := range x.failed {
		t.Logf("%d times: %.300s", n, text)
	}
	figure(t, "%d collections (%d objects deleted) beside 4 writers for %v, %d kill -9, %d SIGSTOP: %d acknowledged commits, %d lost, fsck finds nothing",
		runs, deleted, long, x.killed, x.stopped, len(x.acked), lost)
	if runs < 3 || deleted == 0 {
		t.Errorf("too little happened")
	}
}

// TestBackup copies a store in the documented order while writers commit and
// garbage is collected: every copy is sound.
func TestBackup(t *testing.T) {
	const copies = 5
	u := newUser(t)
	store := u.path("store")
	u.dvx("init", "--bare", store)
	u = u.with("DVX_STORE", store)
	u.dvx("repo", "create", "shared")
	u.write(map[string]string{"first": "first"})
	u.dvx("put", "first", "shared@main:/first")
	for w := range 2 {
		u.dvx("branch", "create", fmt.Sprintf("shared@b%d", w), "--from", "shared@main")
	}
	dvx := binary(t, "dvx")
	var done [3]atomic.Int64 // commands of each goroutine that ended well
	stop := beside(t, len(done), func(ctx context.Context, w int) {
		for i := 0; ctx.Err() == nil; i++ {
			var r result
			if w == 2 {
				r = u.try("", dvx, "gc", "--yes", "--keep-undo", "0d", "--grace", "1h")
			} else {
				r = u.try(fmt.Sprintf("%d of %d", i, w), dvx, "put", "-", fmt.Sprintf("shared@b%d:/%d", w, i%7))
			}
			if r.code != 0 {
				t.Errorf("%s: exit code %d\n%s", r.line, r.code, r.err)
				return
			}
			done[w].Add(1)
		}
	})
	for n := range copies {
		for w := range done { // all have done something since the last copy
			for was, end := done[w].Load(), time.Now().Add(waitMax); done[w].Load() == was; time.Sleep(5 * time.Millisecond) {
				if t.Failed() || time.Now().After(end) {
					t.Fatalf("goroutine %d does nothing more", w)
				}
			}
		}
		backup := u.path(fmt.Sprintf("backup%d", n))
		backUp(t, store, backup)
		u.dvx("--store", backup, "fsck", "--read-data")
	}
	stop()
	figure(t, "%d copies of a live store, beside %d commits and %d collections: fsck --read-data finds nothing in any",
		copies, done[0].Load()+done[1].Load(), done[2].Load())
}

// backUp copies a store as docs/BACKUP.md says: the root first, to be put in
// place last; between them everything else, in any order.
func backUp(t *testing.T, from, to string) {
	t.Helper()
	root := readFile(t, filepath.Join(from, "root"))
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(from, path)
		switch {
		case os.IsNotExist(err):
			return nil // written to a temporary name, or collected, meanwhile
		case err != nil || rerr != nil:
			return err
		case rel == "tmp":
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case rel == "root":
			return nil
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, rel), b, 0o644)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(to, "root"), root)
}
