package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
	"github.com/dvx-io/dvx/pkg/objstore/probe"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

// TestService runs the suite, a long probe and an upload in parts against a real service: the URL
// in DVX_TEST_S3_ENDPOINT, the bucket in DVX_TEST_S3_BUCKET, credentials in the
// usual variables. It leaves its objects under a folder named by the time.
func TestService(t *testing.T) {
	endpoint, bucket := os.Getenv("DVX_TEST_S3_ENDPOINT"), os.Getenv("DVX_TEST_S3_BUCKET")
	if endpoint == "" || bucket == "" {
		t.Skip("needs a running S3 service, named by DVX_TEST_S3_ENDPOINT and DVX_TEST_S3_BUCKET")
	}
	var stores atomic.Int64
	run := time.Now().UTC().Format("20060102T150405.000000000")
	newStore := func(t *testing.T) objstore.Store {
		s, err := s3.Open(t.Context(), s3.Options{
			Bucket: bucket, Endpoint: endpoint, PathStyle: true, PartBytes: 5 << 20,
			Prefix: fmt.Sprintf("dvx-test/%s/%d", run, stores.Add(1)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("Suite", func(t *testing.T) { objstoretest.Run(t, newStore) })
	t.Run("Probe", func(t *testing.T) {
		if err := probe.Run(t.Context(), newStore(t), probe.Options{ID: "service", Racers: 32, Rounds: 100}); err != nil {
			t.Error(err)
		}
	})
	t.Run("Parts", func(t *testing.T) { testParts(t, newStore(t)) })
}

// testParts puts an object in parts, twice, and reads it back.
func testParts(t *testing.T, s objstore.Store) {
	want := bigBody(4)
	for _, outcome := range []objstore.Outcome{objstore.OutcomeOK, objstore.OutcomePrecondition} {
		if _, err := s.Put(t.Context(), "big", objstore.Bytes(want), objstore.Condition{IfAbsent: true}); objstore.OutcomeOf(err) != outcome {
			t.Errorf("outcome %d, want %d: %v", objstore.OutcomeOf(err), outcome, err)
		}
	}
	// Both find no such object at first: the last step has to tell.
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Put(t.Context(), "race", objstore.Bytes(want), objstore.Condition{IfAbsent: true})
		})
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("of two uploads to one key: %v, %v", errs[0], errs[1])
	}
	for _, key := range []string{"big", "race"} {
		got, info, err := objstore.ReadAll(t.Context(), s, key, objstore.Range{}, 1<<30)
		if err != nil || !bytes.Equal(got, want) || info.Size != int64(len(want)) {
			t.Errorf("%s: %d bytes, %+v, %v", key, len(got), info, err)
		}
	}
}
