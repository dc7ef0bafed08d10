package objstoretest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
)

const (
	racers = 8
	rounds = 6
)

// race runs f in racers goroutines that start together.
func race(f func(racer int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// result is what one racer's Put returned.
type result struct {
	info objstore.Info
	err  error
}

// oneWinner checks that exactly one Put succeeded, that the others failed as
// losers do, and that the winner's bytes are there.
func oneWinner(t *testing.T, s objstore.Store, key string, rs []result, body func(int) string) objstore.Info {
	t.Helper()
	winner := -1
	for i, r := range rs {
		switch objstore.OutcomeOf(r.err) {
		case objstore.OutcomeOK:
			if winner >= 0 {
				t.Fatalf("%s: racers %d and %d both won", key, winner, i)
			}
			winner = i
		case objstore.OutcomePrecondition, objstore.OutcomeThrottled:
		default:
			t.Fatalf("%s: racer %d: %v", key, i, r.err)
		}
	}
	if winner < 0 {
		t.Fatalf("%s: nobody won", key)
	}
	wantBody(t, s, key, body(winner))
	info, err := s.Stat(t.Context(), key)
	if err != nil || info.Version != rs[winner].info.Version {
		t.Fatalf("%s: stat %+v, %v; the winner was told version %s", key, info, err, rs[winner].info.Version)
	}
	return info
}

func testRaceIfAbsent(t *testing.T, s objstore.Store) {
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		body := func(i int) string { return fmt.Sprintf("round %d racer %d %s", round, i, pattern(round*3000)) }
		rs := make([]result, racers)
		race(func(i int) {
			rs[i].info, rs[i].err = s.Put(t.Context(), key, objstore.Bytes([]byte(body(i))), objstore.Condition{IfAbsent: true})
		})
		oneWinner(t, s, key, rs, body)
	}
}

func testRaceIfVersion(t *testing.T, s objstore.Store) {
	base := create(t, s, "root", "base")
	for round := range rounds {
		body := func(i int) string { return fmt.Sprintf("round %d racer %d %s", round, i, pattern(round*3000)) }
		rs := make([]result, racers)
		race(func(i int) {
			rs[i].info, rs[i].err = s.Put(t.Context(), "root", objstore.Bytes([]byte(body(i))), objstore.Condition{IfVersion: base.Version})
		})
		base = oneWinner(t, s, "root", rs, body)
	}
}

// testRaceReaders checks that a reader sees some whole value of a key that is
// replaced under it, with the version that belongs to it, and never an older
// one than it saw before.
func testRaceReaders(t *testing.T, s objstore.Store) {
	const swaps = 30
	body := func(i int) string { return fmt.Sprintf("%04d ", i) + strings.Repeat(fmt.Sprintf("%04d", i), 500) }
	info := create(t, s, "root", body(0))
	var versions sync.Map
	versions.Store(info.Version, 0)
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for last := 0; !done.Load(); {
				b, got, err := objstore.ReadAll(t.Context(), s, "root", objstore.Range{}, 1<<20)
				if err != nil {
					t.Errorf("read while replaced: %v", err)
					return
				}
				var n int
				if _, err := fmt.Sscanf(string(b), "%d", &n); err != nil || string(b) != body(n) {
					t.Errorf("torn read: %.40q of %d bytes", b, len(b))
					return
				}
				if n < last {
					t.Errorf("read %d after %d", n, last)
					return
				}
				last = n
				if v, ok := versions.Load(got.Version); ok && v != n {
					t.Errorf("version of value %v came with value %d", v, n)
					return
				}
			}
		})
	}
	for i := 1; i <= swaps; i++ {
		info = put(t, s, "root", body(i), objstore.Condition{IfVersion: info.Version})
		versions.Store(info.Version, i)
	}
	done.Store(true)
	wg.Wait()
	wantBody(t, s, "root", body(swaps))
}
