package s3_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

// multipart answers the requests of uploads in parts.
func (f *fake) multipart(w http.ResponseWriter, r *http.Request, key string) {
	q := r.URL.Query()
	id := q.Get("uploadId")
	f.mu.Lock()
	parts, ok := f.uploads[id]
	f.mu.Unlock()
	switch {
	case q.Has("uploads"):
		f.mu.Lock()
		id = fmt.Sprintf("upload-%d", len(f.uploads)+1)
		f.uploads[id] = map[int][]byte{}
		f.mu.Unlock()
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case !ok:
		fail(w, http.StatusNotFound, "NoSuchUpload")
	case r.Method == http.MethodPut:
		b, ok := f.body(w, r)
		if !ok {
			return
		}
		n, _ := strconv.Atoi(q.Get("partNumber"))
		f.mu.Lock()
		parts[n] = b
		f.mu.Unlock()
		w.Header().Set("ETag", etag(b))
	case r.Method == http.MethodDelete:
		f.mu.Lock()
		delete(f.uploads, id)
		f.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		f.complete(w, r, key, id, parts)
	}
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request, key, id string, parts map[int][]byte) {
	var named struct {
		Part []struct {
			PartNumber           int
			ETag, ChecksumSHA256 string
		}
	}
	b, _ := io.ReadAll(r.Body)
	if err := xml.Unmarshal(b, &named); err != nil || len(named.Part) != len(parts) {
		fail(w, http.StatusBadRequest, "InvalidPart")
		return
	}
	var whole []byte
	for i, p := range named.Part {
		if p.PartNumber != i+1 || p.ETag != strings.Trim(etag(parts[i+1]), `"`) || (p.ChecksumSHA256 == "") != f.ignoresSHA256 {
			fail(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		whole = append(whole, parts[i+1]...)
	}
	if !f.store(w, r, key, whole) {
		return
	}
	f.mu.Lock()
	delete(f.uploads, id)
	f.mu.Unlock()
	_, _ = fmt.Fprintf(w, `<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><ETag>"m-%d"</ETag></CompleteMultipartUploadResult>`,
		bucket, key, len(parts))
}

// openParts opens a store that sends bodies of more than 10 MiB in parts.
func openParts(t *testing.T, url string) *s3.Store {
	t.Helper()
	o := options(url)
	o.PartBytes = 5 << 20
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bigBody(parts int) []byte {
	b := make([]byte, parts*(5<<20)-1)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// kinds names the steps of an upload that a request is one of.
func step(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("uploads"):
		return "begin"
	case q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodDelete:
		return "abort"
	case q.Has("uploadId"):
		return "complete"
	}
	return r.Method
}

func TestPutInParts(t *testing.T) {
	for _, old := range []bool{false, true} {
		f, url := newFake(t)
		f.ignoresSHA256 = old
		s := openParts(t, url)
		if old { // the first answer tells
			if _, err := s.Put(t.Context(), "small", objstore.Bytes(nil), objstore.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		f.hook(nil)
		want := bigBody(3)
		info, err := s.Put(t.Context(), "big", objstore.Bytes(want), objstore.Condition{IfAbsent: true})
		if err != nil || info.Size != int64(len(want)) {
			t.Fatalf("%+v, %v", info, err)
		}
		var steps []string
		for _, r := range f.seen() {
			steps = append(steps, step(r))
			if absent := r.Header.Get("If-None-Match"); (absent == "*") != (step(r) == "complete") {
				t.Errorf("%s: If-None-Match %q", step(r), absent)
			}
		}
		if want := []string{"HEAD", "begin", "part", "part", "part", "complete"}; !slices.Equal(steps, want) {
			t.Errorf("requests %q, want %q", steps, want)
		}
		if got := f.objects["team/store/big"]; string(got) != string(want) {
			t.Errorf("%d bytes came, %d were sent", len(got), len(want))
		}
		if _, err := s.Put(t.Context(), "big", objstore.Bytes(want), objstore.Condition{IfAbsent: true}); !errors.Is(err, objstore.ErrPrecondition) {
			t.Errorf("put again: %v", err)
		}
	}
}

// TestPutInPartsFails makes each step fail and looks at what is said, whether
// the parts are removed, and that there is no object unless the outcome is open.
func TestPutInPartsFails(t *testing.T) {
	body := bigBody(3)
	type answers = func(http.ResponseWriter, *http.Request) bool
	inBody := func(code string) answers {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>late</Message></Error>", code)
			return true
		}
	}
	for _, tt := range []struct {
		name, step string
		times      int // how often the step fails; 0 means always
		answer     answers
		want       objstore.Outcome
		aborted    bool
	}{
		{"nowhere to begin", "begin", 0, answer(500, "InternalError"), objstore.OutcomeThrottled, false},
		{"no right to begin", "begin", 0, answer(403, "AccessDenied"), objstore.OutcomeFailed, false},
		{"one part is lost", "part", 2, drop, objstore.OutcomeOK, false},
		{"parts are lost", "part", 0, drop, objstore.OutcomeThrottled, true},
		{"a part is refused", "part", 1, answer(400, "BadDigest"), objstore.OutcomeFailed, true},
		{"slow down", "part", 1, answer(503, "SlowDown"), objstore.OutcomeThrottled, true},
		{"somebody was faster", "complete", 0, answer(412, "PreconditionFailed"), objstore.OutcomePrecondition, true},
		{"the upload is gone", "complete", 0, answer(404, "NoSuchUpload"), objstore.OutcomeFailed, true},
		{"no answer at the end", "complete", 0, drop, objstore.OutcomeUnknown, false},
		{"500 at the end", "complete", 0, answer(500, "InternalError"), objstore.OutcomeUnknown, false},
		{"a failure in a success", "complete", 0, inBody("InternalError"), objstore.OutcomeUnknown, false},
		{"slow down in a success", "complete", 0, inBody("SlowDown"), objstore.OutcomeUnknown, false},
		{"a refusal in a success", "complete", 0, inBody("PreconditionFailed"), objstore.OutcomePrecondition, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, url := newFake(t)
			s := openParts(t, url)
			failed := 0
			f.hook(func(w http.ResponseWriter, r *http.Request) bool {
				if step(r) != tt.step {
					return false
				}
				f.mu.Lock()
				failed++
				hit := tt.times == 0 || failed <= tt.times
				f.mu.Unlock()
				return hit && tt.answer(w, r)
			})
			_, err := s.Put(t.Context(), "big", objstore.Bytes(body), objstore.Condition{IfAbsent: true})
			if got := objstore.OutcomeOf(err); got != tt.want {
				t.Errorf("outcome %d, want %d: %v", got, tt.want, err)
			}
			aborts := 0
			for _, r := range f.seen() {
				if step(r) == "abort" {
					aborts++
				}
			}
			if (aborts > 0) != tt.aborted {
				t.Errorf("%d aborts, want some: %v", aborts, tt.aborted)
			}
			if _, there := f.objects["team/store/big"]; there != (err == nil) {
				t.Errorf("an object is there: %v", there)
			}
		})
	}
}

func TestBodyOfPartsFails(t *testing.T) {
	f, url := newFake(t)
	s := openParts(t, url)
	broken := io.NewSectionReader(strings.NewReader("ends early"), 0, 20<<20)
	if _, err := s.Put(t.Context(), "big", broken, objstore.Condition{}); objstore.OutcomeOf(err) != objstore.OutcomeFailed {
		t.Error(err)
	}
	if len(f.uploads) != 0 || len(f.objects) != 0 {
		t.Errorf("left %d uploads, %d objects", len(f.uploads), len(f.objects))
	}
}

func TestPartSize(t *testing.T) {
	f, url := newFake(t)
	_ = f
	o := options(url)
	o.PartBytes = 1 << 20
	if _, err := s3.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "S3 takes none below") {
		t.Error(err)
	}
}

// TestChecksums holds a service that checks SHA-256 headers to them, and sends
// the others a Content-MD5: those that take no notice, from the second body on,
// and those that refuse the header, at once.
func TestChecksums(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Amz-Checksum-Sha256") == "" {
			return false
		}
		w.WriteHeader(http.StatusNotImplemented)
		_, _ = fmt.Fprint(w, "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>")
		return true
	}
	for name, tt := range map[string]struct {
		ignores bool
		hook    func(http.ResponseWriter, *http.Request) bool
		sha256  int // of three puts of one body each
		md5     int
	}{
		"checks":  {false, nil, 3, 0},
		"ignores": {true, nil, 1, 2},
		"refuses": {true, refuse, 1, 3},
	} {
		f, url := newFake(t)
		f.ignoresSHA256 = tt.ignores
		s := open(t, url)
		f.hook(tt.hook)
		for i := range 3 {
			if _, err := s.Put(t.Context(), fmt.Sprint(i), objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		sha256, md5 := 0, 0
		for _, r := range f.seen() {
			if r.Header.Get("X-Amz-Checksum-Sha256") != "" {
				sha256++
			}
			if r.Header.Get("Content-Md5") != "" {
				md5++
			}
		}
		if sha256 != tt.sha256 || md5 != tt.md5 {
			t.Errorf("%s: %d puts with SHA-256, %d with MD5; want %d, %d", name, sha256, md5, tt.sha256, tt.md5)
		}
		if err := s.PutDamaged(t.Context(), "damaged"); objstore.OutcomeOf(err) != objstore.OutcomeFailed {
			t.Errorf("%s: a damaged body: %v", name, err)
		}
	}
}
