package worktree

import (
	"context"
)

// lookahead lists the folders in a folder before the walk comes to them.
type lookahead struct {
	s       *scanner
	ctx     context.Context //nolint:containedctx // of the scan, for the goroutines that list
	in      *pair
	rules   *ignoreStack
	names   []*diskEntry // not yet started
	started []*listed    // not yet taken, in order
}

// listed is a folder that is being listed.
type listed struct {
	name string
	f    *folder
	list *listing
	err  error
	done chan struct{}
}

// lookAhead starts to list what the walk will need of l, the list of p. What
// is listed ahead is bounded for the whole scan: the rest is listed when the
// walk comes there.
func (s *scanner) lookAhead(ctx context.Context, p *pair, l *listing) *lookahead {
	a := &lookahead{s: s, ctx: ctx, in: p, rules: l.rules}
	for i := range l.entries {
		e := &l.entries[i]
		if isDirAhead(e) && s.scope.place(p.path+e.key) != outside {
			a.names = append(a.names, e)
		}
	}
	a.start()
	return a
}

// isDirAhead reports whether the walk will surely go into e.
func isDirAhead(e *diskEntry) bool { return len(e.key) > len(e.name) && !e.ignored }

// start lists as many folders ahead as there is room for.
func (a *lookahead) start() {
	for len(a.names) > 0 {
		select {
		case a.s.ahead <- struct{}{}:
		default:
			return
		}
		l := &listed{name: a.names[0].name, done: make(chan struct{})}
		a.names = a.names[1:]
		a.started = append(a.started, l)
		f := a.in.f.hold()
		go func() {
			defer close(l.done)
			defer f.release()
			l.f, l.list, l.err = a.list(f, l.name, false)
		}()
	}
}

func (a *lookahead) list(in *folder, name string, ignored bool) (*folder, *listing, error) {
	f, err := in.sub(name)
	if err != nil {
		return nil, nil, err
	}
	l, err := a.s.list(a.ctx, f, a.in.path+name+"/", a.rules, ignored)
	if err != nil {
		f.release()
		return nil, nil, err
	}
	return f, l, nil
}

// open returns the folder e with its list. Folders are asked for in order.
func (a *lookahead) open(ctx context.Context, e *diskEntry) (*folder, *listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if len(a.started) > 0 && a.started[0].name == e.name {
		l := a.started[0]
		a.started = a.started[1:]
		<-l.done
		<-a.s.ahead
		a.start()
		return l.f, l.list, l.err
	}
	if len(a.names) > 0 && a.names[0].name == e.name {
		a.names = a.names[1:]
	}
	return a.list(a.in.f, e.name, e.ignored)
}

// end lets go of what was listed and not asked for.
func (a *lookahead) end() {
	for _, l := range a.started {
		<-l.done
		<-a.s.ahead
		if l.err == nil {
			l.f.release()
		}
	}
}
