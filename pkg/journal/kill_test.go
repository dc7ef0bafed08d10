package journal

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// appendVariable holds the folder in which this binary is to append, as a child
// that is killed.
const appendVariable = "JOURNAL_TEST_APPEND"

func TestMain(m *testing.M) {
	if dir := os.Getenv(appendVariable); dir != "" {
		appendForever(dir)
	}
	os.Exit(m.Run())
}

// appendForever appends from several goroutines and prints what was
// acknowledged, and what is about to be trimmed.
func appendForever(dir string) {
	j, rec, err := Open(dir, Options{Now: clock})
	if err != nil || rec.StateLost {
		fmt.Printf("fail %+v %v\n", rec, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("open")
	for c := range 4 {
		go func() {
			for i := 0; ; i++ {
				data := fmt.Sprintf("%d.%d.%d-%s", rec.High, c, i, strings.Repeat("x", i%400))
				last, err := j.Append(context.Background(), [][]byte{[]byte("before"), []byte(data)})
				if err != nil {
					say("fail %v", err)
					return
				}
				say("ack %d %s", last, data)
				if i%16 == 15 {
					say("trim %d", last-8)
					if err := j.Trim(context.Background(), last-8); err != nil {
						say("fail %v", err)
					}
				}
			}
		}()
	}
	select {}
}

// told is what the children said.
type told struct {
	acked   map[Seq]string
	trimmed Seq
}

// TestKilled kills a process that appends, again and again: whatever it was told
// is durable is there. Every other process lives until it was told something, for
// however long the disk takes.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(*seed, 2))
	heard := told{acked: map[Seq]string{}}
	for round := range *rounds {
		first := "open"
		if round%2 == 0 {
			first = "ack"
		}
		heard.child(t, dir, first, time.Duration(rng.IntN(60))*time.Millisecond)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
		j, rec := open(t, dir)
		if rec.StateLost {
			t.Fatalf("round %d: state lost: %s", round, rec.Reason)
		}
		got := map[Seq]string{}
		for _, r := range replay(t, j) {
			got[r.Seq] = string(r.Data)
		}
		closeList(t, j)
		for seq, data := range heard.acked {
			switch {
			case seq <= heard.trimmed:
				delete(heard.acked, seq)
			case got[seq] != data:
				t.Fatalf("round %d: %d is %q, acknowledged was %q", round, seq, got[seq], data)
			}
		}
		if rec.Trimmed > heard.trimmed {
			t.Fatalf("round %d: trimmed to %d, asked for %d", round, rec.Trimmed, heard.trimmed)
		}
	}
	if len(heard.acked) == 0 {
		t.Error("nothing was acknowledged")
	}
}

// child runs one child until a while after it has said first, kills it, and takes
// in what it said.
func (h *told) child(t *testing.T, dir, first string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), appendVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	doomed := false
	for lines.Scan() {
		var seq Seq
		var data string
		line := lines.Text()
		if !doomed && strings.HasPrefix(line, first) {
			doomed = true
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		switch {
		case strings.HasPrefix(line, "fail"):
			t.Error(line)
			_ = cmd.Process.Kill()
		default:
			if n, _ := fmt.Sscanf(line, "ack %d %s", &seq, &data); n == 2 {
				h.acked[seq] = data
			} else if n, _ := fmt.Sscanf(line, "trim %d", &seq); n == 1 {
				h.trimmed = max(h.trimmed, seq)
			}
		}
	}
	_ = cmd.Wait() // it was killed
}
