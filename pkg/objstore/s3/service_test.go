package s3_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
	"github.com/dvx-io/dvx/pkg/objstore/probe"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

// TestService runs the suite and a long probe against a real service: the URL
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
			Bucket: bucket, Endpoint: endpoint, PathStyle: true,
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
}
