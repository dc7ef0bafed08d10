package limit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore/limit"
)

// echo is a service without a network: it reads the request's body and answers
// with it.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	var b []byte
	if r.Body != nil {
		var err error
		if b, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(b)), Request: r}, nil
}

func transport(t *testing.T, o limit.Options) http.RoundTripper {
	t.Helper()
	o.Now = time.Now
	l, err := limit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l.Transport(echo{})
}

func exchange(ctx context.Context, rt http.RoundTripper, size int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://127.0.0.1/x", strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil && len(b) != size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, resp.Body.Close())
}

// TestRates checks on a fake clock how long work takes: its size by the rate,
// less the burst.
func TestRates(t *testing.T) {
	for name, tt := range map[string]struct {
		o    limit.Options
		want time.Duration // of 10 exchanges of 1 MB
	}{
		"none":     {limit.Options{}, 0},
		"upload":   {limit.Options{Upload: 1_000_000}, 10 * time.Second},
		"download": {limit.Options{Download: 500_000}, 20 * time.Second},
		"requests": {limit.Options{Requests: 2}, 5 * time.Second},
		"tightest": {limit.Options{Upload: 1_000_000, Requests: 0.5}, 20 * time.Second},
	} {
		for _, atOnce := range []int{1, 5} {
			synctest.Test(t, func(t *testing.T) {
				rt := transport(t, tt.o)
				start := time.Now()
				var wg sync.WaitGroup
				for range atOnce {
					wg.Go(func() {
						for range 10 / atOnce {
							if err := exchange(t.Context(), rt, 1_000_000); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				took := time.Since(start)
				slack := 200 * time.Millisecond
				if tt.o.Requests > 0 { // the last request waits before it is sent, the first does not
					slack = time.Duration(2.5 / tt.o.Requests * float64(time.Second))
				}
				if took > tt.want+slack || took < tt.want-slack {
					t.Errorf("%s, %d at once: %v, want %v", name, atOnce, took, tt.want)
				}
			})
		}
	}
}

// TestNoBurstAfterAPause: what was not used is not made good.
func TestNoBurstAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := transport(t, limit.Options{Upload: 1_000_000})
		for range 2 {
			time.Sleep(time.Hour)
			start := time.Now()
			if err := exchange(t.Context(), rt, 1_000_000); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 850*time.Millisecond || took > time.Second {
				t.Errorf("after a pause: %v", took)
			}
		}
	})
}

func TestCancelled(t *testing.T) {
	for name, o := range map[string]limit.Options{
		"upload": {Upload: 1000}, "download": {Download: 1000}, "requests": {Requests: 0.001},
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := transport(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			err := exchange(ctx, rt, 100_000)
			if err == nil { // the first request is free
				err = exchange(ctx, rt, 100_000)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("%s: gave up after %v", name, took)
			}
		})
	}
}

func TestBadRates(t *testing.T) {
	for _, o := range []limit.Options{{Upload: -1}, {Download: -1}, {Requests: -1}} {
		o.Now = time.Now
		if _, err := limit.New(o); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
