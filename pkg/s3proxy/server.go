package s3proxy

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxHeaderBytes is S3's order of magnitude: 8 KiB of headers, of which
	// 2 KiB are metadata, and long presigned URLs. net/http adds 4 KiB of its
	// own, which makes 16 KiB in all.
	maxHeaderBytes = 12 << 10
	// readHeaderTimeout ends connections that send their headers byte by byte.
	readHeaderTimeout = 10 * time.Second
	// idleTimeout closes kept-alive connections that nobody uses.
	idleTimeout = 2 * time.Minute
)

// NewServer returns an HTTP server for h with limits on headers and on time.
// It has no limit on a whole request, since objects may be large: h watches
// the progress of bodies itself. The caller listens and shuts down; log
// receives what net/http has to say, nil discards it.
func NewServer(h *Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler: h,
		// "OPTIONS *" goes through the gate like everything else.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// response is the ResponseWriter of one request; it knows whether the answer
// has begun, and can cut off a client that stalls.
type response struct {
	http.ResponseWriter
	begun   bool
	greeted bool // it was told to continue
}

// WriteHeader begins the answer.
func (w *response) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, if need be, and sends a piece of its body.
func (w *response) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// longAgo is a deadline that has passed: setting it fails pending I/O at once.
var longAgo = time.Unix(1, 0)

// watchedReader reads a request's body and cuts the connection's reads if one
// of them takes longer than limit.
type watchedReader struct {
	r     io.Reader
	w     *response
	limit time.Duration
	timer *time.Timer
	late  atomic.Bool
}

// Read reads a piece, or fails with RequestTimeout.
func (w *watchedReader) Read(p []byte) (int, error) {
	if w.timer == nil {
		w.timer = time.AfterFunc(w.limit, w.cut)
	} else {
		w.timer.Reset(w.limit)
	}
	n, err := w.r.Read(p)
	w.timer.Stop()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return n, err
	case w.late.Load():
		return n, fail(codeRequestTimeout)
	}
	return n, fail(codeIncompleteBody) // the client has gone, or broke the framing
}

func (w *watchedReader) cut() {
	w.late.Store(true)
	_ = http.NewResponseController(w.w.ResponseWriter).SetReadDeadline(longAgo)
}

// watchedWriter writes to a client and cuts the connection if one write takes
// longer than limit.
type watchedWriter struct {
	w     io.Writer
	timer *time.Timer
	limit time.Duration
}

func (w *response) watchWrites(limit time.Duration) *watchedWriter {
	t := time.AfterFunc(limit, func() {
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(longAgo)
	})
	return &watchedWriter{w: w, timer: t, limit: limit}
}

// Write sends p and puts off the cut.
func (w *watchedWriter) Write(p []byte) (int, error) {
	w.timer.Reset(w.limit)
	return w.w.Write(p)
}

func (w *watchedWriter) stop() { w.timer.Stop() }
