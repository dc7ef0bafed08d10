package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// lazyMax bounds the named pipes of a task: each takes a look now and then while
// nobody has opened it.
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
	p.mu.Lock()
	p.paths = append(p.paths, path)
	p.mu.Unlock()
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
// the reader has enough early is no error, nor that the program removed the
// pipe or put something else in its place.
func (p *pipes) fill(ctx context.Context, path string, c chunk.Content, r chunk.Reader) (n int64, err error) {
	f, err := p.open(path)
	if f == nil || err != nil {
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

// lookEvery is how often it is looked whether a pipe was opened: a look is a
// system call, and each pipe has its own.
const lookEvery = 2 * time.Millisecond

// open opens the pipe once a reader has; nil if none did before the end of the
// program. It does not wait inside of a system call: nothing could end that
// once the program has removed the pipe.
func (p *pipes) open(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|nonblock, 0)
		switch {
		case err == nil:
			if info, err := f.Stat(); err != nil || info.Mode().Type() != os.ModeNamedPipe {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		case errors.Is(err, os.ErrNotExist):
			return nil, nil //nolint:nilnil // as documented
		case !errors.Is(err, syscall.ENXIO):
			return nil, err
		}
		p.mu.Lock()
		over, pause := p.over, lookEvery*time.Duration(1+len(p.paths)/32)
		p.mu.Unlock()
		if over {
			return nil, nil //nolint:nilnil // as documented
		}
		<-time.After(pause)
	}
}

// close ends the pipes that nobody opened, after the program has ended, and
// removes all. It returns how many bytes were read of the others.
func (p *pipes) close() (int64, error) {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.writers.Wait()
	for _, path := range p.paths {
		_ = os.Remove(path) // it is the program's folder, which goes in the end
	}
	n, err := p.bytes, p.err
	p.paths, p.opened, p.over, p.bytes, p.err = nil, nil, false, 0, nil
	return n, err
}
