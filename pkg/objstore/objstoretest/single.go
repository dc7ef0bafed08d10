package objstoretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/objstore"
)

func testRoundTrip(t *testing.T, s objstore.Store) {
	for _, body := range []string{"x", "hello", pattern(4096), pattern(100_001)} {
		key := fmt.Sprintf("packs/%d", len(body))
		info := create(t, s, key, body)
		if info.Key != key || info.Size != int64(len(body)) || info.Version == "" {
			t.Errorf("put answers %+v for %d bytes", info, len(body))
		}
		wantBody(t, s, key, body)
		stat, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := objstore.ReadAll(t.Context(), s, key, objstore.Range{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for name, i := range map[string]objstore.Info{"stat": stat, "get": got} {
			if i.Key != key || i.Size != info.Size || i.Version != info.Version {
				t.Errorf("%s answers %+v, put answered %+v", name, i, info)
			}
		}
	}
}

func testRanges(t *testing.T, s objstore.Store) {
	const body = "0123456789"
	create(t, s, "ten", body)
	tests := []struct {
		r    objstore.Range
		want string
	}{
		{objstore.Range{}, body},
		{objstore.Range{Length: 3}, "012"},
		{objstore.Range{Length: 10}, body},
		{objstore.Range{Length: 11}, body},
		{objstore.Range{Length: 1 << 60}, body},
		{objstore.Range{Offset: 4}, "456789"},
		{objstore.Range{Offset: 4, Length: 2}, "45"},
		{objstore.Range{Offset: 9, Length: 1}, "9"},
		{objstore.Range{Offset: 9, Length: 5}, "9"},
		{objstore.Range{Offset: -1}, "9"},
		{objstore.Range{Offset: -4}, "6789"},
		{objstore.Range{Offset: -4, Length: 2}, "67"},
		{objstore.Range{Offset: -4, Length: 9}, "6789"},
		{objstore.Range{Offset: -10}, body},
		{objstore.Range{Offset: -11}, body},
		{objstore.Range{Offset: -11, Length: 2}, "01"},
		{objstore.Range{Offset: -1 << 60, Length: 10}, body},
	}
	for _, tt := range tests {
		rc, info, err := s.Get(t.Context(), "ten", tt.r)
		if err != nil {
			t.Errorf("%+v: %v", tt.r, err)
			continue
		}
		b, err := io.ReadAll(rc)
		if cerr := rc.Close(); err != nil || cerr != nil {
			t.Errorf("%+v: read %v, close %v", tt.r, err, cerr)
		}
		if string(b) != tt.want {
			t.Errorf("%+v: %q, want %q", tt.r, b, tt.want)
		}
		if info.Size != int64(len(body)) || info.Key != "ten" {
			t.Errorf("%+v: info %+v must describe the whole object", tt.r, info)
		}
	}
	for _, r := range []objstore.Range{
		{Offset: 10},
		{Offset: 10, Length: 1},
		{Offset: 11},
		{Offset: 1 << 60},
		{Length: -1},
		{Offset: 2, Length: -1},
		{Offset: -2, Length: -1},
	} {
		rc, _, err := s.Get(t.Context(), "ten", r)
		if err == nil {
			rc.Close()
		}
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: error %v, want fs.ErrInvalid", r, err)
		}
	}
}

func testEmptyObject(t *testing.T, s objstore.Store) {
	info := create(t, s, "empty", "")
	if info.Size != 0 || info.Version == "" {
		t.Errorf("put answers %+v", info)
	}
	for _, r := range []objstore.Range{{}, {Length: 5}, {Offset: 3}, {Offset: -3}, {Offset: -3, Length: 2}} {
		if got := read(t, s, "empty", r); got != "" {
			t.Errorf("%+v of an empty object: %q", r, got)
		}
	}
	put(t, s, "empty", "full", objstore.Condition{IfVersion: info.Version})
	wantBody(t, s, "empty", "full")
}

func testNotFound(t *testing.T, s objstore.Store) {
	create(t, s, "a/b", "x")
	for _, key := range []string{"nothing", "a/c", "a/b-", "b/a/c", "a"} {
		_, _, err := s.Get(t.Context(), key, objstore.Range{})
		wantErr(t, err, objstore.ErrNotFound)
		wantErr(t, err, fs.ErrNotExist)
		wantOutcome(t, err, objstore.OutcomeNotFound)
		_, _, err = s.Get(t.Context(), key, objstore.Range{Offset: 5, Length: 5})
		wantErr(t, err, objstore.ErrNotFound)
		_, err = s.Stat(t.Context(), key)
		wantErr(t, err, objstore.ErrNotFound)
	}
	_, err := s.Stat(t.Context(), "a/b/c") // below an object
	wantErr(t, err, objstore.ErrNotFound)
}

func testIfAbsent(t *testing.T, s objstore.Store) {
	first := create(t, s, "k", "first")
	for _, body := range []string{"second", "first", ""} {
		_, err := s.Put(t.Context(), "k", objstore.Bytes([]byte(body)), objstore.Condition{IfAbsent: true})
		wantErr(t, err, objstore.ErrPrecondition)
		wantOutcome(t, err, objstore.OutcomePrecondition)
	}
	wantBody(t, s, "k", "first")
	info, err := s.Stat(t.Context(), "k")
	if err != nil || info.Version != first.Version {
		t.Fatalf("after refused puts: %+v, %v; want version %s", info, err, first.Version)
	}
}

func testIfVersion(t *testing.T, s objstore.Store) {
	_, err := s.Put(t.Context(), "k", objstore.Bytes([]byte("x")), objstore.Condition{IfVersion: "0123456789abcdef"})
	wantErr(t, err, objstore.ErrPrecondition)
	wantAbsent(t, s, "k")

	v1 := create(t, s, "k", "one")
	_, err = s.Put(t.Context(), "absent", objstore.Bytes([]byte("x")), objstore.Condition{IfVersion: v1.Version})
	wantErr(t, err, objstore.ErrPrecondition)
	wantAbsent(t, s, "absent")

	v2 := put(t, s, "k", "two!", objstore.Condition{IfVersion: v1.Version})
	if v2.Version == v1.Version || v2.Size != 4 {
		t.Fatalf("replaced %+v by %+v", v1, v2)
	}
	_, err = s.Put(t.Context(), "k", objstore.Bytes([]byte("three")), objstore.Condition{IfVersion: v1.Version})
	wantErr(t, err, objstore.ErrPrecondition)
	wantOutcome(t, err, objstore.OutcomePrecondition)
	wantBody(t, s, "k", "two!")

	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), "k", objstore.Bytes([]byte("three")), objstore.Condition{IfVersion: v2.Version})
	wantErr(t, err, objstore.ErrPrecondition)
	wantAbsent(t, s, "k")
}

func testUnconditional(t *testing.T, s objstore.Store) {
	v1 := put(t, s, "k", "one", objstore.Condition{})
	v2 := put(t, s, "k", "two", objstore.Condition{})
	wantBody(t, s, "k", "two")
	if v1.Version == v2.Version {
		t.Errorf("different bytes have one version %q", v1.Version)
	}
	put(t, s, "k", "three", objstore.Condition{IfVersion: v2.Version})
	wantBody(t, s, "k", "three")
}

func testBadArguments(t *testing.T, s objstore.Store) {
	v := create(t, s, "k", "x")
	_, err := s.Put(t.Context(), "k", objstore.Bytes(nil), objstore.Condition{IfAbsent: true, IfVersion: v.Version})
	wantErr(t, err, fs.ErrInvalid)
	big := objstore.Bytes(make([]byte, objstore.MutableSizeMax+1))
	_, err = s.Put(t.Context(), "k", big, objstore.Condition{IfVersion: v.Version})
	wantErr(t, err, fs.ErrInvalid)
	wantBody(t, s, "k", "x")
	limit := pattern(objstore.MutableSizeMax)
	v = put(t, s, "k", limit, objstore.Condition{IfVersion: v.Version})
	put(t, s, "k", "small again", objstore.Condition{IfVersion: v.Version})
}

// testBodyReadAt checks that a store takes the whole section, wherever its
// read position is, and lets go of it when Put returns.
func testBodyReadAt(t *testing.T, s objstore.Store) {
	outer := strings.NewReader("...whole...")
	section := io.NewSectionReader(outer, 3, 5)
	if _, err := section.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "k", section, objstore.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	wantBody(t, s, "k", "whole")
	b := []byte("before")
	if _, err := s.Put(t.Context(), "owned", objstore.Bytes(b), objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	copy(b, "after!")
	wantBody(t, s, "owned", "before")
}

func testBodyFails(t *testing.T, s objstore.Store) {
	v := create(t, s, "old", "old")
	for _, tt := range []struct {
		err  error
		size int64
	}{{errBody, 10}, {io.EOF, 10}, {errBody, 300_000}, {io.EOF, 300_000}} {
		for key, c := range map[string]objstore.Condition{
			"new": {IfAbsent: true},
			"old": {IfVersion: v.Version},
			"any": {},
		} {
			if _, err := s.Put(t.Context(), key, brokenReader(tt.size, tt.err), c); err == nil {
				t.Fatalf("put %s of a body that fails with %v succeeded", key, tt.err)
			}
		}
	}
	wantAbsent(t, s, "new")
	wantAbsent(t, s, "any")
	wantBody(t, s, "old", "old")
	create(t, s, "new", "whole")
	wantBody(t, s, "new", "whole")
}

func testLargeObject(t *testing.T, s objstore.Store) {
	const size = 3<<20 + 17
	body := pattern(size)
	create(t, s, "packs/large", body)
	wantBody(t, s, "packs/large", body)
	for _, off := range []int64{0, 1, 1 << 20, 2<<20 - 3, size - 5} {
		want := body[off:min(off+5, size)]
		if got := read(t, s, "packs/large", objstore.Range{Offset: off, Length: 5}); got != want {
			t.Errorf("bytes at %d: %q, want %q", off, got, want)
		}
	}
	if got := read(t, s, "packs/large", objstore.Range{Offset: -16}); got != body[size-16:] {
		t.Errorf("last 16 bytes: %q", got)
	}
	_, err := s.Put(t.Context(), "packs/large", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true})
	wantErr(t, err, objstore.ErrPrecondition)
	_, err = s.Put(t.Context(), "packs/large", objstore.Bytes([]byte("x")), objstore.Condition{IfVersion: "00"})
	wantErr(t, err, objstore.ErrPrecondition)
}

func testDelete(t *testing.T, s objstore.Store) {
	create(t, s, "d/a", "a")
	create(t, s, "d/b", "b")
	for range 3 { // idempotent
		if err := s.Delete(t.Context(), "d/a"); err != nil {
			t.Fatal(err)
		}
	}
	wantAbsent(t, s, "d/a")
	wantBody(t, s, "d/b", "b")
	for _, key := range []string{"never", "d/never", "e/never", "d/b/below"} {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete of the absent key %s: %v", key, err)
		}
	}
	create(t, s, "d/a", "again")
	wantBody(t, s, "d/a", "again")
}

func testKeys(t *testing.T, s objstore.Store) {
	long := strings.Repeat("abcdefghi/", objstore.KeyLengthMax/10)
	good := []string{"a", "0", "A.b_c-d", "x/y/z", "..a", "a..", "-", long + strings.Repeat("z", objstore.KeyLengthMax-len(long))}
	for _, key := range good {
		create(t, s, key, "body of "+key)
	}
	for _, key := range good {
		wantBody(t, s, key, "body of "+key)
	}
	sort.Strings(good)
	if diff := cmp.Diff(good, keys(t, s, "", "")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "../a", "a b", "a\\b", "a\x00b", "ä", "a:b", "a*",
		strings.Repeat("k", objstore.KeyLengthMax+1),
	} {
		_, err := s.Put(t.Context(), key, objstore.Bytes(nil), objstore.Condition{})
		_, _, getErr := s.Get(t.Context(), key, objstore.Range{})
		_, statErr := s.Stat(t.Context(), key)
		for op, err := range map[string]error{"put": err, "get": getErr, "stat": statErr, "delete": s.Delete(t.Context(), key)} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %q: %v, want fs.ErrInvalid", op, key, err)
			}
		}
	}
	if n := len(keys(t, s, "", "")); n != len(good) {
		t.Errorf("%d objects after refused puts, want %d", n, len(good))
	}
}

func testCancelled(t *testing.T, s objstore.Store) {
	v := create(t, s, "k", "old")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, getErr := s.Get(ctx, "k", objstore.Range{})
	_, statErr := s.Stat(ctx, "k")
	_, newErr := s.Put(ctx, "new", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true})
	_, putErr := s.Put(ctx, "k", objstore.Bytes([]byte("x")), objstore.Condition{IfVersion: v.Version})
	var listErr error
	for _, err := range s.List(ctx, "", "") {
		if err != nil {
			listErr = err
		}
	}
	for op, err := range map[string]error{
		"get": getErr, "stat": statErr, "create": newErr, "replace": putErr, "delete": s.Delete(ctx, "k"), "list": listErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", op, err)
		}
	}
	wantAbsent(t, s, "new")
	wantBody(t, s, "k", "old")
}

func testOpenFile(t *testing.T, s objstore.Store) {
	o, ok := s.(objstore.FileOpener)
	if !ok {
		return // an optional ability
	}
	create(t, s, "idx/a", "mapped")
	f, err := o.OpenFile(t.Context(), "idx/a")
	if errors.Is(err, errors.ErrUnsupported) {
		return // no real files below
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil || string(b) != "mapped" {
		t.Errorf("file holds %q, %v", b, err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("the file of an object can be written")
	}
	_, err = o.OpenFile(t.Context(), "idx/b")
	wantErr(t, err, objstore.ErrNotFound)
	_, err = o.OpenFile(t.Context(), "../a")
	wantErr(t, err, fs.ErrInvalid)
}
