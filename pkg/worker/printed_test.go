package worker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// TestPrintedWhileItRuns: what a program has printed can be read as long as it
// runs, under its own name only.
func TestPrintedWhileItRuns(t *testing.T) {
	k := aTask()
	var w *Worker
	read := func(attempt int, from int64) (string, error) {
		b := make([]byte, 100)
		n, err := w.Printed(k.Key, attempt, from, b)
		return string(b[:n]), err
	}
	runs := 0
	w = newWorker(t, inProcess(func(_ context.Context, p Process) (Exit, error) {
		runs++
		if text, err := read(runs, 0); text != "" || err != nil {
			t.Errorf("attempt %d begins with the log %q, %v", runs, text, err)
		}
		f, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString("one\ntwo")
		must(t, errors.Join(err, f.Close()))
		for from, want := range map[int64]string{0: "one\ntwo", 4: "two", 7: "", 99: ""} {
			if text, err := read(runs, from); text != want || err != nil {
				t.Errorf("from %d: %q, %v", from, text, err)
			}
		}
		if text, err := read(3-runs, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the other attempt: %q, %v", text, err)
		}
		return Exit{}, nil
	}))
	for k.Attempt = 1; k.Attempt <= 2; k.Attempt++ {
		if _, err := w.Run(context.Background(), k, &chunk.Mem{}); err != nil {
			t.Fatal(err)
		}
		if text, err := read(k.Attempt, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after its end: %q, %v", text, err)
		}
	}
}
