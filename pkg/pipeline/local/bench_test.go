//go:build unix

package local

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// BenchmarkDatum runs the smallest program on one small input file, through one
// slot and through two.
func BenchmarkDatum(b *testing.B) {
	for name, slots := range map[string]int{"slots=1": 1, "slots=2": 2} {
		b.Run(name, func(b *testing.B) {
			r, s := newRunner(b, slots), &chunk.Mem{}
			root := code(b, s, map[string]string{"a.txt": "alpha"})
			k := task.Task{
				Transform: spec.Transform{Cmd: []string{"true"}},
				Inputs:    []task.Input{{Name: "r", Items: []task.Item{{Entry: dirEntry(root)}}}},
				Code:      code(b, s, map[string]string{"x": "1", "y/z": "2"}),
			}
			succeed(b, r, k, s)
			var mu sync.Mutex
			var sum task.Stats
			b.ResetTimer()
			start := time.Now()
			var wg sync.WaitGroup
			for range slots {
				wg.Go(func() {
					for range b.N / slots {
						res, err := r.Run(context.Background(), k, s)
						if err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						sum.Fetch, sum.Run, sum.Store = sum.Fetch+res.Stats.Fetch, sum.Run+res.Stats.Run, sum.Store+res.Stats.Store
						sum.CPU += res.Stats.CPU
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			n := float64(b.N)
			b.ReportMetric(n/time.Since(start).Seconds(), "datums/s")
			b.ReportMetric(float64(sum.Fetch.Microseconds())/n, "fetch-µs")
			b.ReportMetric(float64(sum.Run.Microseconds())/n, "run-µs")
			b.ReportMetric(float64(sum.Store.Microseconds())/n, "store-µs")
			b.ReportMetric(float64(sum.CPU.Microseconds())/n, "program-cpu-µs")
		})
	}
}
