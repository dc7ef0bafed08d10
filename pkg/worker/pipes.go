package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// lazyMax bounds the named pipes of a task: each takes a thread while nobody
// has opened it.
const lazyMax = 1000

// pipes fill the named pipes of lazy inputs: each once, when the program opens
// it. What nobody opens is not fetched.
type pipes struct {
	paths   []string
	writers sync.WaitGroup

	mu     sync.Mutex
	opened map[string]bool // paths that the program opened
	over   bool
	bytes  int64
	err    error // what could not be read: the program got less than there is
}

// serve makes a named pipe and fills it once it is opened. ctx must outlive the
// program.
func (p *pipes) serve(ctx context.Context, path string, c chunk.Content, r chunk.Reader) error {
	if len(p.paths) == lazyMax {
		return refusef("more than %d files are lazy: leave lazy out, or select fewer with the glob", lazyMax)
	}
	if p.opened == nil {
		p.opened = map[string]bool{}
	}
	if err := makePipe(path); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	p.paths = append(p.paths, path)
	p.writers.Add(1)
	go func() {
		defer p.writers.Done()
		n, err := p.fill(ctx, path, c, r)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bytes += n
		if p.err == nil && err != nil {
			p.err = fmt.Errorf("lazy input %s: %w", path, err)
		}
	}()
	return nil
}

// fill waits until somebody opens the pipe and writes the content to it. That
// the reader has enough early is no error.
func (p *pipes) fill(ctx context.Context, path string, c chunk.Content, r chunk.Reader) (n int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p.mu.Lock()
	over := p.over
	if !over {
		p.opened[path] = true
	}
	p.mu.Unlock()
	if over || c.Size == 0 {
		return 0, nil
	}
	in, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	n, err = in.WriteTo(f)
	if errors.Is(err, syscall.EPIPE) {
		err = nil
	}
	return n, err
}

// close ends the pipes that nobody opened, after the program has ended. It
// returns how many bytes were read of the others.
func (p *pipes) close() (int64, error) {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	var readers []*os.File
	for _, path := range p.paths {
		if p.opened[path] { // nobody writes to the map any more; its reader has gone with the program
			continue
		}
		if f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0); err == nil {
			readers = append(readers, f) // lets the writer go on
		}
	}
	p.writers.Wait()
	for _, f := range readers {
		_ = f.Close()
	}
	n, err := p.bytes, p.err
	p.paths, p.opened, p.over, p.bytes, p.err = nil, nil, false, 0, nil
	return n, err
}
