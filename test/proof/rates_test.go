package proof

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/objstore/retry"
	"github.com/dvx-io/dvx/pkg/repo"
)

// TestFaultRates commits through a store of which a share of all calls fails:
// throttled, not sent, applied without an answer. Retries hide it, at a price
// in requests; what they cannot hide is said to be unknown, and a repetition
// makes it certain.
func TestFaultRates(t *testing.T) {
	for _, tt := range []struct {
		rate  float64
		price float64 // requests per request without faults, at most
		all   bool    // all commits succeed at the first attempt
	}{{0, 1.02, true}, {0.01, 1.2, true}, {0.05, 2, true}, {0.20, 4, false}} {
		t.Run(fmt.Sprintf("%.0f percent", 100*tt.rate), func(t *testing.T) {
			n := min(seeds(40, 1), 100)
			requests, bare, again := faultyCommits(t, tt.rate, n), faultyCommits(t, 0, n), 0
			if price := float64(requests.sent) / float64(bare.sent); price > tt.price {
				t.Errorf("%.2f times the requests, at most %.1f are allowed", price, tt.price)
			}
			if again = requests.repeated; tt.all && again > 0 {
				t.Errorf("%d of %d commits had to be repeated", again, n)
			}
			figure(t, "%.0f %% of calls fail: %d commits, %.2f times the requests, %d repeated, all there once",
				100*tt.rate, n, float64(requests.sent)/float64(bare.sent), again)
		})
	}
}

// effort is what commits took.
type effort struct{ sent, repeated int }

func faultyCommits(t *testing.T, rate float64, n int) (e effort) {
	t.Helper()
	ctx := owner(t)
	objects := mem.New(mem.Options{})
	create(t, objects)
	noWait := func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	rates := fault.Rates{Throttled: rate / 2, NotSent: rate / 4, AckLost: rate / 4}
	f := fault.New(objects, fault.Options{Plan: fault.Random(1, rates)})
	d, err := repo.OpenDirect(ctx, retry.New(f, retry.Options{Sleep: noWait}), options(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	files := map[string]string{}
	for i := range n {
		path, text := fmt.Sprintf("f%d", i), fmt.Sprint(i)
		for try := 1; ; try++ {
			_, err := put(ctx, d, opOf(i+1), "main", path, text)
			if err == nil {
				break
			}
			if !errors.Is(err, repo.ErrUnknown) || try == 10 {
				t.Fatalf("commit %d, attempt %d: %v", i, try, err)
			}
			e.repeated++
		}
		files["r@main:/"+path] = text
	}
	if err := holdsAll(ctx, objects, files); err != nil {
		t.Error(err)
	}
	if got := countLog(t, d); got != n {
		t.Errorf("%d versions of %d commits", got, n)
	}
	e.sent = f.Count()
	return e
}
