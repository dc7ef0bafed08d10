package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// LogSizeMax is how much of a program's output is kept, in bytes: the first
// and the last half where there is more, with a notice between them.
const LogSizeMax = 16 << 20

// lineSizeMax is how much of the last line becomes part of a result's reason,
// in bytes.
const lineSizeMax = 200

// logKept is how large the log's file grows before it is made empty for the
// next task, in bytes. Until then each log begins where the last one ended: ext4
// takes a file that is made empty for one that is replaced, and writes it to the
// disk.
const logKept = 1 << 20

// logWatch is how often it is seen to that a program which prints without end
// does not fill the disk.
const logWatch = 250 * time.Millisecond

// logFile is the file that takes what programs print.
type logFile struct {
	name string
	from int64 // where the task's log begins
}

// begin has the next log begin.
func (l *logFile) begin() error {
	info, err := os.Lstat(l.name)
	if err == nil && info.Mode().IsRegular() && info.Size() <= logKept {
		l.from = info.Size()
		return nil
	}
	l.from = 0
	if err == nil && !info.Mode().IsRegular() {
		if err := removeWhole(l.name); err != nil {
			return err
		}
	}
	return os.WriteFile(l.name, nil, 0o600)
}

// watch keeps the log from filling the disk until stop is called: of what is
// left out at last the disk's blocks are given back while the program runs.
func (l *logFile) watch() (stop func()) {
	var mu sync.Mutex
	var timer *time.Timer
	over := false
	from := l.from
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if info, err := os.Lstat(l.name); err == nil && info.Size()-from > 2*LogSizeMax {
			giveBack(l.name, from+LogSizeMax/2, info.Size()-LogSizeMax)
		}
		timer.Reset(logWatch)
	}
	mu.Lock()
	timer = time.AfterFunc(logWatch, look)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// storeLog keeps what the program printed and returns its last line.
func (w *Worker) storeLog(ctx context.Context, res *task.Result) (string, error) {
	if info, err := os.Lstat(w.log.name); err == nil && info.Size() == w.log.from {
		return "", nil
	}
	f, err := os.Open(w.log.name)
	if err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	size := info.Size() - w.log.from
	if size <= 0 {
		return "", nil
	}
	all := io.NewSectionReader(f, w.log.from, size)
	var r io.Reader = all
	if size > LogSizeMax {
		r = io.MultiReader(io.NewSectionReader(all, 0, LogSizeMax/2),
			strings.NewReader(fmt.Sprintf("\n[dvx: %d bytes left out]\n", size-LogSizeMax)),
			io.NewSectionReader(all, size-LogSizeMax/2, LogSizeMax/2))
	}
	if res.Log, err = w.writer.WriteContent(ctx, r); err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	return lastLine(all, size), nil
}

// lastLine returns the last line with text in it, at most lineSizeMax bytes of
// it and nothing that could move a terminal's cursor.
func lastLine(f io.ReaderAt, size int64) string {
	const tailSize = 1024
	b := make([]byte, min(size, tailSize))
	n, err := f.ReadAt(b, size-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	b = bytes.TrimSpace(b[:n])
	if i := bytes.LastIndexAny(b, "\r\n"); i >= 0 {
		b = b[i+1:]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), lineSizeMax)]), "?"))
}
