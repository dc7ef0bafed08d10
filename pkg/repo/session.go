package repo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// SessionPrefix is where objects say which sessions are at work: each is empty
// and has the name of its session.
const SessionPrefix = "sessions/"

// closeTimeout is how long Close waits for the session's object to go.
const closeTimeout = 10 * time.Second

// session is a Session of a Direct.
type session struct {
	*pack.Session
	d     *Direct
	start uint64 // generation of the root when it began
	floor uint64 // of that root
	lease lease
	saves checkpoints
	nodes *tree.Cache

	publishing sync.Mutex // held during Publish

	mu      sync.Mutex
	base    *loaded // what the pack session builds on
	commits map[commit.ID]bool
	merges  int // merged segments written so far
	closed  bool
}

var _ Session = (*session)(nil)

// Session implements [Store]. Uploads in the background end when ctx does.
func (d *Direct) Session(ctx context.Context, s Scope) (Session, error) {
	if err := CheckRepoName(s.Repo); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	return d.newSession(ctx)
}

func (d *Direct) newSession(ctx context.Context) (*session, error) {
	base, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkFeatures(base.root.Features, true); err != nil {
		return nil, err
	}
	snap, err := d.snapshot(ctx, base)
	if err != nil {
		return nil, err
	}
	var random [16]byte
	if err := d.random(random[:]); err != nil {
		return nil, err
	}
	name, err := pack.SessionName(base.root.Gen, hex.EncodeToString(random[:]))
	if err != nil {
		return nil, err
	}
	if err := putNew(ctx, d.objects, SessionPrefix+name, nil); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	ps, err := d.packs.Session(ctx, snap, name)
	if err != nil {
		return nil, err
	}
	now := d.o.Now()
	return &session{
		Session: ps, d: d, start: base.root.Gen, floor: base.root.Floor, base: base, commits: map[commit.ID]bool{},
		lease: lease{key: SessionPrefix + name, begun: now, renewed: now},
		saves: checkpoints{last: now}, nodes: tree.NewCache(sessionCache),
	}, nil
}

// sessionCache is what directory nodes may take that a session has read or
// written, in bytes: those of a small change are then decoded once, however
// often it is looked at on the way to the root.
const sessionCache = 8 << 20

// Nodes says how nodes are kept, see [tree.CacheOf].
func (s *session) Nodes() *tree.Cache { return s.nodes }

// Put implements chunk.Store.
func (s *session) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	if err := s.lease.keep(ctx, s.d); err != nil {
		return chunk.ID{}, err
	}
	if kind == chunk.Gone {
		return chunk.ID{}, invalid("put a chunk of kind %v: only collection does", kind)
	}
	id, err := s.Session.Put(ctx, kind, data)
	if err == nil && kind == chunk.Commit {
		s.mu.Lock()
		s.commits[commit.ID(id)] = true
		s.mu.Unlock()
	}
	if err == nil {
		s.checkpoint(ctx, len(data))
	}
	return id, err
}

// Get implements chunk.Reader. What is not in the session's base may be in the
// root of the day, which then becomes the base.
func (s *session) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	s.mu.Lock()
	looked := s.base
	s.mu.Unlock()
	b, err := s.Session.Get(ctx, kind, id)
	if err == nil || !errors.Is(err, chunk.ErrNotFound) && !errors.Is(err, pack.ErrMissing) {
		return b, err
	}
	now, lerr := s.d.load(ctx)
	if lerr == nil && s.behind(now) {
		lerr = s.follows(ctx, now)
	}
	if lerr == nil && s.behind(now) {
		var snap *pack.Snapshot
		if snap, lerr = s.d.snapshot(ctx, now); lerr == nil {
			lerr = s.rebase(ctx, now, snap)
		}
	}
	if lerr != nil && !errors.Is(lerr, errOvertaken) {
		return nil, errors.Join(err, lerr)
	}
	s.mu.Lock()
	same := s.base == looked
	s.mu.Unlock()
	if !same {
		b, err = s.Session.Get(ctx, kind, id) // the base is another now, perhaps by another call
	}
	if err != nil {
		return nil, expired(ctx, s.Session.Has, kind, id, err)
	}
	return b, nil
}

// GetMany implements chunk.BatchReader.
func (s *session) GetMany(ctx context.Context, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	return getMany(ctx, s.Session, s, kind, ids, fn)
}

func (s *session) behind(now *loaded) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base.root.Gen < now.root.Gen
}

// Publish implements [Session].
func (s *session) Publish(ctx context.Context, t Txn) (Result, error) {
	if len(t.Ops) == 0 {
		return Result{}, invalid("transaction without operations")
	}
	return s.publish(ctx, t, Attachments{})
}

// publish does the work of Publish. Branches that have open writes are sealed
// first, which mostly means that they are not where t expected them.
func (s *session) publish(ctx context.Context, t Txn, a Attachments) (Result, error) {
	res, err := s.publishOnce(ctx, t, a)
	if !errors.Is(err, ErrOpen) {
		return res, err
	}
	if err := s.d.sealFor(ctx, t); err != nil {
		return Result{}, err
	}
	return s.publishOnce(ctx, t, a)
}

func (s *session) publishOnce(ctx context.Context, t Txn, a Attachments) (Result, error) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if err := s.lease.keep(ctx, s.d); err != nil {
		return Result{}, err
	}
	if err := s.Flush(ctx); err != nil {
		return Result{}, err
	}
	p := publication{s: s, t: t, attach: a, named: s.Segments()}
	// What takes long is done before the turn to swap is taken.
	base, err := s.d.load(ctx)
	if err != nil {
		return Result{}, err
	}
	if _, ok := base.root.FindOp(t.Op); !ok {
		if err := p.ground(ctx, base); err != nil && !errors.Is(err, errOvertaken) {
			return Result{}, err
		}
	}
	res, at, err := s.d.swap(ctx, t, p.prepare)
	if err != nil {
		return Result{}, err
	}
	if !res.Replay {
		p.settle(ctx, at)
	}
	return res, nil
}

// Close implements [Session].
func (s *session) Close() error {
	err := s.Session.Close()
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		// Best effort: GC takes a session that stays for a dead one.
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = s.d.objects.Delete(ctx, SessionPrefix+s.Name())
	}
	return err
}

// publication is one Publish of a session, over all its attempts.
type publication struct {
	s       *session
	t       Txn
	attach  Attachments
	checked []string // index segments against which the closure was checked, with this floor
	seen    uint64
	merged  *merged
	named   []string // the session's segments, without those of a flush since
}

// prepare makes the Env for base.
func (p *publication) prepare(ctx context.Context, base *loaded) (Env, error) {
	env, err := p.s.d.env(ctx)
	if err != nil {
		return Env{}, err
	}
	if _, ok := base.root.FindOp(p.t.Op); ok {
		return env, nil
	}
	if err := p.ground(ctx, base); err != nil {
		return Env{}, err
	}
	env.Attachments = p.attach
	env.Start = p.s.start
	env.Needs = p.checked
	if env.Add, err = p.s.segments(ctx, p.named); err != nil {
		return Env{}, err
	}
	if len(p.attach.Adopt) > 0 {
		taken, err := p.s.d.adopt(ctx, base, p.attach.Adopt)
		if err != nil {
			return Env{}, err
		}
		env.Add = append(env.Add, taken.add...)
		env.Start = min(env.Start, taken.start)
	}
	// An earlier transaction of unknown outcome may have named them.
	env.Add = slices.DeleteFunc(env.Add, func(s Segment) bool { return slices.Contains(base.root.segmentKeys(), s.Key) })
	return p.merge(ctx, base.root, env)
}

func (s *session) wrote(id commit.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits[id]
}

// rebase moves the session to a newer root, if what it relies on is there. It
// fails with errOvertaken if the session builds on a newer one already: what it
// relies on may be only there.
func (s *session) rebase(ctx context.Context, base *loaded, snap *pack.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base.root.Gen > base.root.Gen {
		return errOvertaken
	}
	lacks, err := s.Lacks(ctx, snap)
	if err != nil {
		return err
	}
	if lacks != "" {
		return fmt.Errorf("pack %s, which the session relies on, was collected: %w", lacks, ErrDoomed)
	}
	if s.base.root.Gen == base.root.Gen {
		return nil
	}
	if err := s.Rebase(ctx, snap, nil); err != nil {
		return err
	}
	s.base = base
	return nil
}

// segments describes index segments of the session.
func (s *session) segments(ctx context.Context, keys []string) ([]Segment, error) {
	snap, err := s.d.packs.Snapshot(ctx, keys)
	if err != nil {
		return nil, err
	}
	return describe(snap), nil
}

func describe(snap *pack.Snapshot) []Segment {
	var all []Segment
	for _, info := range snap.Describe() {
		all = append(all, Segment{Key: info.Key, Chunks: int64(info.Chunks)})
	}
	return all
}

// settle makes the root that was published the session's base. If it can't,
// the session stays on the old one, which is as good.
func (p *publication) settle(ctx context.Context, at *loaded) {
	snap, err := p.s.d.snapshot(ctx, at)
	if err != nil {
		return
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if err := p.s.Rebase(ctx, snap, p.named); err == nil { // not those of a flush since
		p.s.base = at
	}
}

// env returns the Env of a transaction that brings nothing along.
func (d *Direct) env(ctx context.Context) (Env, error) {
	p, err := auth.From(ctx)
	if err != nil {
		return Env{}, err
	}
	return Env{Now: d.o.Now(), Principal: p}, nil
}

// Move implements [Store].
func (d *Direct) Move(ctx context.Context, t Txn) (Result, error) {
	if len(t.Ops) == 0 {
		return Result{}, invalid("transaction without operations")
	}
	for _, op := range t.Ops {
		if op, ok := op.(Seal); ok && len(t.Ops) == 1 {
			return d.seal(ctx, t.Op, op.Repo, op.Branch)
		}
	}
	return d.move(ctx, t, Attachments{})
}

// move applies a transaction without new chunks. Branches that have open
// writes are sealed first, see session.publish.
func (d *Direct) move(ctx context.Context, t Txn, a Attachments) (Result, error) {
	res, err := d.moveOnce(ctx, t, a)
	if !errors.Is(err, ErrOpen) {
		return res, err
	}
	if err := d.sealFor(ctx, t); err != nil {
		return Result{}, err
	}
	return d.moveOnce(ctx, t, a)
}

func (d *Direct) moveOnce(ctx context.Context, t Txn, a Attachments) (Result, error) {
	res, _, err := d.swap(ctx, t, func(ctx context.Context, base *loaded) (Env, error) {
		env, err := d.env(ctx)
		if err != nil {
			return Env{}, err
		}
		env.Attachments = a
		if _, ok := base.root.FindOp(t.Op); ok {
			return env, nil
		}
		snap, err := d.snapshot(ctx, base)
		if err != nil {
			return Env{}, err
		}
		c := closure{root: base.root, base: snap, r: snap, has: snap.Has, owner: env.Principal == auth.Owner, sound: &d.sound}
		return env, c.check(ctx, t)
	})
	return res, err
}

// PublishWith applies t together with attachments, for the layers that keep
// segments of their own in the root. s is a session of this store, or nil for
// a transaction without new chunks; t may have no Ops: a checkpoint. The
// objects that a names must be stored before.
func (d *Direct) PublishWith(ctx context.Context, s Session, t Txn, a Attachments) (Result, error) {
	if s == nil {
		return d.move(ctx, t, a)
	}
	own, ok := s.(*session)
	if !ok || own.d != d {
		return Result{}, invalid("publish: %T is not a session of this store", s)
	}
	return own.publish(ctx, t, a)
}
