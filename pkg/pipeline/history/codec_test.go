package history

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func testTime(second int) time.Time { return time.Date(2026, 11, 20, 9, 0, second, 120e6, time.UTC) }

func testJobID(s string) JobID { return JobID(chunk.Data.Sum([]byte(s))) }

// testRecords holds every field of every kind of record.
func testRecords() []Record {
	in := commit.Input{Name: "src", Ref: commit.Ref{Repo: "src", Branch: "main", Commit: commit.ID(chunk.Commit.Sum([]byte("in")))}}
	job := Job{
		ID: testJobID("job"), Pipeline: "count", Branch: "main", Spec: commit.ID(chunk.Commit.Sum([]byte("spec"))),
		Inputs: []commit.Input{in}, Parameters: map[string]string{"b": "2", "a": "<1>"}, Rerun: 1, State: Running,
		Counts: Counts{Total: 3, Hit: 1, Ran: 1, Failed: 1}, Created: testTime(1), Started: testTime(2),
	}
	ended := job
	ended.State, ended.Reason, ended.By, ended.Ended = Killed, "cancelled by owner", "owner", testTime(9)
	ended.Output, ended.Run = commit.ID(chunk.Commit.Sum([]byte("out"))), "run"
	log := chunk.Content{ID: chunk.Data.Sum([]byte("log")), Size: 3}
	attempt := Attempt{
		Job: job.ID, Identity: "src:/a/b", Key: memo.Key(chunk.Data.Sum([]byte("key"))), Attempt: 2, Outcome: "failed", Exit: 137,
		Reason: "killed by signal 9", By: "owner", Log: log, Started: testTime(3), Ended: testTime(4),
		Stats: Stats{Fetch: 1, Run: 2, Store: 3, CPU: 4, RSSMax: 5, BytesIn: 6, BytesOut: 7},
	}
	event := Event{Time: testTime(5), Kind: NotReproducible, Job: job.ID, Key: attempt.Key, Text: "it differs"}
	return []Record{{Job: &job}, {Event: &event}, {Job: &ended}, {Attempt: &attempt}}
}

// plainOf returns the text of both sections.
func plainOf(t *testing.T, b []byte) []byte {
	t.Helper()
	s, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.Records()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, r := range records {
		line, err := commit.CanonicalJSON(r)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, line...), '\n')
	}
	return text
}

// TestGolden holds the format: a stored segment is read, and what is written
// has the same text.
func TestGolden(t *testing.T) {
	segment, text := filepath.Join("testdata", "segment.hex"), filepath.Join("testdata", "segment.golden")
	b, err := Encode(testRecords())
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := errors.Join(os.WriteFile(segment, []byte(hex.EncodeToString(b)+"\n"), 0o644), os.WriteFile(text, plainOf(t, b), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(plainOf(t, b))); diff != "" {
		t.Errorf("what is written differs (-golden +now):\n%s", diff)
	}
	if diff := cmp.Diff(string(want), string(plainOf(t, goldenSegment(t)))); diff != "" {
		t.Errorf("what is read differs (-golden +now):\n%s", diff)
	}
}

func goldenSegment(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "segment.hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDamageIsFound flips each bit and cuts at each byte.
func TestDamageIsFound(t *testing.T) {
	b := goldenSegment(t)
	for i := range b {
		if _, err := Decode(b[:i]); !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if _, err := Decode(bad); !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	ok := testRecords()
	for name, r := range map[string]Record{
		"nothing":          {},
		"two at once":      {Job: ok[0].Job, Attempt: ok[3].Attempt},
		"unknown state":    {Job: &Job{ID: testJobID("x"), State: "asleep", Created: testTime(1)}},
		"no id":            {Job: &Job{State: Done, Created: testTime(1)}},
		"attempt zero":     {Attempt: &Attempt{Outcome: "failed"}},
		"event of no kind": {Event: &Event{Time: testTime(1)}},
	} {
		if _, err := Encode([]Record{r}); err == nil {
			t.Errorf("%s is encoded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(goldenSegment(f))
	empty, err := Encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(empty)
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum keeps out nearly all: make it right.
		if len(b) > sumSize {
			sum := checksum(b[:len(b)-sumSize])
			b = append(b[:len(b)-sumSize:len(b)-sumSize], sum[:]...)
		}
		s, err := Decode(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		records, err := s.Records()
		if err != nil {
			return
		}
		again, err := Encode(records)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		s2, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := s2.Records(); err != nil || !reflect.DeepEqual(records, r2) {
			t.Fatalf("records differ after a round trip (%v)", err)
		}
	})
}
