package s3proxytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// Maker returns a backend whose bucket holds objects, given as content by key,
// and nothing else under prefix; prefix is "" or ends with a slash, and stands
// before all of these keys.
type Maker func(t testing.TB, objects map[string]string) (b s3proxy.Backend, bucket, prefix string)

// Run runs the suite on the backends that make returns.
func Run(t *testing.T, mk Maker) {
	t.Run("buckets", func(t *testing.T) { testBuckets(t, mk) })
	t.Run("list", func(t *testing.T) { testList(t, mk) })
	t.Run("list missing bucket", func(t *testing.T) { testListMissing(t, mk) })
	t.Run("open", func(t *testing.T) { testOpen(t, mk) })
	t.Run("open missing", func(t *testing.T) { testOpenMissing(t, mk) })
	t.Run("ranges", func(t *testing.T) { testRanges(t, mk) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, mk) })
}

// sample has keys that share prefixes, sort awkwardly ('-' and '.' below '/',
// '0' above), and are spelt with care.
func sample() map[string]string {
	keys := []string{
		"a.txt", "b", "b-1", "b.d/x", "b0", "c/1", "c/2", "c/d/1", "c/d/2", "c/e/1", "c-d/1", "c.d/1",
		"photos/2006/Feb/1.jpg", "photos/2006/Jan/1.jpg", "photos/2006/Jan/2.jpg", "photos/2007/1.jpg",
		"sp ace/a b", "plus+/p+q", "pct%41/x", "amp&/=?#", "uni/é/日本", "z",
	}
	out := map[string]string{}
	for i, k := range keys {
		out[k] = strings.Repeat(k+"\n", i)
	}
	return out
}

func testBuckets(t *testing.T, mk Maker) {
	ctx := context.Background()
	b, bucket, _ := mk(t, sample())
	all, err := b.ListBuckets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, info := range all {
		names = append(names, info.Name)
	}
	if !slices.IsSorted(names) || !slices.Contains(names, bucket) {
		t.Errorf("ListBuckets gives %q, want a sorted list with %q", names, bucket)
	}
	info, err := b.StatBucket(ctx, bucket)
	if err != nil || info.Name != bucket {
		t.Errorf("StatBucket gives %+v, %v", info, err)
	}
	if _, err := b.StatBucket(ctx, "no-such-bucket"); !errors.Is(err, s3proxy.ErrNoSuchBucket) {
		t.Errorf("StatBucket of a missing bucket: got %v, want %v", err, s3proxy.ErrNoSuchBucket)
	}
}

// entries is what a query must list, worked out without paging.
func entries(keys []string, q s3proxy.ListQuery) []string {
	set := map[string]bool{}
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, q.Prefix)
		if !ok {
			continue
		}
		entry := k
		if i := strings.Index(rest, q.Delimiter); q.Delimiter != "" && i >= 0 {
			entry = q.Prefix + rest[:i+len(q.Delimiter)]
		}
		if entry > q.StartAfter {
			set[entry] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func testList(t *testing.T, mk Maker) {
	objects := sample()
	b, bucket, prefix := mk(t, objects)
	var keys []string
	for k := range objects {
		keys = append(keys, prefix+k)
	}
	slices.Sort(keys)
	starts := []string{"", prefix, prefix + "c/", prefix + "c/d", prefix + "photos/2006/Feb/1.jpg", prefix + "b", prefix + "b.", prefix + "zz", "~"}
	rapid.Check(t, func(rt *rapid.T) {
		q := s3proxy.ListQuery{
			Prefix:     prefix + rapid.SampledFrom([]string{"", "b", "c", "c/", "c/d/", "photos/", "photos/2006", "nothing", "sp ", "z", "z/"}).Draw(rt, "prefix"),
			Delimiter:  rapid.SampledFrom([]string{"", "/", "/", "0", "/2006/", "-"}).Draw(rt, "delimiter"),
			StartAfter: rapid.SampledFrom(starts).Draw(rt, "start"),
			MaxKeys:    rapid.SampledFrom([]int{1, 2, 3, 7, 1000}).Draw(rt, "max"),
		}
		checkPages(rt, b, bucket, q, entries(keys, q), objects, prefix)
	})
	page, err := b.List(context.Background(), bucket, s3proxy.ListQuery{})
	if err != nil || page.Truncated || len(page.Objects)+len(page.CommonPrefixes) != 0 {
		t.Errorf("a page of no keys: got %+v, %v", page, err)
	}
}

// checkPages follows the pages of q and compares them with want.
func checkPages(rt *rapid.T, b s3proxy.Backend, bucket string, q s3proxy.ListQuery, want []string, objects map[string]string, prefix string) {
	got := []string{}
	for {
		page, err := b.List(context.Background(), bucket, q)
		if err != nil {
			rt.Fatal(err)
		}
		var entries []string
		for _, o := range page.Objects {
			entries = append(entries, o.Key)
			content := objects[strings.TrimPrefix(o.Key, prefix)]
			if o.Size != int64(len(content)) || o.ETag == "" || o.LastModified.IsZero() {
				rt.Fatalf("listed as %+v, want size %d, an ETag and a time", o, len(content))
			}
		}
		entries = append(entries, page.CommonPrefixes...)
		slices.Sort(entries)
		if len(entries) > q.MaxKeys || page.Truncated && len(entries) < q.MaxKeys {
			rt.Fatalf("page of %d entries, truncated %v, for MaxKeys %d", len(entries), page.Truncated, q.MaxKeys)
		}
		got = append(got, entries...)
		if !page.Truncated {
			break
		}
		if len(got) > len(want) {
			rt.Fatalf("listed %q, want %q", got, want)
		}
		q.StartAfter = page.Last()
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("listed %q, want %q", got, want)
	}
}

func testListMissing(t *testing.T, mk Maker) {
	b, _, _ := mk(t, nil)
	_, err := b.List(context.Background(), "no-such-bucket", s3proxy.ListQuery{MaxKeys: 1})
	if !errors.Is(err, s3proxy.ErrNoSuchBucket) {
		t.Errorf("got %v, want %v", err, s3proxy.ErrNoSuchBucket)
	}
}

func testOpen(t *testing.T, mk Maker) {
	objects := sample()
	b, bucket, prefix := mk(t, objects)
	for key, content := range objects {
		name := s3proxy.ObjectName{Bucket: bucket, Key: prefix + key}
		o, err := b.Open(context.Background(), name)
		if err != nil {
			t.Errorf("open %q: %v", key, err)
			continue
		}
		info := o.Info()
		if info.Key != name.Key || info.Size != int64(len(content)) || info.ETag == "" || strings.Contains(info.ETag, `"`) || info.LastModified.IsZero() {
			t.Errorf("%q is described as %+v", key, info)
		}
		if info.Size > 0 {
			if got := readRange(t, o, 0, info.Size); string(got) != content {
				t.Errorf("%q holds %q, want %q", key, got, content)
			}
		}
		page, err := b.List(context.Background(), bucket, s3proxy.ListQuery{Prefix: name.Key, MaxKeys: 1})
		if err != nil || len(page.Objects) != 1 {
			t.Errorf("list %q: %+v, %v", key, page, err)
		} else if l := page.Objects[0]; l.ETag != info.ETag || !l.LastModified.Equal(info.LastModified) {
			t.Errorf("%q is listed as %+v and opened as %+v", key, l, info)
		}
		if err := o.Close(); err != nil {
			t.Errorf("close %q: %v", key, err)
		}
	}
}

func testOpenMissing(t *testing.T, mk Maker) {
	b, bucket, prefix := mk(t, sample())
	tests := []struct {
		name s3proxy.ObjectName
		want error
	}{
		{s3proxy.ObjectName{Bucket: "no-such-bucket", Key: "a"}, s3proxy.ErrNoSuchBucket},
		{s3proxy.ObjectName{Bucket: bucket, Key: prefix + "no such key"}, s3proxy.ErrNoSuchKey},
		{s3proxy.ObjectName{Bucket: bucket, Key: prefix + "c"}, s3proxy.ErrNoSuchKey},
		{s3proxy.ObjectName{Bucket: bucket, Key: prefix + "a.txt/x"}, s3proxy.ErrNoSuchKey},
		{s3proxy.ObjectName{Bucket: bucket, Key: prefix + "photos/2006"}, s3proxy.ErrNoSuchKey},
	}
	for _, tt := range tests {
		o, err := b.Open(context.Background(), tt.name)
		if !errors.Is(err, tt.want) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %+v: got %v, want %v", tt.name, err, tt.want)
		}
		if err == nil {
			_ = o.Close()
		}
	}
}

func testRanges(t *testing.T, mk Maker) {
	const size = 300_000
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	b, bucket, prefix := mk(t, map[string]string{"big": string(content)})
	o, err := b.Open(context.Background(), s3proxy.ObjectName{Bucket: bucket, Key: prefix + "big"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		offset := rapid.Int64Range(0, size-1).Draw(rt, "offset")
		length := rapid.Int64Range(1, size-offset).Draw(rt, "length")
		if got := readRange(rt, o, offset, length); !bytes.Equal(got, content[offset:offset+length]) {
			rt.Fatalf("%d bytes at %d differ", length, offset)
		}
	})
}

func readRange(t rapid.TB, o s3proxy.Object, offset, length int64) []byte {
	t.Helper()
	rd, err := o.Range(context.Background(), offset, length)
	if err != nil {
		t.Fatalf("range %d+%d: %v", offset, length, err)
	}
	got, err := io.ReadAll(rd)
	if err != nil {
		t.Fatalf("read range %d+%d: %v", offset, length, err)
	}
	if err := rd.Close(); err != nil {
		t.Fatalf("close range %d+%d: %v", offset, length, err)
	}
	return got
}

func testConcurrent(t *testing.T, mk Maker) {
	objects := sample()
	b, bucket, prefix := mk(t, objects)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for key, content := range objects {
				o, err := b.Open(context.Background(), s3proxy.ObjectName{Bucket: bucket, Key: prefix + key})
				if err != nil {
					t.Errorf("open %q: %v", key, err)
					return
				}
				if n := o.Info().Size; n != int64(len(content)) {
					t.Errorf("%q has %d bytes, want %d", key, n, len(content))
				}
				_ = o.Close()
				if _, err := b.List(context.Background(), bucket, s3proxy.ListQuery{Prefix: prefix, MaxKeys: 5}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
