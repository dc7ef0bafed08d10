package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// batch is a program that takes one datum after the other. It reads a line of
// JSON for each from descriptor 3, and says on descriptor 4, in a line of JSON,
// that it has finished with it. At the end of its input it is to end.
type batch struct {
	program chunk.ID // task.Task.Program
	lines   *os.File // its descriptor 3
	answers *os.File // its descriptor 4
	read    *bufio.Reader
	kill    context.CancelFunc
	ended   chan struct{} // closed when the process is gone; exit and err are set then
	exit    Exit
	err     error
	served  int // datums that it was given
}

// offer is the line that gives a program a datum. Paths are absolute.
type offer struct {
	N       int               `json:"n"`       // counts the datums of the process, from 1
	Datum   string            `json:"datum"`   // DVX_DATUM_ID
	Attempt string            `json:"attempt"` // DVX_ATTEMPT_KEY
	In      string            `json:"in"`      // DVX_IN
	Out     string            `json:"out"`     // DVX_OUT, of this datum only
	URLs    map[string]string `json:"urls"`    // DVX_INPUT_<NAME>_URL, by the input's name
}

// answer is the line that a program says when it has finished with a datum.
type answer struct {
	N     int    `json:"n"` // of the offer
	Error string `json:"error,omitempty"`
}

// answerSizeMax bounds a line that a program says, in bytes.
const answerSizeMax = 64 << 10

// errProtocol reports that a program does not keep to the protocol. It is the
// program's fault, and ends it.
var errProtocol = errors.New("the program broke the batch protocol")

// Serves reports whether a process of the program runs that can take the task.
// It may be called while no task runs.
func (w *Worker) Serves(t task.Task) bool { return t.Batch && w.batch.takes(t) }

// Idles reports whether a program waits for more datums.
func (w *Worker) Idles() bool { return w.batch != nil }

// takes reports whether the process is alive and may take one more task.
func (b *batch) takes(t task.Task) bool {
	if b == nil || b.program != t.Program || t.SetSize > 0 && b.served >= t.SetSize {
		return false
	}
	return !b.hasEnded()
}

// dismissTime is how long a program may take to end once there are no more
// datums for it.
const dismissTime = 5 * time.Second

// Rest ends the program that waits for more datums, if one does. Call it when
// no task runs.
func (w *Worker) Rest() {
	b := w.batch
	if b == nil {
		return
	}
	w.batch = nil
	_ = b.lines.Close() // the end of its input
	late := time.AfterFunc(dismissTime, b.kill)
	<-b.ended
	late.Stop()
	b.kill()
	_ = b.answers.Close()
}

// stopBatch kills the program.
func (w *Worker) stopBatch() {
	if w.batch != nil {
		w.batch.kill()
		w.Rest()
	}
}

// startBatch starts the program.
func (w *Worker) startBatch(ctx context.Context, t task.Task) error {
	p, err := w.process(t)
	if err != nil {
		return err
	}
	b := &batch{program: t.Program, ended: make(chan struct{})}
	p.Lines, p.Answers = w.file("lines"), w.file("answers")
	if b.lines, err = openPipe(p.Lines); err != nil {
		return fmt.Errorf("start program: %w", err)
	}
	if b.answers, err = openPipe(p.Answers); err != nil {
		return fmt.Errorf("start program: %w", errors.Join(err, b.lines.Close()))
	}
	b.read = bufio.NewReaderSize(b.answers, answerSizeMax)
	ctx, b.kill = context.WithCancel(context.WithoutCancel(ctx)) // it outlives the task
	go func() {
		b.exit, b.err = w.opts.Exec.Exec(ctx, p)
		close(b.ended)
		_, _ = b.answers.WriteString("\n") // behind what it said: whoever waits for more waits in vain
	}()
	w.batch = b
	return nil
}

// longAgo is a time limit that is over.
var longAgo = time.Unix(1, 0)

// openPipe makes a named pipe, an empty one, and opens both its ends.
func openPipe(name string) (*os.File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := makePipe(name); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR|nonblock, 0)
}

// execBatch gives the task to the program, which is started if it does not
// run, and waits for its answer under the time limit. Whatever comes in between
// ends the process: it may be in the middle of the datum.
func (w *Worker) execBatch(ctx context.Context, t task.Task) (Exit, bool, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if t.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, t.Timeout)
	}
	defer cancel()
	for {
		if w.batch == nil {
			if err := w.startBatch(ctx, t); err != nil {
				return Exit{}, false, err
			}
		}
		b := w.batch
		said, err := b.take(limited, w.offer(t))
		if err == nil {
			return Exit{Answer: said.Error}, false, nil
		}
		ended := b.hasEnded()
		untaken := ended && readNow(b.lines, make([]byte, 1)) > 0
		w.stopBatch()
		switch {
		case limited.Err() != nil:
			return Exit{Killed: true}, ctx.Err() == nil, ctx.Err()
		case untaken && b.served > 1: // it ended after another datum, and never saw this one
			continue
		case !ended && errors.Is(err, errProtocol):
			return Exit{Answer: err.Error()}, false, nil
		case !ended || b.err != nil:
			return Exit{}, false, errors.Join(err, b.err)
		}
		if b.exit.Code == 0 && b.exit.Failure == "" {
			b.exit.Answer = "the program ended without an answer; with datum.batch it takes datums from descriptor 3 until there are no more"
		}
		return b.exit, false, nil
	}
}

// hasEnded reports whether the process is gone.
func (b *batch) hasEnded() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// offer describes a task to the program.
func (w *Worker) offer(t task.Task) offer {
	o := offer{
		N: w.batch.served + 1, Datum: t.Key.String(), Attempt: attemptKey(t.Key), In: w.path("in"), Out: w.path(w.at.out),
		URLs: make(map[string]string, len(t.Inputs)),
	}
	for _, in := range t.Inputs {
		o.URLs[in.Name] = in.URL()
	}
	return o
}

// take gives the program a datum and waits for its answer.
func (b *batch) take(ctx context.Context, o offer) (said answer, err error) {
	b.served++
	line, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = b.lines.SetWriteDeadline(longAgo)
		_ = b.answers.SetReadDeadline(longAgo)
	})
	defer func() {
		if !stop() { // the pipes can't be used any more
			err = errors.Join(err, ctx.Err())
		}
	}()
	if _, err := b.lines.Write(append(line, '\n')); err != nil {
		return answer{}, err
	}
	text, err := b.read.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return answer{}, fmt.Errorf("%w: it said a line of more than %d bytes", errProtocol, answerSizeMax)
	case err != nil:
		return answer{}, err
	}
	return o.judge(text)
}

// judge reads the program's answer.
func (o offer) judge(text []byte) (answer, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var said answer
	err := dec.Decode(&said)
	if _, more := dec.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("more than one value")
	}
	switch {
	case err != nil:
		return said, fmt.Errorf(`%w: want a line like {"n":%d}, or {"n":%d,"error":"why"}, on descriptor 4, found %.80q`, errProtocol, o.N, o.N, text)
	case said.N != o.N:
		return said, fmt.Errorf("%w: it answered for n %d when it had %d", errProtocol, said.N, o.N)
	}
	return said, nil
}
