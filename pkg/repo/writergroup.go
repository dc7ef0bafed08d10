package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Limits of the sessions that uploads share. A session relies on all packs
// that it has published, and looks for each at every swap.
const (
	sharedSwapsMax = 64
	sharedAgeMax   = 15 * time.Minute // of its own swaps
)

// groupEditsMax bounds the edits of one swap.
const groupEditsMax = 4096

// groupTriesMax is how often a group is built anew because others wrote to the
// same branch under a condition.
const groupTriesMax = 100

// sharedSession is a session that uploads share. It is closed when the Writer
// and the last upload have released it.
type sharedSession struct {
	*session
	begun time.Time

	mu    sync.Mutex
	users int
	swaps int
	doom  bool
}

func (s *sharedSession) release() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.users--
	last := s.users == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	return s.Close()
}

// spent reports whether new uploads should get another session.
func (s *sharedSession) spent(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doom || s.Doomed() || s.swaps >= sharedSwapsMax || now.Sub(s.begun) >= sharedAgeMax
}

// use counts another user of the session.
func (s *sharedSession) use() *sharedSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	return s
}

// acquire returns the session for a new upload. One of those who wait for a new
// session opens it; who has written to the last one goes on meanwhile.
func (w *Writer) acquire(ctx context.Context) (*sharedSession, error) {
	if s, err := w.current(); s != nil || err != nil {
		return s, err
	}
	select {
	case w.opening <- struct{}{}:
		defer func() { <-w.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s, err := w.current(); s != nil || err != nil { // another has opened it
		return s, err
	}
	begun := w.d.o.Now()
	opened, err := w.d.newSession(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	s := &sharedSession{session: opened, begun: begun, users: 1}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, errors.Join(ErrWriterClosed, s.release())
	}
	last := w.session
	w.session = s.use()
	w.mu.Unlock()
	if err := last.release(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// current returns the session for new uploads, nil if there is none to go on
// with.
func (w *Writer) current() (*sharedSession, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrWriterClosed
	}
	if w.session == nil || w.session.spent(w.d.o.Now()) {
		return nil, nil
	}
	return w.session.use(), nil
}

// enqueue hands a write to the goroutine that commits groups, which it starts
// if there is none. It fails with ErrWriterClosed once the Writer is closed:
// Close waits for the writes of before and for no others.
func (w *Writer) enqueue(ctx context.Context, p *pendingWrite) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrWriterClosed
	}
	p.session.use() // until it is done
	w.queue = append(w.queue, p)
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	if !w.running {
		w.running = true
		ctx := auth.With(context.WithoutCancel(ctx), auth.Owner)
		w.groups.Go(func() { w.run(ctx) })
	}
	return nil
}

// run commits groups until no write waits.
func (w *Writer) run(ctx context.Context) {
	for {
		group := w.take()
		if group == nil {
			return
		}
		began := w.d.o.Now()
		marked := w.commitGroup(ctx, group)
		group = w.postpone(ctx, group)
		for _, key := range marked {
			repo, branch := splitOpenKey(key)
			_, _ = w.Seal(ctx, repo, branch) // else it is sealed by time
		}
		for _, p := range group {
			close(p.done)
			_ = p.session.release()
		}
		if w.d.o.Yield {
			<-w.d.o.After(min(2*time.Duration(w.d.swapTook.Load()), yieldMax))
		}
		w.gather(len(group), w.d.o.Now().Sub(began))
	}
}

// postponeMax is how often a write waits for a seal: others may write to its
// path each time.
const postponeMax = 3

// errSealFirst is the outcome of a write that would take away something that is
// not sealed.
var errSealFirst = errors.New("what it replaces is to be sealed first")

// postpone seals the branches of writes that have to wait for it, puts these
// back at the head of the queue, and returns the others.
func (w *Writer) postpone(ctx context.Context, group []*pendingWrite) []*pendingWrite {
	var done, later []*pendingWrite
	sealed := map[string]error{}
	for _, p := range group {
		if !errors.Is(p.err, errSealFirst) {
			done = append(done, p)
			continue
		}
		key := OpenKey(p.Repo, p.Branch)
		if _, ok := sealed[key]; !ok {
			_, sealed[key] = w.Seal(ctx, p.Repo, p.Branch)
		}
		p.later++
		if p.err = sealed[key]; p.err != nil {
			done = append(done, p)
			continue
		}
		later = append(later, p)
	}
	if len(later) > 0 {
		w.mu.Lock()
		w.queue = append(later, w.queue...)
		w.mu.Unlock()
	}
	return done
}

// yieldMax bounds the pause after a group: a swap that hung says nothing about
// how long others need.
const yieldMax = time.Second

// gatherMax bounds how long those who were in a group are awaited for the next,
// which is as long as that group took at most. Without, they would miss it and
// two halves of the writers would take turns, each at the price of a whole
// group; longer, a writer that has gone would hold up the others.
const gatherMax = 6 * time.Millisecond

// gather waits a moment for as many writes as there were writers.
func (w *Writer) gather(acknowledged int, wait time.Duration) {
	w.mu.Lock()
	want := acknowledged + len(w.queue)
	w.mu.Unlock()
	if want < 2 {
		return
	}
	over := w.d.o.After(min(wait, gatherMax))
	for {
		w.mu.Lock()
		n := len(w.queue)
		w.mu.Unlock()
		if n >= want {
			return
		}
		select {
		case <-over:
			return
		case <-w.arrived:
		}
	}
}

// take returns the next writes to be committed together: those that wait and
// were uploaded to one session. It returns nil, and run ends, if none waits.
func (w *Writer) take() []*pendingWrite {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.running = false
		return nil
	}
	var group, rest []*pendingWrite
	edits := 0
	for _, p := range w.queue {
		if edits += len(p.Edits); p.session == w.queue[0].session && (len(group) == 0 || edits <= groupEditsMax) {
			group = append(group, p)
		} else {
			rest = append(rest, p)
		}
	}
	w.queue = rest
	return group
}

// commitGroup makes the writes of a group visible by one swap, and sets their
// outcomes. It returns the keys of branches that are to be sealed at once.
func (w *Writer) commitGroup(ctx context.Context, group []*pendingWrite) (marked []string) {
	s := group[0].session
	for n := 1; ; n++ {
		live := group[:0:0]
		for _, p := range group {
			if p.leans { // on a write that may be refused itself by now
				p.err, p.leans = nil, false
			}
			if p.err == nil {
				live = append(live, p)
			}
		}
		if len(live) == 0 {
			return nil
		}
		res, err := w.tryGroup(ctx, s, live)
		var failed *branchError
		switch {
		case errors.As(err, &failed):
			failed.fail(live)
			continue
		case n < groupTriesMax && (errors.Is(err, ErrConflict) || errors.Is(err, ErrRefNotFound) || errors.Is(err, ErrRepoNotFound) || errors.Is(err, ErrProtected)):
			continue // built anew, the group tells which of its branches it is
		case errors.Is(err, ErrDoomed):
			err = fmt.Errorf("%w: %w", objstore.ErrThrottled, err) // nothing was changed: the next try has another session
		}
		s.mu.Lock()
		s.swaps++
		s.doom = s.doom || err != nil
		s.mu.Unlock()
		for _, p := range live {
			if p.err == nil || p.leans && err != nil { // not refused by its check
				p.err, p.written.Gen, p.written.Op = err, res.Gen, p.Op
			}
		}
		if err != nil {
			return nil
		}
		return w.marked(w.d.newest().root, live)
	}
}

// errOpenMax is the outcome of a write that would open a commit too many. Branches
// are sealed all the time: a later try succeeds.
var errOpenMax = fmt.Errorf("%d branches have writes that are not sealed, as many as allowed: seal some, or wait: %w", OpenMax, objstore.ErrThrottled)

// branchError is a failure of the writes to one branch.
type branchError struct {
	key string
	err error
}

// Error returns the cause's text.
func (e *branchError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *branchError) Unwrap() error { return e.err }

func (e *branchError) fail(group []*pendingWrite) {
	for _, p := range group {
		if OpenKey(p.Repo, p.Branch) == e.key {
			p.err, p.leans = e.err, false
		}
	}
}

// marked returns the branches whose writes ask for a seal.
func (w *Writer) marked(base *Root, group []*pendingWrite) []string {
	var keys []string
	for _, p := range group {
		marker := w.o.of(base.Repos[p.Repo].Branches[p.Branch].Seal).Marker
		for _, e := range p.Edits {
			if e.Entry != nil && (e.Path == marker || strings.HasSuffix(e.Path, "/"+marker)) {
				keys = append(keys, OpenKey(p.Repo, p.Branch))
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// tryGroup builds the group on the root of this moment and publishes it.
func (w *Writer) tryGroup(ctx context.Context, s *sharedSession, group []*pendingWrite) (Result, error) {
	base, err := w.d.load(ctx)
	if err != nil {
		return Result{}, err
	}
	op, err := w.d.NewOp()
	if err != nil {
		return Result{}, err
	}
	t := Txn{Op: op}
	byBranch := map[string]*branchWrites{}
	var keys []string
	for _, p := range group {
		key := OpenKey(p.Repo, p.Branch)
		if byBranch[key] == nil {
			byBranch[key] = &branchWrites{w: w, s: s, base: base, repo: p.Repo, branch: p.Branch, at: commit.Stamp(w.d.o.Now())}
			keys = append(keys, key)
		}
		byBranch[key].writes = append(byBranch[key].writes, p)
	}
	opened := len(base.root.Open)
	for _, key := range keys {
		_, open := base.root.Open[key]
		if !open && opened >= OpenMax {
			return Result{}, &branchError{key, errOpenMax}
		}
		ops, err := byBranch[key].build(ctx)
		if err != nil {
			return Result{}, &branchError{key, err}
		}
		if !open && len(ops) > 0 {
			opened++
		}
		t.Ops = append(t.Ops, ops...)
	}
	if len(t.Ops) == 0 { // every write was refused by its check
		return Result{Gen: base.root.Gen}, nil
	}
	return s.Publish(ctx, t)
}

// branchWrites are the writes of a group to one branch.
type branchWrites struct {
	w            *Writer
	s            *sharedSession
	base         *loaded
	repo, branch string
	at           time.Time
	writes       []*pendingWrite

	visible *tree.Tree // if a check asked for it
}

// build stores the batch and returns the operations that append it.
func (b *branchWrites) build(ctx context.Context) ([]Op, error) {
	at, err := (&change{root: b.base.root}).branch(b.repo, b.branch)
	if err != nil {
		return nil, err
	}
	var batch overlay
	var who []string
	checked := false
	for _, p := range b.writes {
		err := allowed(b.repo, b.branch, at, auth.Principal{Name: p.who})
		if err == nil && p.checked {
			checked = true
			err = b.check(ctx, p, &batch)
		}
		if err == nil {
			err = b.keep(ctx, p, &batch)
		}
		if p.err = err; err != nil {
			continue
		}
		p.written.Time = b.at
		for i := range p.Edits {
			batch.add(p.Edits[i].edit(b.at, p.Op))
		}
		if !slices.Contains(who, p.who) {
			who = append(who, p.who)
		}
	}
	if len(batch.edits) == 0 {
		return nil, nil
	}
	saved, err := batch.save(ctx, b.s)
	if err != nil {
		return nil, err
	}
	add := appendOpen{Repo: b.repo, Branch: b.branch, Who: who, Batch: saved}
	o, open := b.base.root.Open[OpenKey(b.repo, b.branch)]
	if checked {
		add.Expect = &openAt{Base: at.Commit, Gen: o.Gen}
	}
	if t := b.w.touched.by[OpenKey(b.repo, b.branch)]; t != nil {
		t.own[saved.Tree.ID] = batch.edits
	}
	if !open || len(o.Batches) < openCompact && o.pending() < openFold {
		return []Op{add}, nil
	}
	fold, err := b.fold(ctx, &o)
	if err != nil {
		return nil, err
	}
	return []Op{fold, add}, nil
}

// keep fails with errSealFirst if a write would take away something that is not
// sealed yet, or that another of the group writes.
func (b *branchWrites) keep(ctx context.Context, p *pendingWrite, batch *overlay) error {
	if p.later >= postponeMax {
		return nil
	}
	for i := range p.Edits {
		e := &p.Edits[i]
		if !e.Keep {
			continue
		}
		if batch.find(e.Path) != nil {
			return errSealFirst
		}
		o, open := b.base.root.Open[OpenKey(b.repo, b.branch)]
		if !open {
			continue
		}
		t, err := b.w.touched.of(ctx, b.s, OpenKey(b.repo, b.branch), &o)
		if err != nil {
			return err
		}
		if !t.paths[e.Path] {
			continue
		}
		if loses, err := b.loses(ctx, e, &o); err != nil {
			return err
		} else if loses {
			return errSealFirst
		}
	}
	return nil
}

// loses reports whether an edit takes away what an open commit has at its path.
func (b *branchWrites) loses(ctx context.Context, e *OpenEdit, o *OpenCommit) (bool, error) {
	now, err := b.find(ctx, e.Path, &overlay{})
	if err != nil {
		return false, err
	}
	sealed, err := treeOf(ctx, b.s, o.Base)
	if err != nil {
		return false, err
	}
	before, err := tree.Open(b.s, sealed).Find(ctx, e.Path)
	if err != nil {
		return false, err
	}
	is, was, next := written(now), written(before), written(e.Entry)
	switch {
	case is == nil && was == nil:
		return false, nil
	case is != nil && next != nil && is.Content == next.Content:
		return false, nil
	case is != nil && was != nil && is.Attrs.Op == was.Attrs.Op:
		return false, nil
	}
	return true, nil
}

// written returns what was written at the path of an OpenEdit: the file, link or
// marker that an entry is or has, nil if there is none.
func written(e *tree.Entry) *tree.Marker {
	switch {
	case e == nil, e.Kind == tree.Dir && e.Marker == nil:
		return nil
	case e.Marker != nil:
		return e.Marker
	}
	return &tree.Marker{Content: e.Content, Attrs: e.Attrs}
}

// check asks the conditions of a write, given what is visible and what the
// group has before it.
func (b *branchWrites) check(ctx context.Context, p *pendingWrite, batch *overlay) error {
	for i := range p.Edits {
		if p.Edits[i].Check == nil {
			continue
		}
		there, err := b.find(ctx, p.Edits[i].Path, batch)
		if err != nil {
			return err
		}
		if there != nil && p.Edits[i].Entry != nil && there.Attrs.Op == tree.OpID(p.Op) {
			continue // this very write, which is repeated
		}
		if err := p.Edits[i].Check(there); err != nil {
			p.leans = batch.find(p.Edits[i].Path) != nil
			return err
		}
	}
	return nil
}

// find returns the entry at the path of an OpenEdit, or nil.
func (b *branchWrites) find(ctx context.Context, path string, batch *overlay) (*tree.Entry, error) {
	if e := batch.find(path); e != nil {
		switch {
		case e.Op == tree.Put:
			return &e.Entry, nil
		case e.Op == tree.Mark && e.Marker != nil:
			return &tree.Entry{Kind: tree.Dir, Marker: e.Marker}, nil
		default:
			return nil, nil
		}
	}
	if b.visible == nil {
		v, err := b.w.d.look(ctx, b.base, b.repo, b.branch)
		if err != nil {
			return nil, err
		}
		b.visible = v.Tree()
	}
	e, err := b.visible.Find(ctx, path)
	if e != nil && e.Kind == tree.Dir && e.Marker == nil {
		return nil, err
	}
	return e, err
}

// fold returns the operation that makes few batches of many: one of them all,
// or none, when they are as many as a tree is changed for.
func (b *branchWrites) fold(ctx context.Context, o *OpenCommit) (Op, error) {
	writes, err := loadOverlay(ctx, b.s, o.Batches)
	if err != nil {
		return nil, err
	}
	op := foldOpen{Repo: b.repo, Branch: b.branch, Base: o.Base, Old: o.Tree, From: o.batchIDs()}
	if len(writes.edits) < openFold {
		saved, err := writes.save(ctx, b.s)
		op.To = &saved
		b.folded(&op)
		return op, err
	}
	if op.Below, err = o.below(ctx, b.s); err != nil {
		return nil, err
	}
	root, err := tree.Apply(ctx, b.s, op.Below, writes.edits)
	op.Tree = &root
	b.folded(&op)
	return op, err
}

func (b *branchWrites) folded(op *foldOpen) {
	if t := b.w.touched.by[OpenKey(b.repo, b.branch)]; t != nil && t.base == op.Base {
		t.folded(op)
	}
}
