package limit

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"time"
)

// burstMin is the time for which a bucket at least gathers tokens that nobody
// takes.
const burstMin = 100 * time.Millisecond

// pieceMax is the largest number of bytes that pass at once, so that a slow
// limit makes a steady flow.
const pieceMax = 32 << 10

// Options of New. The zero value of a rate means no limit.
type Options struct {
	Upload   int64   // bytes per second
	Download int64   // bytes per second
	Requests float64 // per second

	// Now is the clock; required.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, whose error it then returns; nil
	// means a timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Limiter holds the rates.
type Limiter struct {
	upload, download, requests *bucket
	sleep                      func(context.Context, time.Duration) error
}

// New returns a limiter. It fails with fs.ErrInvalid for a negative rate.
func New(o Options) (*Limiter, error) {
	if o.Upload < 0 || o.Download < 0 || o.Requests < 0 || o.Now == nil {
		return nil, fmt.Errorf("limits of %d bytes up, %d bytes down and %g requests per second: %w", o.Upload, o.Download, o.Requests, fs.ErrInvalid)
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &Limiter{
		upload:   newBucket(float64(o.Upload), o.Now),
		download: newBucket(float64(o.Download), o.Now),
		requests: newBucket(o.Requests, o.Now),
		sleep:    o.Sleep,
	}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Transport returns next within the limits.
func (l *Limiter) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{l: l, next: next}
}

// take waits until n tokens of b are there.
func (l *Limiter) take(ctx context.Context, b *bucket, n int) error {
	if wait := b.take(n); wait > 0 {
		return l.sleep(ctx, wait)
	}
	return ctx.Err()
}

// bucket hands out tokens at a rate. Who takes more than there are goes into
// debt and waits until it is paid, so a large take is as fair as many small.
type bucket struct {
	rate  float64       // tokens per second; 0 means no limit
	burst time.Duration // for which tokens are gathered: one token's time at least
	now   func() time.Time

	mu   sync.Mutex
	paid time.Time // until when the tokens that were taken are paid for
}

func newBucket(rate float64, now func() time.Time) *bucket {
	b := &bucket{rate: rate, burst: burstMin, now: now}
	if rate > 0 {
		b.burst = max(burstMin, time.Duration(float64(time.Second)/rate))
	}
	return b
}

// take takes n tokens and returns how long they are owed.
func (b *bucket) take(n int) time.Duration {
	if b.rate == 0 || n <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if oldest := now.Add(-b.burst); b.paid.Before(oldest) {
		b.paid = oldest
	}
	b.paid = b.paid.Add(time.Duration(float64(n) / b.rate * float64(time.Second)))
	return b.paid.Sub(now)
}

type transport struct {
	l    *Limiter
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := t.l.take(ctx, t.l.requests, 1); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	if r.Body != nil && r.Body != http.NoBody && t.l.upload.rate > 0 {
		limited := r.Clone(ctx)
		limited.Body = &body{ReadCloser: r.Body, ctx: ctx, l: t.l, b: t.l.upload}
		r = limited
	}
	resp, err := t.next.RoundTrip(r)
	if err == nil && t.l.download.rate > 0 {
		resp.Body = &body{ReadCloser: resp.Body, ctx: ctx, l: t.l, b: t.l.download}
	}
	return resp, err
}

// body counts the bytes that are read through it.
type body struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // the request's, as the body is
	l   *Limiter
	b   *bucket
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), pieceMax)])
	if terr := b.l.take(b.ctx, b.b, n); terr != nil && err == nil {
		err = terr
	}
	return n, err
}
