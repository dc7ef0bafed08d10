package pipeline

import (
	"testing"
	"time"
)

// TestPace: after a rest a few flushes need not wait, and then they come at the
// pace, however long each takes.
func TestPace(t *testing.T) {
	p := pace{every: 100 * time.Millisecond}
	now := time.Unix(1_000_000, 0)
	run := func(n int) (waited time.Duration) {
		for range n {
			if w := p.wait(now); w > 0 {
				waited, now = waited+w, now.Add(w)
			}
			began := now
			now = now.Add(10 * time.Millisecond)
			p.done(began, now)
		}
		return waited
	}
	if w := run(flushBurst); w != 0 {
		t.Errorf("the first flushes waited %v", w)
	}
	run(10) // what is left of the burst
	if w := run(20); w != 20*p.every {
		t.Errorf("20 more waited %v", w)
	}
	now = now.Add(time.Minute)
	if w := run(flushBurst); w != 0 {
		t.Errorf("after a rest they waited %v", w)
	}
}
