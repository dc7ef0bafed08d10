package history

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Source reads the segments of a store.
type Source interface {
	// Names returns what the root names, oldest first.
	Names(ctx context.Context) ([]string, error)

	// Load returns the bytes of a segment.
	Load(ctx context.Context, name string) ([]byte, error)
}

// Log is the history of a store: what its segments hold, and what waits to be
// published. It may be used concurrently.
type Log struct {
	source Source

	mu       sync.Mutex
	segments map[string]*indexed
	pending  []Record
}

// indexed is what a Log remembers of a segment, so that it is read again only
// for the attempts of a job that it has.
type indexed struct {
	size   int
	jobs   []Job
	events []Event
	has    map[JobID]bool // jobs with attempts here; nil: nobody asked yet
}

// NewLog returns the history that source holds; a nil source holds none.
func NewLog(source Source) *Log { return &Log{source: source, segments: map[string]*indexed{}} }

// Add appends a record that waits to be published.
func (l *Log) Add(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, r)
}

// Pending returns the records that wait to be published, oldest first.
func (l *Log) Pending() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.pending)
}

// Published drops the first n pending records: a segment of the root holds
// them now.
func (l *Log) Published(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = slices.Clone(l.pending[min(n, len(l.pending)):])
}

// Jobs returns the newest record of every job, the newest job first.
func (l *Log) Jobs(ctx context.Context) ([]Job, error) {
	all, err := l.Evaluations(ctx)
	seen := make(map[JobID]bool, len(all))
	return slices.DeleteFunc(all, func(j Job) bool {
		again := seen[j.ID]
		seen[j.ID] = true
		return again
	}), err
}

// Evaluations returns the last record of each time that a job was evaluated, the
// newest first: where inputs go back to an earlier version, a job is evaluated
// again.
func (l *Log) Evaluations(ctx context.Context) ([]Job, error) {
	segments, pending, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	jobs := map[evaluation]Job{}
	note := func(j Job) {
		k := evaluation{j.ID, j.Created}
		if old, ok := jobs[k]; !ok || !older(j, old) {
			jobs[k] = j
		}
	}
	for _, s := range segments {
		for _, j := range s.jobs {
			note(j)
		}
	}
	for _, r := range pending {
		if r.Job != nil {
			note(*r.Job)
		}
	}
	return slices.SortedFunc(maps.Values(jobs), func(a, b Job) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID.String(), b.ID.String()))
	}), nil
}

// evaluation names one time that a job was evaluated.
type evaluation struct {
	id      JobID
	created time.Time
}

// older reports whether record a of a job says less than record b: it is of an
// earlier evaluation, or of an earlier moment of the same.
func older(a, b Job) bool {
	switch {
	case !a.Created.Equal(b.Created):
		return a.Created.Before(b.Created)
	case a.State.Final() != b.State.Final():
		return b.State.Final()
	}
	return a.Ended.Before(b.Ended)
}

// Find returns the job of an ID, or of a unique prefix of one of at least 6
// digits. It fails with fs.ErrNotExist if there is none, with fs.ErrInvalid if
// there are several.
func Find(jobs []Job, prefix string) (Job, error) {
	if len(prefix) < 6 {
		return Job{}, fmt.Errorf("job %q: give at least 6 digits of its id: %w", prefix, fs.ErrInvalid)
	}
	var found []Job
	for _, j := range jobs {
		if strings.HasPrefix(j.ID.String(), prefix) {
			found = append(found, j)
		}
	}
	switch len(found) {
	case 0:
		return Job{}, fmt.Errorf("no job %.80q: see dvx job list: %w", prefix, fs.ErrNotExist)
	case 1:
		return found[0], nil
	}
	return Job{}, fmt.Errorf("%d jobs begin with %q: give more digits: %w", len(found), prefix, fs.ErrInvalid)
}

// Attempts returns the attempts that a job started, in their order.
func (l *Log) Attempts(ctx context.Context, id JobID) ([]Attempt, error) {
	segments, pending, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	var all []Attempt
	for _, s := range segments {
		if has := l.has(s); has != nil && !has[id] {
			continue
		}
		if err := l.attempts(ctx, s, id, &all); err != nil {
			return nil, err
		}
	}
	for _, r := range pending {
		if r.Attempt != nil && r.Attempt.Job == id {
			all = append(all, *r.Attempt)
		}
	}
	slices.SortStableFunc(all, func(a, b Attempt) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Attempt, b.Attempt))
	})
	// A checkpoint whose outcome was unknown may be in the root twice.
	return slices.CompactFunc(all, func(a, b Attempt) bool { return a == b }), nil
}

// has returns the jobs of which a segment holds attempts, nil if nobody asked
// before.
func (l *Log) has(s named) map[JobID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.indexed.has
}

// attempts reads those of a job from a segment, and notes of which jobs it holds
// any.
func (l *Log) attempts(ctx context.Context, n named, id JobID, all *[]Attempt) error {
	name, has := n.name, map[JobID]bool{}
	b, err := l.source.Load(ctx, name)
	if err != nil {
		return fmt.Errorf("read history segment %s: %w", name, err)
	}
	s, err := Decode(b)
	if err != nil {
		return fmt.Errorf("history segment %s: %w", name, err)
	}
	err = s.Attempts(func(a Attempt) error {
		has[a.Job] = true
		if a.Job == id {
			*all = append(*all, a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("history segment %s: %w", name, err)
	}
	l.mu.Lock()
	n.indexed.has = has
	l.mu.Unlock()
	return nil
}

// EachAttempt visits all attempts, in no particular order, and some of them
// twice.
func (l *Log) EachAttempt(ctx context.Context, visit func(Attempt) error) error {
	segments, pending, err := l.load(ctx)
	if err != nil {
		return err
	}
	for _, s := range segments {
		b, err := l.source.Load(ctx, s.name)
		if err != nil {
			return fmt.Errorf("read history segment %s: %w", s.name, err)
		}
		d, err := Decode(b)
		if err == nil {
			err = d.Attempts(visit)
		}
		if err != nil {
			return fmt.Errorf("history segment %s: %w", s.name, err)
		}
	}
	for _, r := range pending {
		if r.Attempt == nil {
			continue
		}
		if err := visit(*r.Attempt); err != nil {
			return err
		}
	}
	return nil
}

// Events returns all events, oldest first.
func (l *Log) Events(ctx context.Context) ([]Event, error) {
	segments, pending, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, s := range segments {
		all = append(all, s.events...)
	}
	for _, r := range pending {
		if r.Event != nil {
			all = append(all, *r.Event)
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return slices.Compact(all), nil
}

// named is a segment under its name.
type named struct {
	name string
	*indexed
}

// load returns the segments that the root names, and what is pending. Pending
// records are taken first: what is published meanwhile is seen twice rather
// than not at all.
func (l *Log) load(ctx context.Context) ([]named, []Record, error) {
	pending := l.Pending()
	if l.source == nil {
		return nil, pending, nil
	}
	names, err := l.source.Names(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read history: %w", err)
	}
	all := make([]named, 0, len(names))
	for _, name := range names {
		s, err := l.segment(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, named{name, s})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.segments, func(name string, _ *indexed) bool { return !slices.Contains(names, name) })
	return all, pending, nil
}

func (l *Log) segment(ctx context.Context, name string) (*indexed, error) {
	l.mu.Lock()
	s := l.segments[name]
	l.mu.Unlock()
	if s != nil {
		return s, nil
	}
	b, err := l.source.Load(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read history segment %s: %w", name, err)
	}
	d, err := Decode(b)
	if err != nil {
		return nil, fmt.Errorf("history segment %s: %w", name, err)
	}
	s = &indexed{size: len(b), jobs: d.Jobs, events: d.Events}
	l.mu.Lock()
	l.segments[name] = s
	l.mu.Unlock()
	return s, nil
}

// SegmentsMax is how many segments a root should name: with more, [Log.Merge]
// offers to join some.
const SegmentsMax = 16

// mergeSizeMax is the most stored bytes that one merge joins: with the usual
// compression the result stays below the limit of a section.
const mergeSizeMax = 4 << 20

// Merge joins the newest segments if there are too many: names are those to be
// replaced by data. The older a segment, the larger it must be to be left
// alone, so a record is rewritten O(log n) times. names is nil if there is
// nothing to do.
func (l *Log) Merge(ctx context.Context) (names []string, data []byte, err error) {
	segments, _, err := l.load(ctx)
	if err != nil || len(segments) <= SegmentsMax {
		return nil, nil, err
	}
	first, total := len(segments), 0
	for ; first > 0; first-- {
		size := segments[first-1].size
		enough := len(segments)-first >= 2 && first+1 <= SegmentsMax
		if total+size > mergeSizeMax || enough && size > 2*total {
			break
		}
		total += size
	}
	if len(segments)-first < 2 {
		return nil, nil, nil
	}
	var all []Record
	for _, s := range segments[first:] {
		b, err := l.source.Load(ctx, s.name)
		if err != nil {
			return nil, nil, fmt.Errorf("read history segment %s: %w", s.name, err)
		}
		d, err := Decode(b)
		if err != nil {
			return nil, nil, fmt.Errorf("history segment %s: %w", s.name, err)
		}
		records, err := d.Records()
		if err != nil {
			return nil, nil, fmt.Errorf("history segment %s: %w", s.name, err)
		}
		names = append(names, s.name)
		all = append(all, records...)
	}
	if data, err = Encode(dropStale(all)); err != nil {
		return nil, nil, err
	}
	return names, data, nil
}

// dropStale leaves out the job records that a later one of the same
// evaluation makes pointless.
func dropStale(all []Record) []Record {
	last := map[evaluation]int{}
	for i, r := range all {
		if r.Job == nil {
			continue
		}
		k := evaluation{r.Job.ID, r.Job.Created}
		if at, ok := last[k]; !ok || !older(*r.Job, *all[at].Job) {
			last[k] = i
		}
	}
	var kept []Record
	for i, r := range all {
		if r.Job == nil || last[evaluation{r.Job.ID, r.Job.Created}] == i {
			kept = append(kept, r)
		}
	}
	return kept
}
