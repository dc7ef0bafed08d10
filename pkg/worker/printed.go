package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// shown is the task whose log the worker's file is at the moment.
type shown struct {
	mu      sync.Mutex // held while the file is read, so that it is of this task
	runs    bool
	key     memo.Key
	attempt int
}

// show says of which task the log is from now on.
func (s *shown) show(t task.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs, s.key, s.attempt = true, t.Key, t.Attempt
}

// hide says that the log is of no task that runs.
func (s *shown) hide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = false
}

// Printed implements [task.Teller]; unlike the other methods it may be called
// while a task runs.
func (w *Worker) Printed(key memo.Key, attempt int, from int64, b []byte) (int, error) {
	w.shown.mu.Lock()
	defer w.shown.mu.Unlock()
	if !w.shown.runs || w.shown.key != key || w.shown.attempt != attempt {
		return 0, fmt.Errorf("attempt %d at datum %s does not run here: %w", attempt, key.Short(), fs.ErrNotExist)
	}
	const live = LogSizeMax / 2 // of what follows only the end is kept
	if from >= live {
		return 0, nil
	}
	b = b[:min(int64(len(b)), live-from)]
	f, err := os.Open(w.log.name)
	if err != nil {
		return 0, fmt.Errorf("read what is printed: %w", err)
	}
	defer func() { _ = f.Close() }()
	n, err := f.ReadAt(b, w.log.from+from)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read what is printed: %w", err)
	}
	return n, nil
}
