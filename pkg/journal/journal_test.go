package journal

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// list is what Journal and Mem have in common.
type list interface {
	Append(ctx context.Context, records [][]byte) (Seq, error)
	Replay(ctx context.Context) iter.Seq2[Record, error]
	Trim(ctx context.Context, upTo Seq) error
	Close() error
}

var (
	_ list = (*Journal)(nil)
	_ list = (*Mem)(nil)
)

func clock() time.Time { return time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC) }

type fatalf interface {
	Helper()
	Fatalf(format string, args ...any)
}

func open(t fatalf, dir string) (*Journal, Recovery) {
	t.Helper()
	j, rec, err := Open(dir, Options{Now: clock})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return j, rec
}

// openIntact opens a journal that must not have lost anything.
func openIntact(t fatalf, dir string) *Journal {
	t.Helper()
	j, rec := open(t, dir)
	if rec.StateLost {
		t.Fatalf("state lost: %s", rec.Reason)
	}
	return j
}

func closeList(t fatalf, l list) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func add(t fatalf, l list, records ...string) Seq {
	t.Helper()
	var bs [][]byte
	for _, r := range records {
		bs = append(bs, []byte(r))
	}
	last, err := l.Append(context.Background(), bs)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return last
}

func replay(t fatalf, l list) []Record {
	t.Helper()
	var got []Record
	for r, err := range l.Replay(context.Background()) {
		if err != nil {
			t.Fatalf("replay: %v", err)
		}
		got = append(got, r)
	}
	return got
}

// texts returns records as "1:a 2:b".
func texts(records []Record) string {
	var s []string
	for _, r := range records {
		s = append(s, fmt.Sprintf("%d:%s", r.Seq, r.Data))
	}
	return strings.Join(s, " ")
}

func both(t *testing.T, f func(t *testing.T, l list)) {
	t.Run("disk", func(t *testing.T) {
		j := openIntact(t, t.TempDir())
		defer closeList(t, j)
		f(t, j)
	})
	t.Run("memory", func(t *testing.T) { f(t, NewMem()) })
}

func TestAppendReplayTrim(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		ctx := context.Background()
		if last := add(t, l); last != 0 {
			t.Errorf("nothing appended to nothing: last is %d", last)
		}
		if last := add(t, l, "a", ""); last != 2 {
			t.Errorf("last is %d, want 2", last)
		}
		if last := add(t, l, "c"); last != 3 {
			t.Errorf("last is %d, want 3", last)
		}
		if got := texts(replay(t, l)); got != "1:a 2: 3:c" {
			t.Errorf("replayed %q", got)
		}
		for _, upTo := range []Seq{2, 1, 0, 2} {
			if err := l.Trim(ctx, upTo); err != nil {
				t.Fatalf("trim %d: %v", upTo, err)
			}
			if got := texts(replay(t, l)); got != "3:c" {
				t.Errorf("replayed %q after trimming", got)
			}
		}
		if err := l.Trim(ctx, 4); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("trim beyond the end: %v", err)
		}
		if err := l.Trim(ctx, 3); err != nil {
			t.Fatal(err)
		}
		if got := texts(replay(t, l)); got != "" {
			t.Errorf("replayed %q, all was trimmed", got)
		}
		if last := add(t, l, "d"); last != 4 {
			t.Errorf("last is %d, want 4", last)
		}
	})
}

func TestLimits(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		ctx := context.Background()
		most := bytes.Repeat([]byte("x"), RecordBytesMax)
		if _, err := l.Append(ctx, [][]byte{{1}, append(most, 'x')}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("a record above the limit: %v", err)
		}
		if got := replay(t, l); len(got) != 0 {
			t.Errorf("%d records of a refused call are there", len(got))
		}
		records := make([][]byte, 100) // several of the database's transactions, several pages
		for i := range records {
			records[i] = most
		}
		if last, err := l.Append(ctx, records); err != nil || last != 100 {
			t.Fatalf("append: %d, %v", last, err)
		}
		got := replay(t, l)
		if len(got) != 100 {
			t.Fatalf("replayed %d records", len(got))
		}
		for i, r := range got {
			if r.Seq != Seq(i+1) || !bytes.Equal(r.Data, most) {
				t.Errorf("record %d has number %d and %d bytes", i, r.Seq, len(r.Data))
			}
		}
	})
}

func TestMemoryOfCallersIsTheirs(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		b := []byte("mine")
		if _, err := l.Append(context.Background(), [][]byte{b}); err != nil {
			t.Fatal(err)
		}
		b[0] = 'X'
		for range 2 {
			got := replay(t, l)
			if texts(got) != "1:mine" {
				t.Errorf("replayed %q", texts(got))
			}
			got[0].Data[0] = 'Y'
		}
	})
}

func TestEndOfContextAndClose(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		add(t, l, "a")
		done, cancel := context.WithCancel(context.Background())
		cancel()
		check := func(ctx context.Context, want error) {
			t.Helper()
			if _, err := l.Append(ctx, [][]byte{{1}}); !errors.Is(err, want) {
				t.Errorf("append: %v", err)
			}
			if err := l.Trim(ctx, 1); !errors.Is(err, want) {
				t.Errorf("trim: %v", err)
			}
			n := 0
			for _, err := range l.Replay(ctx) {
				if n++; !errors.Is(err, want) {
					t.Errorf("replay: %v", err)
				}
			}
			if n != 1 {
				t.Errorf("replay yielded %d times", n)
			}
		}
		check(done, context.Canceled)
		if got := texts(replay(t, l)); got != "1:a" {
			t.Errorf("after calls that ended before they began: %q", got)
		}
		closeList(t, l)
		check(context.Background(), fs.ErrClosed)
		closeList(t, l)
	})
}

func TestReplayStopsAndMayCallBack(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		add(t, l, "a", "b", "c")
		var got []Record
		for r, err := range l.Replay(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
			add(t, l, "more")
			if r.Seq == 2 {
				break
			}
		}
		if texts(got) != "1:a 2:b" {
			t.Errorf("replayed %q", texts(got))
		}
		if got := texts(replay(t, l)); got != "1:a 2:b 3:c 4:more 5:more" {
			t.Errorf("replayed %q", got)
		}
	})
}

func TestConcurrentCallers(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		const callers, calls = 16, 8
		var mu sync.Mutex
		want := map[Seq]string{}
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range calls {
					a, b := fmt.Sprintf("%d.%d", c, i), fmt.Sprintf("%d.%d'", c, i)
					last, err := l.Append(context.Background(), [][]byte{[]byte(a), []byte(b)})
					if err != nil {
						t.Errorf("append: %v", err)
						return
					}
					mu.Lock()
					want[last-1], want[last] = a, b
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			for range calls {
				for _, err := range l.Replay(context.Background()) {
					if err != nil {
						t.Errorf("replay: %v", err)
					}
				}
			}
		})
		wg.Wait()
		got := replay(t, l)
		if len(got) != 2*callers*calls || len(want) != len(got) {
			t.Fatalf("replayed %d, acknowledged %d", len(got), len(want))
		}
		for _, r := range got {
			if want[r.Seq] != string(r.Data) {
				t.Errorf("%d is %q, want %q", r.Seq, r.Data, want[r.Seq])
			}
		}
	})
}

func TestTrimDuringReplay(t *testing.T) {
	both(t, func(t *testing.T, l list) {
		big := strings.Repeat("x", RecordBytesMax)
		for range 5 {
			add(t, l, big, big, big, big, big, big, big, big, big, big)
		}
		for r, err := range l.Replay(context.Background()) {
			if err != nil {
				t.Fatalf("replay: %v", err)
			}
			if err := l.Trim(context.Background(), min(2*r.Seq, 50)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	j := openIntact(t, dir)
	_, _, err := Open(dir, Options{Now: clock})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	add(t, j, "a")
	closeList(t, j)
	j = openIntact(t, dir)
	defer closeList(t, j)
	if got := texts(replay(t, j)); got != "1:a" {
		t.Errorf("replayed %q", got)
	}
}

func TestOpenNeedsAClockAndAFolder(t *testing.T) {
	if _, _, err := Open(t.TempDir(), Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("without a clock: %v", err)
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(name, Options{Now: clock}); err == nil {
		t.Error("opened a file as a folder")
	}
}

// TestFailureIsForGood lets the marks fail: what was written is unknown, and no
// later write pretends otherwise.
func TestFailureIsForGood(t *testing.T) {
	dir := t.TempDir()
	j := openIntact(t, dir)
	add(t, j, "a")
	good := j.marks.f
	bad, err := os.Open(good.Name()) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	j.marks.f = bad
	if _, err := j.Append(context.Background(), [][]byte{[]byte("b")}); !errors.Is(err, ErrFailed) {
		t.Errorf("append without marks: %v", err)
	}
	j.marks.f = good
	if _, err := j.Append(context.Background(), [][]byte{[]byte("c")}); !errors.Is(err, ErrFailed) {
		t.Errorf("append after a failure: %v", err)
	}
	if err := j.Trim(context.Background(), 1); !errors.Is(err, ErrFailed) {
		t.Errorf("trim after a failure: %v", err)
	}
	if err := errors.Join(j.Close(), bad.Close()); err != nil {
		t.Fatal(err)
	}
	j = openIntact(t, dir)
	defer closeList(t, j)
	if got := texts(replay(t, j)); got != "1:a 2:b" {
		t.Errorf("replayed %q: what was written is to be kept", got)
	}
}

// TestModel does the same to a journal on disk, one in memory and a slice. Each
// step waits for the disk, so there are fewer sequences than usual unless more
// are asked for.
func TestModel(t *testing.T) {
	const checks = "rapid.checks"
	if f := flag.Lookup(checks); f.Value.String() == f.DefValue {
		_ = flag.Set(checks, "10")
		defer func() { _ = flag.Set(checks, f.DefValue) }()
	}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(dir)
		disk, mem := openIntact(t, dir), NewMem()
		defer func() { closeList(t, disk) }()
		var want []Record
		var high, trimmed Seq
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "trim", "reopen"}).Draw(t, "op") {
			case "append":
				var records [][]byte
				for range rapid.IntRange(0, 5).Draw(t, "count") {
					b := bytes.Repeat([]byte{byte(high)}, rapid.SampledFrom([]int{0, 1, 100, RecordBytesMax}).Draw(t, "size"))
					records = append(records, b)
					high++
					want = append(want, Record{high, b})
				}
				for _, l := range []list{disk, mem} {
					if last, err := l.Append(context.Background(), records); err != nil || last != high {
						t.Fatalf("append: %d, %v", last, err)
					}
				}
			case "trim":
				upTo := Seq(rapid.Uint64Range(0, uint64(high)).Draw(t, "upTo"))
				for _, l := range []list{disk, mem} {
					if err := l.Trim(context.Background(), upTo); err != nil {
						t.Fatalf("trim: %v", err)
					}
				}
				for len(want) > 0 && want[0].Seq <= upTo {
					want = want[1:]
				}
				trimmed = max(trimmed, upTo)
			case "reopen":
				closeList(t, disk)
				var rec Recovery
				disk, rec = open(t, dir)
				if rec != (Recovery{High: high, Trimmed: trimmed}) {
					t.Fatalf("recovery %+v, want %d and %d", rec, high, trimmed)
				}
			}
			for _, l := range []list{disk, mem} {
				if got := replay(t, l); !equal(got, want) {
					t.Fatalf("replayed %d records, want %d", len(got), len(want))
				}
			}
		}
	})
}

func equal(a, b []Record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Seq != b[i].Seq || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}

// BenchmarkAppend appends records of 400 bytes, as results are.
func BenchmarkAppend(b *testing.B) {
	data := bytes.Repeat([]byte("r"), 400)
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			j := openIntact(b, b.TempDir())
			defer closeList(b, j)
			records := slices.Repeat([][]byte{data}, size)
			for b.Loop() {
				last, err := j.Append(context.Background(), records)
				if err == nil && last%10000 == 0 {
					err = j.Trim(context.Background(), last)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "records/s")
		})
	}
	b.Run("callers=64", func(b *testing.B) {
		j := openIntact(b, b.TempDir())
		defer closeList(b, j)
		b.SetParallelism(64)
		b.ResetTimer()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if _, err := j.Append(context.Background(), [][]byte{data}); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
