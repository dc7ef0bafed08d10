package s3mem_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3proxytest"
)

func newStore(t testing.TB, bucket string) *s3mem.Store {
	t.Helper()
	s := s3mem.New(func() time.Time { return time.Unix(1_700_000_000, 0) })
	if err := s.CreateBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *s3mem.Store, bucket, key, content string) {
	t.Helper()
	if err := s.Add(bucket, s3proxy.ObjectInfo{Key: key}, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	s3proxytest.Run(t, func(t testing.TB, objects map[string]string) (s3proxy.Backend, string, string) {
		s := newStore(t, "suite")
		for key, content := range objects {
			put(t, s, "suite", "pre/"+key, content)
		}
		put(t, s, "suite", "other", "beside the prefix")
		return s, "suite", "pre/"
	})
}

func TestOpenObjectStaysAsItWas(t *testing.T) {
	s := newStore(t, "b")
	put(t, s, "b", "k", "old")
	o, err := s.Open(context.Background(), s3proxy.ObjectName{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "b", "k", "newer")
	if done, err := s.Delete(context.Background(), "b", []s3proxy.Deletion{{Key: "k"}}); err != nil || done[0].Err != nil {
		t.Fatal(done, err)
	}
	rd, err := o.Range(context.Background(), 0, o.Info().Size)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(rd); err != nil || !bytes.Equal(got, []byte("old")) {
		t.Errorf("got %q, %v, want %q", got, err, "old")
	}
	if _, err := s.Open(context.Background(), s3proxy.ObjectName{Bucket: "b", Key: "k"}); !errors.Is(err, s3proxy.ErrNoSuchKey) {
		t.Errorf("after Delete: got %v, want %v", err, s3proxy.ErrNoSuchKey)
	}
}

func TestRefusals(t *testing.T) {
	s := newStore(t, "b")
	put(t, s, "b", "k", "12345")
	o, err := s.Open(context.Background(), s3proxy.ObjectName{Bucket: "b", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	_, version := s.Open(context.Background(), s3proxy.ObjectName{Bucket: "b", Key: "k", VersionID: "7"})
	_, noBucket := s.Delete(context.Background(), "x", []s3proxy.Deletion{{Key: "k"}})
	_, beyond := o.Range(context.Background(), 3, 3)
	_, nothing := o.Range(context.Background(), 3, 0)
	tests := []struct {
		name      string
		got, want error
	}{
		{"bucket twice", s.CreateBucket(context.Background(), "b"), fs.ErrExist},
		{"put into no bucket", s.Add("x", s3proxy.ObjectInfo{Key: "k"}, nil), s3proxy.ErrNoSuchBucket},
		{"put without key", s.Add("b", s3proxy.ObjectInfo{}, nil), fs.ErrInvalid},
		{"delete from no bucket", noBucket, s3proxy.ErrNoSuchBucket},
		{"no such version", version, s3proxy.ErrNoSuchVersion},
		{"range beyond the end", beyond, fs.ErrInvalid},
		{"empty range", nothing, fs.ErrInvalid},
	}
	for _, tt := range tests {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}
