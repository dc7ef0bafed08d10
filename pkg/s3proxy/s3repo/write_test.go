package s3repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// writing is a backend that takes writes, and a caller's context.
type writing struct {
	*s3repo.Writing
	s   *store
	w   *repo.Writer
	t   testing.TB
	ctx context.Context
}

func newWriting(t testing.TB, repos ...string) *writing {
	t.Helper()
	s := newStore(t, repos...)
	w := repo.NewWriter(owner(t), s.Direct, repo.WriterOptions{Manual: true})
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := s3proxy.WithPrincipal(owner(t), auth.Owner)
	return &writing{s3repo.NewWriting(s, w, anyone{}, s3repo.WritingOptions{Spool: t.TempDir()}), s, w, t, ctx}
}

func name(bucket, key string) s3proxy.ObjectName { return s3proxy.ObjectName{Bucket: bucket, Key: key} }

func contentOf(text string) *s3proxy.Content {
	return s3proxy.ContentOf(strings.NewReader(text), int64(len(text)), s3proxy.CRC64NVME)
}

func (w *writing) put(bucket, key, text string) s3proxy.ObjectInfo {
	w.t.Helper()
	info, err := w.Put(w.ctx, name(bucket, key), contentOf(text), s3proxy.PutOptions{})
	if err != nil {
		w.t.Fatalf("put %s/%s: %v", bucket, key, err)
	}
	return info
}

func (w *writing) delete(bucket, key, version string) {
	w.t.Helper()
	done, err := w.Delete(w.ctx, bucket, []s3proxy.Deletion{{Key: key, VersionID: version}})
	if err != nil || done[0].Err != nil {
		w.t.Fatalf("delete %s/%s: %v, %v", bucket, key, done, err)
	}
}

func (w *writing) holds(bucket, key, version, want string) {
	w.t.Helper()
	o, err := w.Open(w.ctx, s3proxy.ObjectName{Bucket: bucket, Key: key, VersionID: version})
	if want == "-" {
		if !errors.Is(err, fs.ErrNotExist) {
			w.t.Errorf("%s/%s %s: got %v, want nothing", bucket, key, version, err)
		}
		return
	}
	if err != nil {
		w.t.Errorf("%s/%s %s: %v", bucket, key, version, err)
		return
	}
	if got := content(w.t, o); got != want {
		w.t.Errorf("%s/%s %s: got %.100q, want %.100q", bucket, key, version, got, want)
	}
}

func TestWriteAndReadBack(t *testing.T) {
	w := newWriting(t, "zoo")
	attrs := s3proxy.Attributes{
		ContentType: "text/x-a", CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "br",
		ContentLanguage: "fr", Expires: "never", Meta: map[string]string{"a": "b"}, Tags: map[string]string{"t": "1 &", "u": ""},
	}
	info, err := w.Put(w.ctx, name("zoo", "main/a b"), contentOf("hello"), s3proxy.PutOptions{Attributes: attrs})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // open, and sealed
		for bucket, key := range map[string]string{"zoo": "main/a b", "main.zoo": "a b"} {
			w.holds(bucket, key, "", "hello")
			w.holds(bucket, key, info.VersionID, "hello")
			o, err := w.Open(w.ctx, name(bucket, key))
			if err != nil {
				t.Fatal(err)
			}
			got := o.Info()
			got.Key = info.Key
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", info) || got.Checksum.Value == "" || got.ETag != "5d41402abc4b2a76b9719d911017c592" {
				t.Errorf("%s/%s: opened as %+v, put as %+v", bucket, key, got, info)
			}
		}
		if _, err := w.w.Seal(w.ctx, "zoo", "main"); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"foo/bar", "foo/bar/xyzzy", "foo/", "foo", strings.Repeat("k", 1024), "x\ny", "é/日本"} {
		w.put("main.zoo", key, key)
	}
	for _, key := range []string{"foo/bar", "foo/bar/xyzzy", "foo/", "foo", "x\ny", "é/日本"} {
		w.holds("main.zoo", key, "", key)
	}
	if got := keys(t, w, "main.zoo", s3proxy.ListQuery{Prefix: "foo"}); fmt.Sprint(got) != "[foo foo/ foo/bar foo/bar/xyzzy]" {
		t.Errorf("listed %q", got)
	}
}

func TestWritesRefused(t *testing.T) {
	w := newWriting(t, "zoo")
	id := w.s.put("zoo", "main", map[string]string{"f": "1"})
	w.s.move(createTag("zoo", "v1", id), repo.CreateBranch{Repo: "zoo", Branch: "safe", From: id}, repo.Protect{Repo: "zoo", Branch: "safe", Principals: []string{"boss"}})
	for _, tt := range []struct {
		bucket, key string
		want        error
	}{
		{"zoo", "v1/f", s3proxy.ErrReadOnly},
		{"v1.zoo", "f", s3proxy.ErrReadOnly},
		{"zoo", id.String() + "/f", s3proxy.ErrReadOnly},
		{id.String() + ".zoo", "f", s3proxy.ErrReadOnly},
		{"zoo", "main~1/f", s3proxy.ErrReadOnly},
		{"zoo", "main{2026-11-20T09:00Z}/f", s3proxy.ErrReadOnly},
		{"zoo", "f", fs.ErrInvalid},
		{"zoo", "none/f", fs.ErrInvalid},
		{"zoo", "main/", fs.ErrInvalid},
		{"main.zoo", "a//b", fs.ErrInvalid},
		{"main.zoo", "../f", fs.ErrInvalid},
		{"main.zoo", "/f", fs.ErrInvalid},
		{"zoo", "safe/f", repo.ErrProtected},
		{"none", "f", s3proxy.ErrNoSuchBucket},
		{"none.zoo", "f", s3proxy.ErrNoSuchBucket},
		{"dvx-s3", "settings/f", s3proxy.ErrNoSuchBucket},
	} {
		_, err := w.Put(w.ctx, name(tt.bucket, tt.key), contentOf("x"), s3proxy.PutOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("put %s/%s: got %v, want %v", tt.bucket, tt.key, err, tt.want)
		}
	}
	for _, key := range []string{"main/f", "v1/f", "safe/f"} {
		w.holds("zoo", key, "", "1")
	}
	broken := s3proxy.ContentOf(strings.NewReader("short"), 6, "")
	if _, err := w.Put(w.ctx, name("main.zoo", "broken"), broken, s3proxy.PutOptions{}); !s3proxy.IsShown(err) {
		t.Errorf("short content: %v", err)
	}
	w.holds("main.zoo", "broken", "", "-")
}

// TestVersionsAreKept overwrites and removes what is not sealed yet.
func TestVersionsAreKept(t *testing.T) {
	w := newWriting(t, "zoo")
	var ids []string
	for i := range 3 {
		ids = append(ids, w.put("main.zoo", "dir/k", fmt.Sprint(i)).VersionID)
		w.put("main.zoo", "other", fmt.Sprint(i))
	}
	w.delete("main.zoo", "dir/k", "")
	w.holds("main.zoo", "dir/k", "", "-")
	ids = append(ids, w.put("main.zoo", "dir/k", "back").VersionID)
	for i, want := range []string{"0", "1", "2", "back"} {
		w.holds("main.zoo", "dir/k", ids[i], want)
		w.holds("zoo", "main/dir/k", ids[i], want)
	}
	w.holds("main.zoo", "other", ids[0], "-")
	list := func(q s3proxy.VersionQuery) (got []string) {
		q.MaxKeys = 2
		for {
			page, err := w.ListVersions(w.ctx, "main.zoo", q)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Versions {
				what := v.Key + " " + fmt.Sprint(slices.Index(ids, v.VersionID))
				if v.DeleteMarker {
					what = v.Key + " marker"
					if _, err := w.Open(w.ctx, s3proxy.ObjectName{Bucket: "main.zoo", Key: v.Key, VersionID: v.VersionID}); !errors.Is(err, s3proxy.ErrNoSuchKey) {
						t.Errorf("marker %s: %v", v.VersionID, err)
					}
				}
				if v.Latest {
					what += "*"
				}
				got = append(got, what)
			}
			if !page.Truncated {
				return got
			}
			q.KeyMarker, q.VersionMarker = page.NextKey, page.NextVersion
		}
	}
	want := "[dir/k 3* dir/k marker dir/k 2 dir/k 1 dir/k 0]"
	if got := fmt.Sprint(list(s3proxy.VersionQuery{Prefix: "dir/"})); got != want {
		t.Errorf("listed %s, want %s", got, want)
	}
	if got := fmt.Sprint(list(s3proxy.VersionQuery{Prefix: "dir/k"})); got != want {
		t.Errorf("listed %s, want %s", got, want)
	}
	if got := list(s3proxy.VersionQuery{}); len(got) != 8 {
		t.Errorf("listed %q", got)
	}
	old, err := w.Open(w.ctx, s3proxy.ObjectName{Bucket: "main.zoo", Key: "dir/k", VersionID: ids[0]})
	if err != nil {
		t.Fatal(err)
	}
	sum := s3proxy.Checksum{Algorithm: s3proxy.SHA1, Value: "YWJj"}
	if copied, err := w.Copy(w.ctx, old, name("main.zoo", "dir/k"), s3proxy.PutOptions{Checksum: sum}); err != nil || copied.Checksum != sum {
		t.Fatalf("%+v, %v", copied, err)
	}
	w.holds("main.zoo", "dir/k", "", "0")
	w.holds("main.zoo", "dir/k", ids[3], "back")
	w.delete("main.zoo", "dir/k", ids[0])
	w.holds("main.zoo", "dir/k", "", "0")
	w.holds("main.zoo", "dir/k", ids[0], "-")
}

func TestConditionsHoldAmongWriters(t *testing.T) {
	w := newWriting(t, "zoo")
	none := conditionOf(t, "If-None-Match", "*")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 16 {
		wg.Go(func() {
			_, err := w.Put(w.ctx, name("main.zoo", "lock"), contentOf(fmt.Sprint(i)), s3proxy.PutOptions{If: none})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !s3proxy.IsShown(err) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 16 writers made the key", won)
	}
}

// conditionOf returns a condition as a request would bring it.
func conditionOf(t testing.TB, header, value string) s3proxy.Precondition {
	t.Helper()
	return s3proxy.NewPrecondition(map[string][]string{header: {value}})
}

// TestUploadIsWhatWasCommitted compares the identity of an upload with that of
// the same bytes by a commit, whatever the parts, after a restart.
func TestUploadIsWhatWasCommitted(t *testing.T) {
	w := newWriting(t, "zoo")
	rng := rand.New(rand.NewPCG(3, 4))
	whole := make([]byte, 300_000)
	for i := range whole {
		whole[i] = byte(rng.Uint32())
	}
	w.s.put("zoo", "main", map[string]string{"committed": string(whole)})
	wantID := identity(t, w, "committed")
	attrs := s3proxy.Attributes{ContentType: "text/x-a", Tags: map[string]string{"t": "1"}}
	for round := range 4 {
		key := fmt.Sprintf("up%d", round)
		sum := s3proxy.Checksum{Algorithm: s3proxy.CRC64NVME}
		id, err := w.CreateUpload(w.ctx, name("main.zoo", key), attrs, sum)
		if err != nil {
			t.Fatal(err)
		}
		u := s3proxy.UploadName{Bucket: "main.zoo", Key: key, ID: id}
		var parts []s3proxy.Part
		for rest, n := whole, 1; len(rest) > 0; n++ {
			size := min(len(rest), 1+rng.IntN(100_000))
			p, err := w.PutPart(w.ctx, u, n, s3proxy.ContentOf(bytes.NewReader(rest[:size]), int64(size), s3proxy.CRC64NVME))
			if err != nil {
				t.Fatal(err)
			}
			parts, rest = append(parts, p), rest[size:]
		}
		again := s3repo.NewWriting(w.s, w.w, anyone{}, s3repo.WritingOptions{Spool: t.TempDir()}) // another proxy
		page, err := again.ListParts(w.ctx, u, 0, 1000)
		if err != nil || len(page.Parts) != len(parts) || page.Parts[0].ETag != parts[0].ETag || page.Upload.Checksum != sum {
			t.Fatalf("parts %+v, %v", page, err)
		}
		uploads, err := again.ListUploads(w.ctx, "main.zoo", s3proxy.UploadQuery{Max: 10})
		if err != nil || len(uploads.Uploads) != 1 || uploads.Uploads[0].ID != id {
			t.Errorf("uploads %+v, %v", uploads, err)
		}
		w.holds("main.zoo", key, "", "-")
		info, err := again.CompleteUpload(w.ctx, u, s3proxy.Completion{Parts: parts, Size: int64(len(whole)), ETag: "0123-9"})
		if err != nil {
			t.Fatal(err)
		}
		w.holds("main.zoo", key, "", string(whole))
		if got := identity(t, w, key); got != wantID {
			t.Errorf("content %v, committed as %v", got, wantID)
		}
		if info.ETag != "0123-9" || len(info.Parts) != len(parts) || info.ContentType != "text/x-a" || info.Tags["t"] != "1" {
			t.Errorf("completed as %+v", info)
		}
		if _, err := w.ListParts(w.ctx, u, 0, 1); !errors.Is(err, s3proxy.ErrNoSuchUpload) {
			t.Errorf("after completion: %v", err)
		}
	}
	view, err := w.s.View(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(view.Repos["dvx-s3"].Branches); n != 1 {
		t.Errorf("%d branches are left of the uploads", n)
	}
	if all, err := w.ListBuckets(w.ctx); err != nil || slices.ContainsFunc(all, func(b s3proxy.BucketInfo) bool { return strings.HasSuffix(b.Name, "dvx-s3") }) {
		t.Errorf("buckets %+v, %v", all, err)
	}
}

// identity returns what names the content of a path of zoo's main.
func identity(t *testing.T, w *writing, path string) chunk.Content {
	t.Helper()
	v, err := repo.Look(w.ctx, w.s, "zoo", "main")
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.Tree().Lookup(w.ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	return e.Content
}

func TestUploadsEnd(t *testing.T) {
	w := newWriting(t, "zoo")
	id, err := w.CreateUpload(w.ctx, name("main.zoo", "k"), s3proxy.Attributes{}, s3proxy.Checksum{})
	if err != nil {
		t.Fatal(err)
	}
	u := s3proxy.UploadName{Bucket: "main.zoo", Key: "k", ID: id}
	if _, err := w.PutPart(w.ctx, u, 1, contentOf("x")); err != nil {
		t.Fatal(err)
	}
	for _, other := range []s3proxy.UploadName{{Bucket: "main.zoo", Key: "l", ID: id}, {Bucket: "zoo", Key: "main/k", ID: id}, {Bucket: "main.zoo", Key: "k", ID: "none"}} {
		if _, err := w.PutPart(w.ctx, other, 1, contentOf("x")); !errors.Is(err, s3proxy.ErrNoSuchUpload) {
			t.Errorf("%+v: %v", other, err)
		}
	}
	if err := w.ExpireUploads(w.ctx, day.AddDate(0, 0, -1)); err != nil {
		t.Error(err)
	}
	if _, err := w.ListParts(w.ctx, u, 0, 1); err != nil {
		t.Errorf("expired too early: %v", err)
	}
	if err := w.ExpireUploads(w.ctx, day.AddDate(0, 0, 1)); err != nil {
		t.Error(err)
	}
	if err := w.AbortUpload(w.ctx, u); !errors.Is(err, s3proxy.ErrNoSuchUpload) {
		t.Errorf("expired: %v", err)
	}
}

func TestBucketsAreMadeAndRemoved(t *testing.T) {
	w := newWriting(t)
	for _, bucket := range []string{"zoo", "dev.zoo", "feature.ark", "main.owl"} {
		if err := w.CreateBucket(w.ctx, bucket); err != nil {
			t.Fatal(err)
		}
		if err := w.CreateBucket(w.ctx, bucket); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s twice: %v", bucket, err)
		}
	}
	if all, err := w.ListBuckets(w.ctx); err != nil || fmt.Sprint(bucketNames(all)) != "[ark dev.zoo feature.ark main.owl zoo]" {
		t.Errorf("listed %v, %v", bucketNames(all), err)
	}
	w.put("dev.zoo", "k", "x")
	w.put("feature.ark", "k", "x")
	for bucket, want := range map[string]error{
		"zoo": s3proxy.ErrBucketNotEmpty, "dev.zoo": s3proxy.ErrBucketNotEmpty, "feature.ark": s3proxy.ErrBucketNotEmpty,
		"none": s3proxy.ErrNoSuchBucket, "dvx-s3": s3proxy.ErrNoSuchBucket,
	} {
		if err := w.DeleteBucket(w.ctx, bucket); !errors.Is(err, want) {
			t.Errorf("delete %s: got %v, want %v", bucket, err, want)
		}
	}
	w.delete("dev.zoo", "k", "")
	w.delete("feature.ark", "k", "")
	w.delete("feature.ark", "k", "") // which is no error
	for _, bucket := range []string{"dev.zoo", "feature.ark", "zoo"} {
		if err := w.DeleteBucket(w.ctx, bucket); err != nil {
			t.Errorf("delete %s: %v", bucket, err)
		}
		if _, err := w.StatBucket(w.ctx, bucket); !errors.Is(err, s3proxy.ErrNoSuchBucket) {
			t.Errorf("%s is still there: %v", bucket, err)
		}
	}
	if err := w.CreateBucket(w.ctx, "dvx-s3"); !errors.Is(err, s3proxy.ErrReadOnly) {
		t.Errorf("reserved name: %v", err)
	}
}

func bucketNames(all []s3proxy.BucketInfo) (list []string) {
	for _, b := range all {
		list = append(list, b.Name)
	}
	return list
}

func TestTagsAndSettings(t *testing.T) {
	w := newWriting(t, "zoo")
	put := w.put("main.zoo", "k.txt", "x")
	if _, err := w.SetTags(w.ctx, name("main.zoo", "k.txt"), map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	o, err := w.Open(w.ctx, name("main.zoo", "k.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Info(); got.Tags["a"] != "b" || got.ETag != put.ETag || got.Checksum != put.Checksum || got.ContentType != "text/plain" {
		t.Errorf("tagged: %+v", got)
	}
	for range 2 {
		if err := w.SetSetting(w.ctx, "zoo", s3proxy.SettingCORS, []byte("<x/>")); err != nil {
			t.Fatal(err)
		}
		if doc, err := w.Setting(w.ctx, "zoo", s3proxy.SettingCORS); err != nil || string(doc) != "<x/>" {
			t.Errorf("got %q, %v", doc, err)
		}
		if err := w.SetSetting(w.ctx, "zoo", s3proxy.SettingCORS, nil); err != nil {
			t.Fatal(err)
		}
		if doc, err := w.Setting(w.ctx, "zoo", s3proxy.SettingCORS); err != nil || doc != nil {
			t.Errorf("removed: got %q, %v", doc, err)
		}
	}
	if doc, err := w.Setting(w.ctx, "main.zoo", s3proxy.SettingTags); err != nil || doc != nil {
		t.Errorf("never set: got %q, %v", doc, err)
	}
}
