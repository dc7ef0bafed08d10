//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/repo"
)

const (
	killDatums  = 200
	killKills   = 30 // DVX_KILLS sets another number
	killsAJob   = 3
	killSlots   = "4"
	killProgram = `echo "$DVX_DATUM_ID" >> "$RAN"
sleep 0.03
for f in in/numbers/*; do
  { cat "$f"; echo "worked on ${f##*/}"; } > "out/${f##*/}"
  echo "done with ${f##*/}"
done
`
)

// TestKill9 kills the daemon with SIGKILL at random moments of jobs of 200
// datums, 30 times, and wipes its database after every third kill. Each job is
// first run undisturbed on a copy of the store: the killed one must give the
// same output commit. Throughout, the output branch is polled for anything but
// whole versions, and each start of a datum is checked against the results that
// were published when the daemon died.
func TestKill9(t *testing.T) {
	kills := killKills
	if s := os.Getenv("DVX_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatalf("DVX_KILLS: %v", err)
		}
	}
	k := newKiller(t)
	start := time.Now()
	for k.killed < kills {
		k.round(min(killsAJob, kills-k.killed))
	}
	for k.midway == 0 && kills >= killKills && k.killed < 10*kills { // until a kill has met what it is to meet
		k.round(killsAJob)
	}
	k.finish(time.Since(start))
}

// TestSoakKill9 does the same for as long as DVX_SOAK says.
func TestSoakKill9(t *testing.T) {
	s := os.Getenv("DVX_SOAK")
	if s == "" {
		t.Skip("runs for as long as DVX_SOAK says (make soak)")
	}
	long, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("DVX_SOAK: %v", err)
	}
	k := newKiller(t)
	start := time.Now()
	for time.Since(start) < long {
		k.round(killsAJob)
	}
	k.finish(time.Since(start))
}

// killer is a store whose daemon is killed, and what is known of it.
type killer struct {
	t     *testing.T
	u     *user // works on the store directly
	store string
	state string
	ran   string // file to which each datum that starts adds its key
	rng   *mathrand.Rand

	rounds, killed, wiped  int
	midway                 int // times the daemon was found dead with some results published and some not
	executed, repeated     int
	shown                  map[string]string   // what job list --json says of each job that is over
	logs                   map[string]string   // and dvx logs
	keys                   map[string]struct{} // results in the root when the daemon last died
	read                   int                 // bytes of ran that were read
	started                map[string]int      // starts of each key
	head, next             string              // output commit before this round, and of it
	mu                     sync.Mutex          // guards head and next, which the poller reads
	polls                  int                 // looks at the output branch
	undisturbed, disturbed time.Duration       // of all rounds
}

func newKiller(t *testing.T) *killer {
	u := newUser(t)
	wc := u.in("numbers")
	for i := range killDatums {
		wc.write(map[string]string{fmt.Sprintf("n%03d", i): fmt.Sprintf("number %d\n", i)})
	}
	wc.dvx("init")
	wc.dvx("commit", "-m", "200 numbers")
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("DVX_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("DVX_SEED: %v", err)
		}
	}
	t.Logf("DVX_SEED=%d", seed)
	return &killer{
		t: t, store: wc.path(".dvx", "store"), u: u.with("DVX_STORE", wc.path(".dvx", "store")),
		state: u.path("state"), ran: u.path("ran"), rng: mathrand.New(mathrand.NewPCG(seed, 0)),
		shown: map[string]string{}, logs: map[string]string{}, keys: map[string]struct{}{}, started: map[string]int{},
	}
}

// round changes the spec's salt, so that all 200 datums are to run, runs the
// job undisturbed on a copy of the store, and then here with kills.
func (k *killer) round(kills int) {
	k.t.Helper()
	k.rounds++
	k.u.write(map[string]string{
		"p/p.yaml": spec("p", "numbers", "/*", "p.sh", fmt.Sprintf("reprocess: \"round %d\"\n", k.rounds)),
		"p/p.sh":   killProgram,
	})
	edit := strings.Replace(readFile(k.t, k.u.path("p", "p.yaml")), "transform:\n", "transform:\n  env: {RAN: "+k.ran+"}\n", 1)
	k.u.write(map[string]string{"p/p.yaml": edit})
	k.u.dvx("pipeline", "apply", "-f", "p/p.yaml")
	want, alone := k.twin()
	k.mu.Lock()
	k.next = want
	k.mu.Unlock()

	stop := k.poll()
	start := time.Now()
	for range kills {
		d := k.launch()
		time.Sleep(time.Duration(k.rng.Int64N(int64(alone))))
		d.kill()
		time.Sleep(20 * time.Millisecond) // what it started ends with it
		k.look()
		k.died(d)
	}
	d := k.launch().ready()
	k.u.dvx("wait", "numbers", "--timeout", waitMax.String())
	k.disturbed += time.Since(start)
	k.undisturbed += alone
	d.stop()
	stop()
	k.look()
	k.settled(want)
}

func (k *killer) launch() *daemon {
	k.t.Helper()
	return k.u.launch(k.store, "--state", k.state, "--slots", killSlots, "--checkpoint", "250ms")
}

// twin runs the job undisturbed on a copy of the store, and returns the output
// commit and how long it took from the start of the daemon.
func (k *killer) twin() (string, time.Duration) {
	k.t.Helper()
	dir := k.u.path(fmt.Sprintf("twin%d", k.rounds))
	copyFolder(k.t, k.store, dir)
	start := time.Now()
	u := k.u.with("DVX_STORE", dir)
	d := u.serve(dir, "--state", dir+".state", "--slots", killSlots, "--checkpoint", "250ms")
	u.dvx("wait", "numbers", "--timeout", waitMax.String())
	took := time.Since(start)
	d.stop()
	j := u.wantCounts("p", "main", killDatums, 0, killDatums)
	makeWritable(dir)
	makeWritable(dir + ".state")
	for _, gone := range []string{dir, dir + ".state"} {
		if err := os.RemoveAll(gone); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := os.Remove(k.ran); err != nil { // what ran in the twin does not count
		k.t.Fatal(err)
	}
	k.read = 0
	return j.Output, took
}

// poll looks at the output branch all the time: it is at the last version or at
// the one to come, and both are whole.
func (k *killer) poll() (stop func()) {
	k.t.Helper()
	s := open(k.t, k.store)
	return beside(k.t, 1, func(ctx context.Context, _ int) {
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			v, err := s.View(auth.With(ctx, auth.Owner))
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				k.t.Errorf("poll the output branch: %v", err)
				return
			}
			at := v.Repos["p"].Branches["main"].Commit
			k.mu.Lock()
			if k.polls++; !at.IsZero() && at.String() != k.head && at.String() != k.next {
				k.t.Errorf("the output branch is at %v, neither the last version nor the one to come", at)
			}
			k.mu.Unlock()
		}
	})
}

// open opens a store in this process.
func open(t testing.TB, dir string) *repo.Direct {
	t.Helper()
	objects, err := disk.Open(t.Context(), dir, disk.Options{Now: time.Now})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	s, err := repo.OpenDirect(auth.With(t.Context(), auth.Owner), objects, repo.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// died counts a kill of a daemon, and wipes its database every third time.
func (k *killer) died(d *daemon) {
	k.t.Helper()
	if k.killed++; k.killed%3 != 0 {
		return
	}
	k.wiped++
	d.left() // else its programs still write there
	makeWritable(k.state)
	if err := os.RemoveAll(k.state); err != nil {
		k.t.Fatal(err)
	}
}

// look looks at what a daemon left: what started since the time before had no
// published result then.
func (k *killer) look() {
	k.t.Helper()
	all, err := os.ReadFile(k.ran)
	if err != nil && !os.IsNotExist(err) {
		k.t.Fatal(err)
	}
	for key := range strings.FieldsSeq(string(all[k.read:])) {
		k.executed++
		if k.started[key]++; k.started[key] > 1 {
			k.repeated++
		}
		if _, ok := k.keys[key]; ok {
			k.t.Errorf("round %d, kill %d: the datum of key %.12s ran although its result was published", k.rounds, k.killed, key)
		}
	}
	k.read = len(all)
	before := len(k.keys)
	k.keys = k.results()
	if n := len(k.keys) - (k.rounds-1)*killDatums; n > 0 && n < killDatums && len(k.keys) > before {
		k.midway++
	}
}

// results returns the keys of the memo records that the root names.
func (k *killer) results() map[string]struct{} {
	k.t.Helper()
	root, err := open(k.t, k.store).Root(auth.With(k.t.Context(), auth.Owner))
	if err != nil {
		k.t.Fatal(err)
	}
	keys := map[string]struct{}{}
	for _, name := range root.Memo {
		f, err := os.Open(filepath.Join(k.store, filepath.FromSlash(name)))
		if err != nil {
			k.t.Fatal(err)
		}
		stat, err := f.Stat()
		if err != nil {
			k.t.Fatal(err)
		}
		segment, err := memo.OpenSegment(f, stat.Size())
		if err != nil {
			k.t.Fatalf("%s: %v", name, err)
		}
		for r, err := range segment.All() {
			if err != nil {
				k.t.Fatalf("%s: %v", name, err)
			}
			keys[r.Key.String()] = struct{}{}
		}
		f.Close()
	}
	return keys
}

// settled checks the end of a round: the output is the undisturbed one, every
// result is published, and whatever was shown before is shown still.
func (k *killer) settled(want string) {
	k.t.Helper()
	j := k.u.newest("p", "main")
	if j.State != "done" || j.Output != want || j.Counts.Total != killDatums || j.Counts.Failed != 0 {
		k.t.Fatalf("round %d: the job is %+v, want it done with output %s", k.rounds, j, want)
	}
	v := k.u.show("p@main")
	if v.ID != want || v.Commit.Tree.Files != killDatums {
		k.t.Errorf("round %d: p@main is at %s with %d files, want %s with %d", k.rounds, v.ID, v.Commit.Tree.Files, want, killDatums)
	}
	k.mu.Lock()
	k.head = want
	k.mu.Unlock()
	now := map[string]string{}
	for line := range strings.Lines(k.u.dvx("job", "list", "--json")) {
		now[decode[job](k.t, line).ID] = line
	}
	for id, was := range k.shown {
		if now[id] != was {
			k.t.Errorf("round %d: job list says of job %.12s\n%swhere it said\n%s", k.rounds, id, now[id], was)
		}
	}
	k.shown = now
	k.logs[j.ID] = k.u.dvx("logs", j.ID)
	if n := strings.Count(k.logs[j.ID], "done with"); n != killDatums {
		k.t.Errorf("round %d: the log has %d lines, want one for each of %d datums", k.rounds, n, killDatums)
	}
	ids := slices.Sorted(maps.Keys(k.logs))
	for _, id := range ids[:min(len(ids), 3)] {
		if k.u.dvx("logs", id) != k.logs[id] {
			k.t.Errorf("round %d: dvx logs %.12s shows something else than before", k.rounds, id)
		}
	}
}

// finish reports the figures, and reads all logs once more.
func (k *killer) finish(took time.Duration) {
	k.t.Helper()
	for id, was := range k.logs {
		if k.u.dvx("logs", id) != was {
			k.t.Errorf("dvx logs %.12s shows something else than before", id)
		}
	}
	figure(k.t, "%d kills and %d wipes in %d jobs of %d datums, %v in all: output commits equal to undisturbed runs", k.killed, k.wiped, k.rounds, killDatums, took.Round(time.Second))
	if k.midway == 0 && k.killed >= killKills {
		k.t.Error("no kill met a job of which a part was published: the test shows less than it should")
	}
	figure(k.t, "%d kills met a job of which a part was published", k.midway)
	figure(k.t, "%d looks at the output branch: never anything but whole versions", k.polls)
	figure(k.t, "%d datums started, %d of them again, 0 whose result was published (%d are)", k.executed, k.repeated, len(k.keys))
	figure(k.t, "a job took %v with its kills, %v undisturbed, on average", (k.disturbed / time.Duration(k.rounds)).Round(10*time.Millisecond), (k.undisturbed / time.Duration(k.rounds)).Round(10*time.Millisecond))
}
