//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// TestS3SyncedBeforeReply traces a daemon that takes PUTs on a local store, one
// after the other and then many at a time. Between the arrival of each and the
// reply the root was moved, its file synced before and its folder after; each
// object got its name after its file was synced.
func TestS3SyncedBeforeReply(t *testing.T) {
	const alone, writers, each = 12, 8, 10
	u := newUser(t)
	store := u.path("store")
	u.dvx("init", "--bare", store)
	d := u.serve(store)
	client := minioClient(t, u, d)
	if err := client.MakeBucket(t.Context(), "main.traced", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	put := func(ctx context.Context, key string, size int) {
		_, err := client.PutObject(ctx, "main.traced", key, strings.NewReader(noise(size)), int64(size), minio.PutObjectOptions{})
		if err != nil {
			t.Error(err)
		}
	}
	stop := traceDaemon(t, u, d)
	for i := range alone {
		put(t.Context(), fmt.Sprint("alone/", i), i*i*i*1000)
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				put(t.Context(), fmt.Sprintf("%d/%d", w, i), 100*i)
			}
		})
	}
	all.Wait()
	const puts = alone + writers*each
	replies, named := checkReplies(t, calls(stop(puts)), store)
	if replies != puts || named < alone {
		t.Errorf("the trace shows %d replies to PUTs and %d objects named: it should show %d, and more", replies, named, puts)
	}
	figure(t, "strace of the daemon: %d replies to PUTs, each after the root was moved and synced; %d objects synced before their names", replies, named)
	d.stop()
}

// traceDaemon traces a daemon until stop is called and the trace shows that many
// replies: a client has its reply before strace has seen the call return. stop
// returns the trace, however many it shows after waitMax.
func traceDaemon(t *testing.T, u *user, d *daemon) (stop func(replies int) string) {
	t.Helper()
	trace, said := u.path("trace"), u.path("strace.log")
	log, err := os.Create(said)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := u.command(tool(t, "strace"), "-f", "-y", "-o", trace, "-p", fmt.Sprint(d.PID),
		"-e", "trace=fsync,fdatasync,linkat,renameat,renameat2,read,write,writev,sendto")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // 130: it was interrupted
		close(ended)
	}()
	end := func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	}
	t.Cleanup(end)
	for deadline := time.Now().Add(waitMax); !bytes.Contains([]byte(readFile(t, said)), []byte("attached")); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("strace ended: %s", readFile(t, said))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("strace did not attach within %v: %s", waitMax, readFile(t, said))
		}
	}
	return func(replies int) string {
		shown := func() int { return len(putReplies(calls(readFile(t, trace)))) }
		for deadline := time.Now().Add(waitMax); shown() < replies && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		end()
		return readFile(t, trace)
	}
}

// putReply is the call that replied to a PUT, and the line of the trace at which
// the PUT had arrived.
type putReply struct {
	sysCall
	arrived int
}

// putReplies returns the replies to PUTs in a trace of a daemon, in its order.
func putReplies(all []sysCall) (replies []putReply) {
	arrived := map[string]int{} // line of the last PUT by connection
	for _, c := range all {
		conn, _, _ := strings.Cut(c.args, ",")
		switch {
		case c.name == "read" && (strings.Contains(c.args, `"PUT /`) || strings.Contains(c.args, `"UT /`)): // the server may have read one byte ahead
			arrived[conn] = c.begin
		case c.name == "write" && strings.Contains(c.args, `"HTTP/1.1 200`) && arrived[conn] > 0:
			replies = append(replies, putReply{c, arrived[conn]})
			delete(arrived, conn)
		}
	}
	return replies
}

// checkReplies checks each PUT in a trace of a daemon, and returns how many were
// replied to and how many objects got names.
func checkReplies(t *testing.T, all []sysCall, store string) (replies, named int) {
	t.Helper()
	syncs := map[string][]sysCall{} // by path, in order of their ends
	for _, c := range all {
		if p := c.paths(); (c.name == "fsync" || c.name == "fdatasync") && len(p) > 0 {
			syncs[p[0]] = append(syncs[p[0]], c)
		}
	}
	synced := func(path string, after, before int) bool {
		for _, c := range syncs[path] {
			if c.begin > after && c.end < before {
				return true
			}
		}
		return false
	}
	var swaps []sysCall
	for _, c := range all {
		p := c.paths()
		switch {
		case strings.HasPrefix(c.name, "renameat") && len(p) == 2 && p[1] == filepath.Join(store, "root"):
			if swaps = append(swaps, c); !synced(p[0], 0, c.begin) {
				t.Error("the root's file was not synced before it got its name")
			}
		case c.name == "linkat" && len(p) == 2 && strings.HasPrefix(p[1], store):
			if named++; !synced(p[0], 0, c.begin) {
				t.Errorf("%s got its name before its file was synced", p[1])
			}
		}
	}
	for _, r := range putReplies(all) {
		replies++
		durable := false
		for _, s := range swaps {
			durable = durable || s.begin > r.arrived && s.end < r.begin && synced(store, s.end, r.begin)
		}
		if !durable {
			t.Errorf("line %d: the reply to the PUT of line %d went out before the root was moved and synced", r.begin, r.arrived)
		}
	}
	return replies, named
}
