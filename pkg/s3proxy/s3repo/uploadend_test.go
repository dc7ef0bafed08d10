package s3repo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// begin begins an upload of one part.
func (w *writing) begin(bucket, key, text string) (s3proxy.UploadName, s3proxy.Completion) {
	w.t.Helper()
	id, err := w.CreateUpload(w.ctx, name(bucket, key), s3proxy.Attributes{}, s3proxy.Checksum{})
	if err != nil {
		w.t.Fatal(err)
	}
	u := s3proxy.UploadName{Bucket: bucket, Key: key, ID: id}
	p, err := w.PutPart(w.ctx, u, 1, contentOf(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return u, s3proxy.Completion{Parts: []s3proxy.Part{p}, Size: p.Size, ETag: "0123456789abcdef0123456789abcdef-1"}
}

// TestCompleteAgain repeats a completion whose upload could not be removed.
func TestCompleteAgain(t *testing.T) {
	unplugged := errors.New("unplugged")
	for _, after := range []string{"nothing", "put", "sealed put", "delete"} {
		t.Run(after, func(t *testing.T) {
			w := newWriting(t, "zoo")
			u, c := w.begin("main.zoo", "k", "uploaded")
			c.If = conditionOf(t, "If-None-Match", "*")
			w.s.beforeMove = func() error { return unplugged }
			first, err := w.CompleteUpload(w.ctx, u, c)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.ListParts(w.ctx, u, 0, 1); err != nil {
				t.Fatalf("the upload is gone: %v", err)
			}
			content := "uploaded"
			switch after {
			case "put", "sealed put":
				content = "newer"
				w.put("main.zoo", "k", content)
			case "delete":
				content = "-"
				w.delete("main.zoo", "k", "")
			}
			if after == "sealed put" {
				if _, err := w.w.Seal(w.ctx, "zoo", "main"); err != nil {
					t.Fatal(err)
				}
			}
			again, err := w.CompleteUpload(w.ctx, u, c)
			if err != nil || again.VersionID != first.VersionID || again.ETag != first.ETag || !again.LastModified.Equal(first.LastModified) {
				t.Errorf("repeated: %+v, %v; the first was %+v", again, err, first)
			}
			w.holds("main.zoo", "k", "", content)
			w.holds("main.zoo", "k", first.VersionID, "uploaded")
			if _, err := w.ListParts(w.ctx, u, 0, 1); !errors.Is(err, s3proxy.ErrNoSuchUpload) {
				t.Errorf("the upload is still there: %v", err)
			}
		})
	}
}

// TestUploadsWithoutARecordExpire ends what a crash left of an upload that was
// being begun.
func TestUploadsWithoutARecordExpire(t *testing.T) {
	w := newWriting(t, "zoo")
	w.begin("main.zoo", "k", "x") // makes the repo
	op, err := w.s.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	w.s.move(repo.CreateBranch{Repo: "dvx-s3", Branch: "upload-" + op.String()})
	count := func() (n int) {
		v, err := w.s.View(owner(t))
		if err != nil {
			t.Fatal(err)
		}
		for branch := range v.Repos["dvx-s3"].Branches {
			if strings.HasPrefix(branch, "upload-") {
				n++
			}
		}
		return n
	}
	if err := w.ExpireUploads(w.ctx, day.AddDate(0, 0, -1)); err != nil || count() != 2 {
		t.Errorf("%d uploads are left, want 2: %v", count(), err)
	}
	if err := w.ExpireUploads(w.ctx, day.AddDate(0, 0, 1)); err != nil || count() != 0 {
		t.Errorf("%d uploads are left, want none: %v", count(), err)
	}
}

// TestUploadsAreBounded begins more uploads than there may be.
func TestUploadsAreBounded(t *testing.T) {
	w := newWriting(t, "zoo")
	w.begin("main.zoo", "k", "x")
	pass := func(d time.Duration) {
		w.s.mu.Lock()
		defer w.s.mu.Unlock()
		w.s.now = w.s.now.Add(d)
	}
	pass(23 * time.Hour)
	var ops []repo.Op
	for range 799 {
		op, err := w.s.NewOp()
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, repo.CreateBranch{Repo: "dvx-s3", Branch: "upload-" + op.String()})
	}
	w.s.move(ops...)
	if _, err := w.CreateUpload(w.ctx, name("main.zoo", "l"), s3proxy.Attributes{}, s3proxy.Checksum{}); !errors.Is(err, s3proxy.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	pass(time.Hour) // for which only the first is old
	u, c := w.begin("main.zoo", "l", "room was made")
	if _, err := w.CompleteUpload(w.ctx, u, c); err != nil {
		t.Fatal(err)
	}
	w.holds("main.zoo", "l", "", "room was made")
}
