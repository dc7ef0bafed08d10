package repo

import (
	"context"
	"time"
)

// tendEvery is how often a Writer looks for branches that are to be sealed, as
// long as it knows of one with open writes; without any, only each tendRarely-th
// time, for those that a process left which is gone.
const (
	tendEvery  = 500 * time.Millisecond
	tendRarely = 10
)

// tend seals what is due until ctx ends, and lets go of a session that nobody
// uses: a session that is there holds back collection.
func (w *Writer) tend(ctx context.Context) {
	defer close(w.tended)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-w.d.o.After(tendEvery):
		}
		w.idle()
		if len(w.d.newest().root.Open) == 0 && n%tendRarely > 0 {
			continue
		}
		for _, key := range w.due(ctx) {
			repo, branch := splitOpenKey(key)
			_, _ = w.Seal(ctx, repo, branch) // else it is due the next time too
		}
	}
}

// idle lets go of the session if no upload uses it.
func (w *Writer) idle() {
	w.mu.Lock()
	s := w.session
	now := w.d.o.Now()
	if s != nil {
		s.mu.Lock()
		if s.users > 1 || now.Sub(s.begun) < sharedAgeMax {
			s.mu.Unlock()
			s = nil
		} else {
			s.mu.Unlock()
			w.session = nil
		}
	}
	w.mu.Unlock()
	_ = s.release() // its object is taken for a dead session's
}

// due returns the keys of the open commits that are to be sealed now.
func (w *Writer) due(ctx context.Context) []string {
	l, err := w.d.load(ctx)
	if err != nil {
		return nil // the next look may succeed
	}
	now := w.d.o.Now()
	var keys []string
	for key, o := range l.root.Open {
		repo, branch := splitOpenKey(key)
		when := w.o.of(l.root.Repos[repo].Branches[branch].Seal)
		if now.Sub(o.Last) >= when.SealIdle || now.Sub(o.Since) >= when.SealAge || o.Writes >= when.SealWrites {
			keys = append(keys, key)
		}
	}
	return keys
}
