package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

// TestListingThatIsCancelled: a listing that did not come to its end says so.
func TestListingThatIsCancelled(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	for i := range 3 {
		f.objects[fmt.Sprintf("team/store/k%d", i)] = nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.hook(func(w http.ResponseWriter, r *http.Request) bool { // one page of several
		_, _ = fmt.Fprint(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>`+
			`<Contents><Key>team/store/k0</Key><Size>0</Size></Contents></ListBucketResult>`)
		return true
	})
	var got []string
	var failed error
	for o, err := range s.Plain().All(ctx, "") {
		if failed = err; err == nil {
			got = append(got, o.Key)
		}
		cancel()
	}
	if len(got) != 1 || !errors.Is(failed, context.Canceled) {
		t.Errorf("listed %q, %v", got, failed)
	}
}

// TestPartOfAnIgnoredRange: of a service that sends everything for a range the
// part that was asked for is taken.
func TestPartOfAnIgnoredRange(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	info, err := s.Put(t.Context(), "k", objstore.Bytes([]byte("0123456789")), objstore.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ignored := range []bool{false, true} {
		f.hook(func(_ http.ResponseWriter, r *http.Request) bool {
			if ignored {
				r.Header.Del("Range")
			}
			return false
		})
		b, err := s.Plain().ReadPart(t.Context(), s3.Object{Key: "k", ETag: string(info.Version)}, 3, 4)
		if err != nil || string(b) != "3456" {
			t.Errorf("ignored %t: %q, %v", ignored, b, err)
		}
	}
}
