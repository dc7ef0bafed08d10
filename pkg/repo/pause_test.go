package repo

import (
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestPauses has a store that fails twenty times in a row, and one in which
// others are faster as often: only the first is given more and more time.
func TestPauses(t *testing.T) {
	d := newDirect(t, mem.New(mem.Options{}), 1)
	d.swapTook.Store(int64(10 * time.Millisecond))
	longest := func(boundMax time.Duration) (longest time.Duration) {
		d.o.After = func(wait time.Duration) <-chan time.Time {
			longest = max(longest, wait)
			return atOnce(wait)
		}
		p := pauser{d: d, start: d.o.Now()}
		for range 20 {
			p.boundMax = boundMax
			if err := p.pause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return longest
	}
	if failed := longest(0); failed < pauseMax/2 || failed > pauseMax {
		t.Errorf("after failures the longest pause is %v, want up to %v", failed, pauseMax)
	}
	if lost := longest(d.lostMax()); lost > 24*10*time.Millisecond {
		t.Errorf("after lost swaps of 10ms the longest pause is %v", lost)
	}
}
