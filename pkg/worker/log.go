package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// LogSizeMax is how much of a program's output is kept, in bytes: the first
// and the last half where there is more, with a notice between them.
const LogSizeMax = 16 << 20

// lineSizeMax is how much of the last line becomes part of a result's reason,
// in bytes.
const lineSizeMax = 200

// storeLog keeps what the program printed and returns its last line.
func (w *Worker) storeLog(ctx context.Context, res *task.Result) (string, error) {
	if info, err := os.Lstat(w.file("log")); err == nil && info.Size() == 0 {
		return "", nil
	}
	f, err := os.Open(w.file("log"))
	if err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	var r io.Reader = f
	if size := info.Size(); size > LogSizeMax {
		r = io.MultiReader(io.NewSectionReader(f, 0, LogSizeMax/2),
			strings.NewReader(fmt.Sprintf("\n[dvx: %d bytes left out]\n", size-LogSizeMax)),
			io.NewSectionReader(f, size-LogSizeMax/2, LogSizeMax/2))
	}
	if res.Log, err = w.writer.WriteContent(ctx, r); err != nil {
		return "", fmt.Errorf("store log: %w", err)
	}
	return lastLine(f, info.Size()), nil
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
