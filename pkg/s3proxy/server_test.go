package s3proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// raw sends text to a server and returns the status of its answer.
func raw(t *testing.T, addr, text string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestServerLimits(t *testing.T) {
	ts := newServer(t, newHandler(t, newMem(t), s3proxy.Options{}))
	addr := ts.Listener.Addr().String()
	head := "GET /bkt/hello.txt HTTP/1.1\r\nHost: x\r\n"
	tests := []struct {
		name, request string
		status        int
	}{
		{"unsigned", head + "\r\n", 403},
		{"15 KiB of headers", head + "X: " + strings.Repeat("h", 15<<10) + "\r\n\r\n", 403},
		{"17 KiB of headers", head + "X: " + strings.Repeat("h", 17<<10) + "\r\n\r\n", 431},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two hosts", head + "Host: y\r\n\r\n", 400},
		{"two lengths", head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"bad escape", "GET /bkt/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"no redirect of slashes", "GET //bkt//x HTTP/1.1\r\nHost: x\r\n\r\n", 403},
		{"no redirect of dots", "GET /bkt/../x HTTP/1.1\r\nHost: x\r\n\r\n", 403},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"space in header name", head + "X-Amz-Date : 1\r\n\r\n", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := raw(t, addr, tt.request); got != tt.status {
				t.Errorf("got %d, want %d", got, tt.status)
			}
		})
	}
	s := ts.Config
	if s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 || s.WriteTimeout != 0 {
		t.Errorf("timeouts %v, %v, %v", s.ReadHeaderTimeout, s.IdleTimeout, s.WriteTimeout)
	}
}

func TestBodyOfAReadIsBounded(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	a := attempt{target: helloTarget, payload: "UNSIGNED-PAYLOAD", body: strings.Repeat("b", 1<<20)}
	if w := serve(h, a.byHeader(t)); w.Code != 200 {
		t.Errorf("1 MiB: got %d", w.Code)
	}
	a.body += "b"
	want(t, serve(h, a.byHeader(t)), 400, "MaxMessageLengthExceeded")
}

func TestStalledSenderIsCutOff(t *testing.T) {
	// Long enough for the answer to be written in time, also on a busy machine.
	ts := newServer(t, newHandler(t, newMem(t), s3proxy.Options{Stall: 5 * time.Second}))
	addr := ts.Listener.Addr().String()
	r := attempt{host: addr, target: helloTarget, payload: "UNSIGNED-PAYLOAD"}.byHeader(t)
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n", helloTarget, addr)
	if err := r.Header.Write(&head); err != nil {
		t.Fatal(err)
	}
	if got := raw(t, addr, head.String()+"\r\nabc"); got != 400 {
		t.Errorf("got %d, want the timeout of a body that never comes", got)
	}
}

func TestStalledReceiverIsCutOff(t *testing.T) {
	cut := make(chan struct{})
	h := newHandler(t, &broken{size: 1 << 30, good: 1 << 30}, s3proxy.Options{Stall: 50 * time.Millisecond})
	ts := newServer(t, h)
	ts.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(cut)
		h.ServeHTTP(w, r)
	})
	addr := ts.Listener.Addr().String()
	r := attempt{host: addr, target: "/bkt/k"}.byHeader(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "GET /bkt/k HTTP/1.1\r\nHost: %s\r\n", addr)
	if err := r.Header.Write(c); err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprint(c, "\r\n") // and never read the gigabyte
	select {
	case <-cut:
	case <-time.After(5 * time.Minute):
		t.Fatal("still serving a client that does not read")
	}
}
