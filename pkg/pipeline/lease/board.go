package lease

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// Patience is how long a worker may give no sign of life before its leases are
// given to others: three beats that are lost, and a minute for a network or a
// node that comes back.
const Patience = 90 * time.Second

// unnamedMax is how many beats of its worker may not name a lease before it
// goes to somebody else: the answer that gave it never arrived, or the worker
// began anew. One beat may have been sent before that answer came.
const unnamedMax = 3

// ErrGone is the error for a worker or a lease that the board does not know,
// any more or since it was made. It wraps fs.ErrPermission.
var ErrGone = fmt.Errorf("the lease has ended: %w", fs.ErrPermission)

// Pool names the tasks that one kind of worker can run: same image, same
// resources, same identity.
type Pool string

// Worker is who takes tasks.
type Worker struct {
	ID   string // unique among all workers ever, such as the UID of a Pod
	Pool Pool
}

// Key is what a worker shows with each call. It can't be guessed.
type Key string

// Lease is a task that a worker is to run.
type Lease struct {
	Token uint64
	Task  task.Task
}

// Options configures a [Board].
type Options struct {
	Now  func() time.Time //
	Rand io.Reader        // of the workers' keys; a source fit for secrets
}

// Board is where tasks wait for workers.
type Board struct {
	o Options

	mu      sync.Mutex
	token   uint64
	queues  map[Pool][]*offer
	members map[Key]*member
	changed chan struct{} // closed at the next change
}

// offer is a task that somebody waits for.
type offer struct {
	pool  Pool
	task  task.Task
	store chunk.Store
	done  chan answer // takes one answer
	token uint64      // of its lease
	scope scope

	unnamed int // beats of its worker that did not name it, in a row
}

type answer struct {
	result task.Result
	err    error
}

// member is an admitted worker.
type member struct {
	Worker
	seen    time.Time
	leases  map[uint64]*offer
	leaving bool // takes no more
}

// New makes an empty board.
func New(o Options) (*Board, error) {
	if o.Now == nil || o.Rand == nil {
		return nil, fmt.Errorf("board of leases needs a clock and a source of secrets: %w", fs.ErrInvalid)
	}
	return &Board{o: o, queues: map[Pool][]*offer{}, members: map[Key]*member{}, changed: make(chan struct{})}, nil
}

// Run offers a task to the workers of a pool and waits for its result. When ctx
// ends, the worker that has it is told with its next beat, and what it reports
// counts no more. An error means that no worker could finish it, and says why.
func (b *Board) Run(ctx context.Context, pool Pool, t task.Task, s chunk.Store) (task.Result, error) {
	o := &offer{pool: pool, task: t, store: s, done: make(chan answer, 1)}
	o.scope.open(t)
	b.mu.Lock()
	b.queues[pool] = append(b.queues[pool], o)
	b.wake()
	b.mu.Unlock()
	select {
	case a := <-o.done:
		return a.result, a.err
	case <-ctx.Done():
		b.withdraw(o)
		return task.Result{}, ctx.Err()
	}
}

// withdraw takes an offer back.
func (b *Board) withdraw(o *offer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setQueue(o.pool, slices.DeleteFunc(b.queues[o.pool], func(w *offer) bool { return w == o }))
	for _, m := range b.members {
		if m.leases[o.token] == o {
			delete(m.leases, o.token)
		}
	}
	b.wake()
}

// wake tells everybody who waits that something changed. The caller holds the
// lock.
func (b *Board) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// setQueue keeps no empty queue. The caller holds the lock.
func (b *Board) setQueue(p Pool, q []*offer) {
	if len(q) == 0 {
		delete(b.queues, p)
		return
	}
	b.queues[p] = q
}

// Admit makes a worker known and returns its key. Who was admitted before gets
// a new key and keeps his leases.
func (b *Board) Admit(w Worker) (Key, error) {
	var secret [16]byte
	if _, err := io.ReadFull(b.o.Rand, secret[:]); err != nil {
		return "", fmt.Errorf("admit worker %s: %w", w.ID, err)
	}
	key := Key(hex.EncodeToString(secret[:]))
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &member{Worker: w, leases: map[uint64]*offer{}}
	for k, old := range b.members {
		if old.ID == w.ID {
			m.leases = old.leases
			delete(b.members, k)
		}
	}
	m.seen = b.o.Now()
	b.members[key] = m
	b.wake()
	return key, nil
}

// member returns a worker that gave a sign of life. The caller holds the lock.
func (b *Board) member(k Key) (*member, error) {
	m, ok := b.members[k]
	if !ok {
		return nil, fmt.Errorf("this worker is not known here, or was given up: %w", ErrGone)
	}
	m.seen = b.o.Now()
	return m, nil
}

// Take leases up to n tasks of the worker's pool to it, in the order in which
// they were offered. It waits until there is one, until ctx ends, or until the
// worker is to leave; then it returns none, and no error.
func (b *Board) Take(ctx context.Context, k Key, n int) ([]Lease, error) {
	for {
		b.mu.Lock()
		m, err := b.member(k)
		if err != nil {
			b.mu.Unlock()
			return nil, err
		}
		leases, changed := b.take(m, n), b.changed
		leaving := m.leaving
		b.mu.Unlock()
		if len(leases) > 0 || leaving {
			return leases, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// take leases what there is. The caller holds the lock.
func (b *Board) take(m *member, n int) []Lease {
	if m.leaving {
		return nil
	}
	q := b.queues[m.Pool]
	n = min(n, len(q))
	leases := make([]Lease, 0, n)
	for _, o := range q[:n] {
		b.token++
		o.token = b.token
		m.leases[o.token] = o
		leases = append(leases, Lease{Token: o.token, Task: o.task})
	}
	b.setQueue(m.Pool, q[n:])
	return leases
}

// Beat is a worker's sign of life. It says which of its leases it works on, and
// learns which of them have ended, and whether it is to leave. A lease that
// three beats in a row leave out is ended, and its task waits again.
func (b *Board) Beat(k Key, tokens []uint64) (ended []uint64, leave bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.member(k)
	if err != nil {
		return nil, false, err
	}
	for _, t := range tokens {
		if m.leases[t] == nil {
			ended = append(ended, t)
		}
	}
	b.reclaim(m, tokens)
	return ended, m.leaving, nil
}

// reclaim offers again what a worker does not know that it has, before what
// came later. The caller holds the lock.
func (b *Board) reclaim(m *member, named []uint64) {
	var lost []*offer
	for t, o := range m.leases {
		if o.unnamed++; slices.Contains(named, t) {
			o.unnamed = 0
		}
		if o.unnamed >= unnamedMax {
			delete(m.leases, t)
			o.unnamed = 0
			lost = append(lost, o)
		}
	}
	if len(lost) == 0 {
		return
	}
	slices.SortFunc(lost, func(x, y *offer) int { return cmp.Compare(x.token, y.token) })
	b.queues[m.Pool] = append(lost, b.queues[m.Pool]...)
	b.wake()
}

// Leave lets a worker take no more. It is told with its next beat.
func (b *Board) Leave(id string) {
	b.each(id, func(_ Key, m *member) { m.leaving = true })
}

// Lost gives a worker up: whoever waits for what it had gets an error with the
// reason.
func (b *Board) Lost(id, reason string) {
	b.each(id, func(k Key, m *member) {
		delete(b.members, k)
		for _, o := range m.leases {
			o.done <- answer{err: errors.New(reason)}
		}
	})
}

func (b *Board) each(id string, do func(Key, *member)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, m := range b.members {
		if m.ID == id {
			do(k, m)
		}
	}
	b.wake()
}

// Refuse ends what waits in a pool with an error: nothing will ever run it.
func (b *Board) Refuse(p Pool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.queues[p] {
		o.done <- answer{err: errors.New(reason)}
	}
	delete(b.queues, p)
	b.wake()
}

// Expire gives up the workers that gave no sign of life for [Patience].
func (b *Board) Expire() {
	b.mu.Lock()
	var silent []string
	for _, m := range b.members {
		if b.o.Now().Sub(m.seen) > Patience {
			silent = append(silent, m.ID)
		}
	}
	b.mu.Unlock()
	for _, id := range silent {
		b.Lost(id, fmt.Sprintf("the worker gave no sign of life for %v: its node is lost, or can't reach the daemon", Patience))
	}
}

// Demand says how much work a pool has.
type Demand struct {
	Waiting int // tasks without a worker
	Leased  int // tasks with one
	Workers int // admitted, and not leaving
}

// Demand returns the work of every pool that has any, or a worker, and a
// channel that is closed when something has changed.
func (b *Board) Demand() (map[Pool]Demand, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[Pool]Demand{}
	for p, q := range b.queues {
		all[p] = Demand{Waiting: len(q)}
	}
	for _, m := range b.members {
		d := all[m.Pool]
		d.Leased += len(m.leases)
		if !m.leaving {
			d.Workers++
		}
		all[m.Pool] = d
	}
	return all, b.changed
}

// Workers returns the IDs of all workers that are known.
func (b *Board) Workers() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]string, 0, len(b.members))
	for _, m := range b.members {
		ids = append(ids, m.ID)
	}
	return ids
}

// Leased returns how many leases a worker has.
func (b *Board) Leased(id string) int {
	n := 0
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.members {
		if m.ID == id {
			n += len(m.leases)
		}
	}
	return n
}
