package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// shelf is a Source in memory.
type shelf struct {
	names []string
	data  map[string][]byte
	loads int
}

func (s *shelf) Names(context.Context) ([]string, error) { return s.names, nil }

func (s *shelf) Load(_ context.Context, name string) ([]byte, error) {
	s.loads++
	b, ok := s.data[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// publish makes a segment of what is pending, as a checkpoint does.
func (s *shelf) publish(t *testing.T, l *Log) {
	t.Helper()
	pending := l.Pending()
	b, err := Encode(pending)
	if err != nil {
		t.Fatal(err)
	}
	if s.data == nil {
		s.data = map[string][]byte{}
	}
	name := fmt.Sprintf("history/%d", len(s.data))
	s.data[name] = b
	s.names = append(s.names, name)
	l.Published(len(pending))
}

func job(n int, state State) Record {
	j := Job{ID: testJobID(fmt.Sprint("job ", n)), Pipeline: "p", State: state, Created: testTime(n)}
	if state.Final() {
		j.Ended = testTime(n + 1)
	}
	return Record{Job: &j}
}

func attempt(n, i int) Record {
	return Record{Attempt: &Attempt{
		Job: testJobID(fmt.Sprint("job ", n)), Identity: fmt.Sprint("d", i), Attempt: 1, Outcome: "succeeded", Started: testTime(i), Ended: testTime(i),
	}}
}

// TestLogShowsTheNewest: segments, pending records, and both.
func TestLogShowsTheNewest(t *testing.T) {
	ctx := context.Background()
	s := &shelf{}
	l := NewLog(s)
	l.Add(job(1, Running))
	l.Add(attempt(1, 1))
	s.publish(t, l)
	l.Add(job(2, Running))
	l.Add(attempt(1, 2))
	l.Add(job(1, Done))
	for range 2 { // once pending, once published
		jobs, err := l.Jobs(ctx)
		if err != nil || len(jobs) != 2 || jobs[0].State != Running || jobs[1].State != Done {
			t.Fatalf("jobs %+v, %v", jobs, err)
		}
		if got, err := l.Attempts(ctx, jobs[1].ID); err != nil || len(got) != 2 || got[0].Identity != "d1" {
			t.Fatalf("attempts %+v, %v", got, err)
		}
		if got, err := Find(jobs, jobs[0].ID.String()[:8]); err != nil || got.ID != jobs[0].ID {
			t.Fatalf("found %v, %v", got.ID, err)
		}
		s.publish(t, l)
	}
	if _, err := l.Jobs(ctx); err != nil {
		t.Fatal(err)
	}
	before := s.loads
	if _, err := l.Jobs(ctx); err != nil || s.loads != before {
		t.Errorf("segments were read again")
	}
}

func TestFindRefuses(t *testing.T) {
	jobs := []Job{*job(1, Done).Job, *job(2, Done).Job}
	if _, err := Find(jobs, "abc"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a short prefix: %v", err)
	}
	if _, err := Find(jobs, "ffffffffffff"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown job: %v", err)
	}
	same := []Job{jobs[0], jobs[0]}
	if _, err := Find(same, jobs[0].ID.String()[:6]); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an ambiguous prefix: %v", err)
	}
}

// TestPublishedTwice: a checkpoint of unknown outcome may be in the root twice.
func TestPublishedTwice(t *testing.T) {
	ctx := context.Background()
	s := &shelf{}
	l := NewLog(s)
	l.Add(job(1, Done))
	l.Add(attempt(1, 1))
	l.Add(Record{Event: &Event{Time: testTime(1), Kind: Restarted}})
	s.publish(t, l)
	s.names = append(s.names, "history/again")
	s.data["history/again"] = s.data["history/0"]
	jobs, _ := l.Jobs(ctx)
	attempts, _ := l.Attempts(ctx, jobs[0].ID)
	events, err := l.Events(ctx)
	if err != nil || len(jobs) != 1 || len(attempts) != 1 || len(events) != 1 {
		t.Errorf("%d jobs, %d attempts, %d events, %v; want one each", len(jobs), len(attempts), len(events), err)
	}
}

// TestMergeKeepsEverything: after many checkpoints there are few segments, and
// they say what was recorded.
func TestMergeKeepsEverything(t *testing.T) {
	ctx := context.Background()
	s := &shelf{}
	l := NewLog(s)
	const n = 100
	rewritten := 0
	for i := range n {
		l.Add(job(i, Running))
		l.Add(attempt(i, i))
		if i > 0 {
			l.Add(job(i-1, Done))
		}
		s.publish(t, l)
		names, data, err := l.Merge(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if names == nil {
			continue
		}
		rewritten += len(names)
		keep := len(s.names) - len(names)
		if s.names[keep] != names[0] {
			t.Fatalf("%d segments are replaced that are not the newest", len(names))
		}
		name := fmt.Sprintf("history/merged-%d", i)
		s.names, s.data[name] = append(s.names[:keep:keep], name), data
		if len(s.names) > SegmentsMax {
			t.Fatalf("%d segments are left", len(s.names))
		}
	}
	jobs, err := l.Jobs(ctx)
	if err != nil || len(jobs) != n {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	for i, j := range jobs {
		if done := j.State == Done; done != (i > 0) {
			t.Errorf("job %d of %d is %s", i, n, j.State)
		}
		if got, err := l.Attempts(ctx, j.ID); err != nil || len(got) != 1 {
			t.Errorf("job %d has %d attempts, %v", i, len(got), err)
		}
	}
	if rewritten > 8*n {
		t.Errorf("%d segments were rewritten for %d checkpoints", rewritten, n)
	}
}

// TestDamagedSegmentIsNamed in the error.
func TestDamagedSegmentIsNamed(t *testing.T) {
	s := &shelf{names: []string{"history/0"}, data: map[string][]byte{"history/0": []byte("rubbish")}}
	if _, err := NewLog(s).Jobs(context.Background()); err == nil || !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
