package s3proxy_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
)

// listResult is a list answer as clients read it.
type listResult struct {
	XMLName                                  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name, Delimiter, EncodingType            string
	Prefix, Marker, NextMarker               *string
	ContinuationToken, NextContinuationToken *string
	StartAfter                               *string
	MaxKeys, KeyCount                        int
	IsTruncated                              bool
	Contents                                 []struct {
		Key, LastModified, ETag, StorageClass string
		Size                                  int64
		Owner                                 *struct{ ID, DisplayName string }
	}
	CommonPrefixes []struct{ Prefix string }
}

func (l listResult) keys() string {
	var out []string
	for _, c := range l.Contents {
		out = append(out, c.Key)
	}
	for _, p := range l.CommonPrefixes {
		out = append(out, p.Prefix)
	}
	return strings.Join(out, " ")
}

func list(t rapid.TB, h *s3proxy.Handler, query string) listResult {
	t.Helper()
	w := serve(h, attempt{target: "/bkt?" + query}.byHeader(t))
	var l listResult
	if err := xml.Unmarshal(w.Body.Bytes(), &l); w.Code != 200 || err != nil {
		t.Fatalf("list %q: status %d, %v: %s", query, w.Code, err, w.Body)
	}
	if l.Name != "bkt" || l.Prefix == nil {
		t.Errorf("list %q: name %q, prefix %v", query, l.Name, l.Prefix)
	}
	return l
}

func withKeys(t testing.TB, keys ...string) *s3proxy.Handler {
	t.Helper()
	s := s3mem.New(testNow.UTC)
	if err := s.CreateBucket(context.Background(), "bkt"); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := s.Add("bkt", s3proxy.ObjectInfo{Key: k, LastModified: modified}, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	return newHandler(t, s, s3proxy.Options{})
}

func TestListPagesByToken(t *testing.T) {
	h := withKeys(t, "a", "b/1", "b/2", "c", "d/1", "e")
	tests := []struct{ query, want string }{
		{"", "a b/1 b/2 c d/1 e"},
		{"delimiter=/", "a c e b/ d/"},
		{"prefix=b/", "b/1 b/2"},
		{"prefix=b", "b/1 b/2"},
		{"prefix=b&delimiter=/", "b/"},
		{"delimiter=", "a b/1 b/2 c d/1 e"},
		{"delimiter=1", "a b/2 c e b/1 d/1"},
		{"start-after=b/1", "b/2 c d/1 e"},
		{"start-after=b/1&delimiter=/", "c e d/"},
		{"start-after=zz", ""},
		{"prefix=x", ""},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 2, 1000} {
			var got []string
			query, pages := fmt.Sprintf("list-type=2&max-keys=%d&%s", size, tt.query), 0
			for l := list(t, h, query); ; l = list(t, h, query+"&continuation-token="+*l.NextContinuationToken) {
				got = append(got, strings.Fields(l.keys())...)
				if n := len(l.Contents) + len(l.CommonPrefixes); l.KeyCount != n || n > size {
					t.Fatalf("%q: %d entries, KeyCount %d", query, n, l.KeyCount)
				}
				if !l.IsTruncated {
					if l.NextContinuationToken != nil {
						t.Errorf("%q: a token on the last page", query)
					}
					break
				}
				if pages++; pages > 10 {
					t.Fatalf("%q: pages without end", query)
				}
			}
			want := strings.Fields(tt.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q lists %q, want %q", query, got, want)
			}
		}
	}
}

func TestListV1(t *testing.T) {
	h := withKeys(t, "a", "b/1", "b/2", "c", "d/1", "e")
	l := list(t, h, "max-keys=2&delimiter=/")
	if l.keys() != "a b/" || !l.IsTruncated || l.NextMarker == nil || *l.NextMarker != "b/" || l.Marker == nil || *l.Marker != "" || *l.Prefix != "" {
		t.Errorf("first page %+v", l)
	}
	l = list(t, h, "max-keys=2&delimiter=/&marker=b/")
	if l.keys() != "c d/" || *l.NextMarker != "d/" || *l.Marker != "b/" {
		t.Errorf("second page %+v", l)
	}
	l = list(t, h, "max-keys=2&delimiter=/&marker=d/")
	if l.keys() != "e" || l.IsTruncated || l.NextMarker != nil {
		t.Errorf("last page %+v", l)
	}
	l = list(t, h, "max-keys=2")
	if l.keys() != "a b/1" || !l.IsTruncated || l.NextMarker != nil {
		t.Errorf("without delimiter: %+v", l)
	}
	c := l.Contents[0]
	if c.Owner == nil || c.Owner.ID == "" || c.StorageClass != "STANDARD" || c.Size != 1 || c.LastModified != "2026-11-20T08:30:15.000Z" || c.ETag != `"0cc175b9c0f1b6a831c399e269772661"` {
		t.Errorf("listed as %+v", c)
	}
}

func TestListElements(t *testing.T) {
	h := withKeys(t, "a", "b")
	l := list(t, h, "list-type=2&start-after=a&continuation-token=")
	if l.keys() != "b" || l.StartAfter == nil || *l.StartAfter != "a" || l.ContinuationToken == nil || *l.ContinuationToken != "" || l.Marker != nil || l.Contents[0].Owner != nil {
		t.Errorf("got %+v", l)
	}
	if l := list(t, h, "list-type=2&fetch-owner=true"); l.Contents[0].Owner == nil {
		t.Error("no owner though fetched")
	}
	for query, want := range map[string]int{"": 1000, "max-keys=": 1000, "max-keys=5": 5, "max-keys=5000": 1000, "max-keys=0": 0} {
		l := list(t, h, query)
		if l.MaxKeys != want || (want == 0) != (len(l.Contents) == 0) || l.IsTruncated {
			t.Errorf("%q: got %+v", query, l)
		}
	}
	first := list(t, h, "list-type=2&max-keys=1")
	if strings.Contains(*first.NextContinuationToken, "mem") || list(t, h, "list-type=2&start-after=zzz&continuation-token="+*first.NextContinuationToken).keys() != "b" {
		t.Errorf("a token has to win over start-after")
	}
}

func TestListRefusals(t *testing.T) {
	h := withKeys(t, "a")
	for _, query := range []string{
		"max-keys=-1", "max-keys=x", "max-keys=99999999999", "encoding-type=base64", "prefix=%ff", "marker=%ff",
		"list-type=1", "list-type=", "list-type=2&continuation-token=a", "list-type=2&continuation-token=MQ",
		"list-type=2&continuation-token=Mm1hcmtlcg", "list-type=2&continuation-token=%21%21%21%21",
		"list-type=2&continuation-token=" + strings.Repeat("MQQQ", 400), "acl&policy",
	} {
		want(t, get(t, h, "GET", "/bkt?"+query), 400, "InvalidArgument")
	}
	want(t, get(t, h, "GET", "/nobucket?list-type=2"), 404, "NoSuchBucket")
	want(t, get(t, h, "GET", "/bkt?newThing"), 501, "NotImplemented")
}

func TestListEncoding(t *testing.T) {
	h := withKeys(t, "foo+1/bar", "foo/bar/xyzzy", "quux ab/thud", "asdf+b", "é/%41&<>\"")
	l := list(t, h, "encoding-type=url&delimiter=/")
	if got := l.keys(); got != "asdf%2Bb foo%2B1/ foo/ quux%20ab/ %C3%A9/" || l.EncodingType != "url" {
		t.Errorf("got %q, %q", got, l.EncodingType)
	}
	l = list(t, h, "encoding-type=url&delimiter=%2Bb&prefix=asdf&marker=%20")
	if *l.Prefix != "asdf" || l.Delimiter != "%2Bb" || *l.Marker != "%20" || l.keys() != "asdf%2Bb" {
		t.Errorf("got %+v", l)
	}
	l = list(t, h, "list-type=2&encoding-type=url&start-after=quux%20ab")
	if *l.StartAfter != "quux%20ab" || l.keys() != "quux%20ab/thud %C3%A9/%2541%26%3C%3E%22" {
		t.Errorf("got %+v", l)
	}
	if got := list(t, h, "delimiter=/").keys(); got != "asdf+b foo+1/ foo/ quux ab/ é/" {
		t.Errorf("without encoding: %q", got)
	}
	w := get(t, withKeys(t, "a\x01b\nc"), "GET", "/bkt?list-type=2")
	if !strings.Contains(w.Body.String(), "<Key>a&#x1;b&#xA;c</Key>") {
		t.Errorf("control characters are lost: %s", w.Body)
	}
}

// TestListEncodingIsExact holds that any key comes back as it was stored, by
// whichever of the two decoders clients use.
func TestListEncodingIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.StringN(1, 60, 1024).Filter(func(s string) bool { return !strings.ContainsRune(s, 0) && s != "" }).Draw(rt, "key")
		s := s3mem.New(testNow.UTC)
		if err := s.CreateBucket(context.Background(), "bkt"); err != nil {
			rt.Fatal(err)
		}
		if err := s.Add("bkt", s3proxy.ObjectInfo{Key: key}, nil); err != nil {
			rt.Fatal(err)
		}
		h, err := s3proxy.New(s, lookup, s3proxy.Options{Now: testNow.UTC})
		if err != nil {
			rt.Fatal(err)
		}
		l := list(rt, h, "list-type=2&encoding-type=url")
		plus, err1 := url.QueryUnescape(l.Contents[0].Key)
		path, err2 := url.PathUnescape(l.Contents[0].Key)
		if err1 != nil || err2 != nil || plus != key || path != key {
			rt.Fatalf("%q decodes to %q and %q", l.Contents[0].Key, plus, path)
		}
	})
}

func TestListBuckets(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	type result struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
		Owner   struct{ ID string }
		Buckets struct {
			Bucket []struct{ Name, CreationDate string }
		}
		ContinuationToken string
	}
	read := func(query string) result {
		w := get(t, h, "GET", "/?"+query)
		var r result
		if err := xml.Unmarshal(w.Body.Bytes(), &r); w.Code != 200 || err != nil {
			t.Fatalf("got %d, %v: %s", w.Code, err, w.Body)
		}
		return r
	}
	all := read("")
	if len(all.Buckets.Bucket) != 2 || all.Buckets.Bucket[0].Name != "bkt" || all.Buckets.Bucket[0].CreationDate != "2026-11-20T08:30:15.000Z" || all.Owner.ID == "" {
		t.Errorf("got %+v", all)
	}
	first := read("max-buckets=1")
	second := read("max-buckets=1&continuation-token=" + first.ContinuationToken)
	if first.Buckets.Bucket[0].Name != "bkt" || second.Buckets.Bucket[0].Name != "main.images" || second.ContinuationToken != "" {
		t.Errorf("pages %+v and %+v", first, second)
	}
	if r := read("prefix=main"); len(r.Buckets.Bucket) != 1 {
		t.Errorf("by prefix: %+v", r)
	}
	want(t, get(t, h, "GET", "/?max-buckets=0"), 400, "InvalidArgument")
	want(t, get(t, h, "PUT", "/"), 405, "MethodNotAllowed")
}
