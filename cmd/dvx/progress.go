package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/dvx-io/dvx/pkg/worktree"
)

// progress tells on standard error how far long work is: a line that is
// rewritten on a terminal, a new line every ten seconds elsewhere. Work of less
// than a second is not told of.
type progress struct {
	w    io.Writer
	what string
	tty  bool
	from time.Time

	mu     sync.Mutex
	last   time.Time
	shown  bool
	closed bool
}

// progress starts telling about some work.
func (a *app) progress(what string) *progress {
	p := &progress{w: a.err, what: what, from: time.Now()}
	if f, ok := a.err.(*os.File); ok {
		p.tty = term.IsTerminal(int(f.Fd()))
	}
	if a.json {
		p.w = io.Discard
	}
	return p
}

// update tells how much is done.
func (p *progress) update(n worktree.Progress) {
	p.show(func() string { return fmt.Sprintf("%s files, %s", count(n.Files), size(n.Bytes)) })
}

// show tells how far the work is in the words of text, which is called only if
// it is time to tell.
func (p *progress) show(text func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, pause := time.Now(), 10*time.Second
	if p.tty {
		pause = 200 * time.Millisecond
	}
	if p.closed || now.Sub(p.from) < time.Second || now.Sub(p.last) < pause {
		return
	}
	p.last, p.shown = now, true
	line := p.what + ": " + text()
	if p.tty {
		line = "\r\x1b[K" + line
	} else {
		line += "\n"
	}
	_, _ = io.WriteString(p.w, line) // nobody is there to be told that it fails
}

// done ends the telling. It may be called more than once.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed && p.shown && p.tty {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
	}
	p.closed = true
}
