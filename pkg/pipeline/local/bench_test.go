//go:build unix

package local

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
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

// BenchmarkBatch gives small datums of one file to programs that take one after
// the other and write one file for each.
func BenchmarkBatch(b *testing.B) {
	const slots = 2
	r, s := newRunnerWith(b, Options{Slots: slots, InMemory: true}), &chunk.Mem{}
	tasks := make([]task.Task, 100)
	for i := range tasks {
		tasks[i] = batchTask(b, s, fmt.Sprint("fine ", i))
	}
	before := usage(b)
	b.ResetTimer()
	start := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range r.Slots() {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if res, err := r.Run(context.Background(), tasks[i%100], s); err != nil || res.Outcome != task.Succeeded {
					b.Errorf("%+v, %v", res, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "datums/s")
	b.ReportMetric(float64((usage(b)-before).Microseconds())/float64(b.N), "own-cpu-µs")
}

// usage is the processor time of this process, without its children's.
func usage(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
