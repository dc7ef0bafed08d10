package s3repo_test

import (
	"errors"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// TestDeleteBucketBesideAPut puts an object when the bucket has been found empty.
func TestDeleteBucketBesideAPut(t *testing.T) {
	for _, tt := range []struct{ bucket, key string }{{"zoo", "main/k"}, {"zoo", "dev/k"}, {"dev.zoo", "k"}, {"main.ark", "k"}, {"ark", "main/k"}} {
		for _, sealed := range []bool{false, true} {
			w := newWriting(t, "zoo", "ark")
			if err := w.CreateBucket(w.ctx, "dev.zoo"); err != nil {
				t.Fatal(err)
			}
			w.s.beforeMove = func() error {
				w.put(tt.bucket, tt.key, "acknowledged")
				if sealed {
					for branch := range map[string]bool{"main": true, "dev": true} {
						_, _ = w.w.Seal(w.ctx, "zoo", branch)
						_, _ = w.w.Seal(w.ctx, "ark", branch)
					}
				}
				return nil
			}
			if err := w.DeleteBucket(w.ctx, tt.bucket); !errors.Is(err, s3proxy.ErrBucketNotEmpty) {
				t.Errorf("%+v, sealed %v: %v", tt, sealed, err)
			}
			w.holds(tt.bucket, tt.key, "", "acknowledged")
			w.delete(tt.bucket, tt.key, "")
			if err := w.DeleteBucket(w.ctx, tt.bucket); err != nil {
				t.Errorf("%+v, sealed %v: emptied: %v", tt, sealed, err)
			}
		}
	}
}

// TestTagsBesideAPut replaces an object while it is being tagged.
func TestTagsBesideAPut(t *testing.T) {
	w := newWriting(t, "zoo")
	tags := map[string]string{"a": "b"}
	old := w.put("main.zoo", "k", "old")
	w.s.afterLook = func() error { w.put("main.zoo", "k", "new"); return nil }
	if _, err := w.SetTags(w.ctx, name("main.zoo", "k"), tags); err != nil {
		t.Fatal(err)
	}
	w.holds("main.zoo", "k", "", "new")
	w.holds("main.zoo", "k", old.VersionID, "old")
	o, err := w.Open(w.ctx, name("main.zoo", "k"))
	if err != nil || o.Info().Tags["a"] != "b" {
		t.Errorf("tagged: %+v, %v", o, err)
	}
	w.s.afterLook = func() error { w.put("main.zoo", "k", "newer"); return nil }
	named := s3proxy.ObjectName{Bucket: "main.zoo", Key: "k", VersionID: o.Info().VersionID}
	if _, err := w.SetTags(w.ctx, named, tags); !errors.Is(err, s3proxy.ErrReadOnly) {
		t.Errorf("tag a version that is no longer current: %v", err)
	}
	w.holds("main.zoo", "k", "", "newer")
	w.s.afterLook = func() error { w.delete("main.zoo", "k", ""); return nil }
	if _, err := w.SetTags(w.ctx, name("main.zoo", "k"), tags); !errors.Is(err, s3proxy.ErrNoSuchKey) {
		t.Errorf("tag what is removed meanwhile: %v", err)
	}
	w.holds("main.zoo", "k", "", "-")
}

// TestDeleteAVersionBesideAPut replaces an object while its version is removed.
func TestDeleteAVersionBesideAPut(t *testing.T) {
	w := newWriting(t, "zoo")
	old := w.put("main.zoo", "k", "old")
	remove := []s3proxy.Deletion{{Key: "k", VersionID: old.VersionID}}
	w.s.afterLook = func() error { w.put("main.zoo", "k", "new"); return nil }
	done, err := w.Delete(w.ctx, "main.zoo", remove)
	if err != nil || done[0].Err != nil {
		t.Errorf("remove a version that is no longer current: %+v, %v", done, err)
	}
	w.holds("main.zoo", "k", "", "new")
	w.holds("main.zoo", "k", old.VersionID, "-")
	o, err := w.Open(w.ctx, name("main.zoo", "k"))
	if err != nil {
		t.Fatal(err)
	}
	remove[0].VersionID = o.Info().VersionID
	w.s.afterLook = func() error { w.delete("main.zoo", "k", ""); return nil }
	if done, err := w.Delete(w.ctx, "main.zoo", remove); err != nil || done[0].Err != nil || done[0].VersionID != remove[0].VersionID {
		t.Errorf("remove what is gone: %+v, %v", done, err)
	}
	w.holds("main.zoo", "k", "", "-")
}

// TestTagsKeepTheRest tags what the proxy and others have written.
func TestTagsKeepTheRest(t *testing.T) {
	w := newWriting(t, "zoo")
	w.s.put("zoo", "main", map[string]string{"committed.txt": "x"})
	w.put("main.zoo", "put.png", "y")
	w.put("main.zoo", "dir/", "z")
	for _, key := range []string{"committed.txt", "put.png", "dir/"} {
		before, err := w.Open(w.ctx, name("main.zoo", key))
		if err != nil {
			t.Fatal(err)
		}
		was := before.Info()
		w.put("main.zoo", "other", key) // later
		version, err := w.SetTags(w.ctx, name("main.zoo", key), map[string]string{"a": "1"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // open, and sealed
			after, err := w.Open(w.ctx, name("main.zoo", key))
			if err != nil {
				t.Fatal(err)
			}
			is := after.Info()
			if is.Tags["a"] != "1" || is.VersionID != version {
				t.Errorf("%s: %+v", key, is)
			}
			if is.ETag != was.ETag || !is.LastModified.Equal(was.LastModified) || is.Checksum != was.Checksum || is.ContentType != was.ContentType || is.Size != was.Size {
				t.Errorf("%s: tagged %+v, was %+v", key, is, was)
			}
			if _, err := w.w.Seal(w.ctx, "zoo", "main"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDeleteTheSameKeyTwice names keys more than once in one request.
func TestDeleteTheSameKeyTwice(t *testing.T) {
	w := newWriting(t, "zoo")
	v := w.put("main.zoo", "k", "x").VersionID
	w.put("main.zoo", "k/below", "stays")
	w.put("main.zoo", "other", "y")
	w.put("main.zoo", "dir/", "")
	done, err := w.Delete(w.ctx, "main.zoo", []s3proxy.Deletion{
		{Key: "k"}, {Key: "other"}, {Key: "k"}, {Key: "k", VersionID: v}, {Key: "dir/"}, {Key: "none"}, {Key: "other"}, {Key: "a//b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range done {
		if d.Err != nil {
			t.Errorf("deletion %d: %v", i, d.Err)
		}
	}
	for key, want := range map[string]string{"k": "-", "other": "-", "dir/": "-", "k/below": "stays"} {
		w.holds("main.zoo", key, "", want)
	}
	w.holds("main.zoo", "k", v, "-")
	for _, key := range []string{"k", "none/k", "main/", "main//k", "main/../k"} {
		if done, err := w.Delete(w.ctx, "zoo", []s3proxy.Deletion{{Key: key}}); err != nil || done[0].Err != nil {
			t.Errorf("delete %s, which no object can be: %+v, %v", key, done, err)
		}
		where := s3proxy.Deletion{Key: key, If: conditionOf(t, "If-Match", "*")}
		if done, err := w.Delete(w.ctx, "zoo", []s3proxy.Deletion{where}); err != nil || !s3proxy.IsShown(done[0].Err) {
			t.Errorf("delete %s if it is there: %+v, %v", key, done, err)
		}
	}
}
