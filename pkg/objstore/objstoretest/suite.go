package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// New makes an empty store for one test and cleans up through t.
type New func(t *testing.T) objstore.Store

// Run tests one implementation of objstore.Store. Every subtest gets a store
// of its own.
func Run(t *testing.T, newStore New) {
	tests := []struct {
		name string
		run  func(*testing.T, objstore.Store)
	}{
		{"RoundTrip", testRoundTrip},
		{"Ranges", testRanges},
		{"EmptyObject", testEmptyObject},
		{"NotFound", testNotFound},
		{"IfAbsent", testIfAbsent},
		{"IfVersion", testIfVersion},
		{"Unconditional", testUnconditional},
		{"BadArguments", testBadArguments},
		{"BodyIsReadByReadAt", testBodyReadAt},
		{"BodyFails", testBodyFails},
		{"LargeObject", testLargeObject},
		{"Delete", testDelete},
		{"Keys", testKeys},
		{"List", testList},
		{"ListStops", testListStops},
		{"ListMany", testListMany},
		{"Cancelled", testCancelled},
		{"RaceIfAbsent", testRaceIfAbsent},
		{"RaceIfVersion", testRaceIfVersion},
		{"RaceReaders", testRaceReaders},
		{"OpenFile", testOpenFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, newStore(t)) })
	}
}

// kinds of failure that the suite tells apart.
func wantErr(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
}

func wantOutcome(t *testing.T, err error, want objstore.Outcome) {
	t.Helper()
	if got := objstore.OutcomeOf(err); got != want {
		t.Fatalf("outcome %d (%v), want %d", got, err, want)
	}
}

func put(t *testing.T, s objstore.Store, key, body string, c objstore.Condition) objstore.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, objstore.Bytes([]byte(body)), c)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return info
}

func create(t *testing.T, s objstore.Store, key, body string) objstore.Info {
	t.Helper()
	return put(t, s, key, body, objstore.Condition{IfAbsent: true})
}

func read(t *testing.T, s objstore.Store, key string, r objstore.Range) string {
	t.Helper()
	b, _, err := objstore.ReadAll(t.Context(), s, key, r, 1<<30)
	if err != nil {
		t.Fatalf("get %s %+v: %v", key, r, err)
	}
	return string(b)
}

func wantBody(t *testing.T, s objstore.Store, key, body string) {
	t.Helper()
	if got := read(t, s, key, objstore.Range{}); got != body {
		t.Fatalf("%s holds %d bytes %.60q, want %d bytes %.60q", key, len(got), got, len(body), body)
	}
}

func wantAbsent(t *testing.T, s objstore.Store, key string) {
	t.Helper()
	_, err := s.Stat(context.WithoutCancel(t.Context()), key)
	wantErr(t, err, objstore.ErrNotFound)
}

func keys(t *testing.T, s objstore.Store, prefix, after string) []string {
	t.Helper()
	var ks []string
	for info, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("list %q after %q: %v", prefix, after, err)
		}
		ks = append(ks, info.Key)
	}
	return ks
}

// pattern returns n bytes in which every aligned 8-byte word differs.
func pattern(n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.Write([]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24), 'd', 'v', 'x', byte(i * 7)})
	}
	return b.String()[:n]
}

// brokenBody is a body whose source fails, or ends, after good bytes.
type brokenBody struct {
	good int64
	err  error
}

func (b brokenBody) ReadAt(p []byte, off int64) (int, error) {
	n := int64(len(p))
	if off+n <= b.good {
		return len(p), nil
	}
	return int(max(0, b.good-off)), b.err
}

var errBody = errors.New("source of the body failed")

func brokenReader(size int64, err error) *io.SectionReader {
	return io.NewSectionReader(brokenBody{good: size / 2, err: err}, 0, size)
}
