package s3repo_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// TestSlowUploadsHoldNobodyUp begins more long uploads than there are turns,
// leaves them hanging, and expects others to get through meanwhile.
func TestSlowUploadsHoldNobodyUp(t *testing.T) {
	w := newWriting(t, "zoo")
	long := strings.Repeat(random(1000, 1), 300)
	type slow struct {
		name string
		w    *io.PipeWriter
	}
	var all []slow
	var done sync.WaitGroup
	for i := range 20 {
		r, p := io.Pipe()
		s := slow{"slow/" + string(rune('a'+i)), p}
		all = append(all, s)
		done.Go(func() {
			c := s3proxy.ContentOf(r, int64(len(long)), s3proxy.CRC64NVME)
			if _, err := w.Put(w.ctx, name("main.zoo", s.name), c, s3proxy.PutOptions{}); err != nil {
				t.Errorf("put %s: %v", s.name, err)
			}
		})
		if _, err := io.WriteString(p, long[:len(long)/2]); err != nil { // more than is read ahead: it has its turn, or a file
			t.Fatal(err)
		}
	}
	w.put("main.zoo", "quick/long", long)
	w.put("main.zoo", "quick/short", "short")
	for _, s := range all {
		done.Go(func() {
			_, err := io.WriteString(s.w, long[len(long)/2:])
			if err == nil {
				err = s.w.Close()
			}
			if err != nil {
				t.Errorf("send %s: %v", s.name, err)
			}
		})
	}
	done.Wait()
	for _, s := range all {
		if got, _, ok := read(t, w, "main.zoo", s.name); !ok || got != long {
			t.Errorf("%s: %v, %d bytes", s.name, ok, len(got))
		}
	}
}
