package gc

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// task is a chunk to be marked with what is below it.
type task struct {
	chunk.Ref
}

// marker marks what is live. Between calls of mark it may be moved to a newer
// inventory.
type marker struct {
	inv     *pack.Inventory
	r       chunk.Reader // over the same segments
	live    bitmap       // entries of chunks that stay
	workers int
	report  func(chunks int64)
	found   func(pack int)     // called for each entry that becomes live, by any goroutine
	expired map[commit.ID]bool // versions whose directories are not marked; not changed while marking

	// problem is told, by any goroutine, of chunks that are absent or can't be
	// read; then marking goes on. Nil: the first one ends it.
	problem func(t task, err error)

	mu      sync.Mutex
	wake    *sync.Cond
	todo    []task
	busy    int // workers that may yet add to todo
	err     error
	lenient bool
	absent  int64 // chunks that were not there when the marker was lenient
	marked  int64
}

// mark marks the chunks of the tasks and all below them. A chunk that is not
// in the index fails with chunk.ErrCorrupt, unless lenient is set.
func (m *marker) mark(ctx context.Context, tasks []task, lenient bool) error {
	m.live.grow(m.inv.Len())
	m.wake, m.todo, m.err, m.lenient = sync.NewCond(&m.mu), nil, nil, lenient
	if err := m.add(tasks); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { m.fail(ctx.Err()) })
	defer stop()
	var all sync.WaitGroup
	for range m.workers {
		all.Go(func() { m.work(ctx) })
	}
	all.Wait()
	return m.err
}

// errAbsent is the error for a chunk that should be indexed.
var errAbsent = fmt.Errorf("not in the index, run dvx fsck: %w", chunk.ErrCorrupt)

// work takes tasks until there are none and will be none.
func (m *marker) work(ctx context.Context) {
	for {
		m.mu.Lock()
		for len(m.todo) == 0 && m.busy > 0 && m.err == nil {
			m.wake.Wait()
		}
		if len(m.todo) == 0 || m.err != nil {
			m.wake.Broadcast()
			m.mu.Unlock()
			return
		}
		t := m.todo[len(m.todo)-1] // the deepest first: the list stays short
		m.todo = m.todo[:len(m.todo)-1]
		m.busy++
		m.mu.Unlock()
		below, err := m.below(ctx, t)
		if err == nil {
			err = m.add(below)
		}
		m.mu.Lock()
		if m.busy--; m.busy == 0 {
			m.wake.Broadcast()
		}
		m.mu.Unlock()
		if err != nil && m.problem != nil && ctx.Err() == nil {
			m.problem(t, err)
		} else if err != nil {
			m.fail(fmt.Errorf("mark %v %v: %w", t.Kind, t.ID.Short(), err))
		}
	}
}

func (m *marker) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
	m.wake.Broadcast()
}

// add marks the chunks themselves, and remembers those below which there is
// more.
func (m *marker) add(tasks []task) error {
	var more []task
	var marked, absent int64
	for _, t := range tasks {
		at, p, ok := m.inv.Find(t.Kind, &t.ID)
		if !ok {
			switch {
			case m.problem != nil:
				m.problem(t, errAbsent)
			case m.lenient:
				absent++
			default:
				return fmt.Errorf("%v %v is live and %w", t.Kind, t.ID.Short(), errAbsent)
			}
			continue
		}
		fresh := m.live.set(at)
		if fresh {
			marked++
			m.found(p)
		}
		if fresh && t.Kind.Meta() {
			more = append(more, t)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marked += marked
	m.absent += absent
	if len(more) > 0 {
		m.todo = append(m.todo, more...)
		m.wake.Broadcast()
		m.report(m.marked)
	}
	return nil
}

// below reads a chunk and returns what it points to.
func (m *marker) below(ctx context.Context, t task) ([]task, error) {
	b, err := m.r.Get(ctx, t.Kind, t.ID)
	if err != nil {
		return nil, err
	}
	if t.Kind == chunk.Commit {
		return m.belowCommit(commit.ID(t.ID), b)
	}
	refs, err := refsOf(t.Kind, b)
	tasks := make([]task, len(refs))
	for i, r := range refs {
		tasks[i].Ref = r
	}
	return tasks, err
}

// refsOf returns what a node or list points to.
func refsOf(kind chunk.Kind, b []byte) ([]chunk.Ref, error) {
	switch kind {
	case chunk.Node:
		return tree.NodeRefs(b)
	case chunk.List:
		return chunk.ListRefs(b)
	default:
		return nil, nil
	}
}

func (m *marker) belowCommit(id commit.ID, b []byte) ([]task, error) {
	c, err := commit.Decode(b)
	if err != nil {
		return nil, err
	}
	var tasks []task
	for _, root := range filesOf(&c) {
		note := repo.GoneRef(root.ID)
		switch {
		case m.expired[id] && has(m.inv, note), gone(m.inv, root):
			tasks = append(tasks, task{Ref: note})
		case !m.expired[id]:
			tasks = append(tasks, task{Ref: nodeRef(root)})
		}
	}
	if marks := c.Marks(); !marks.ID.IsZero() {
		tasks = append(tasks, task{Ref: nodeRef(marks)})
	}
	for _, p := range c.Parents {
		tasks = append(tasks, task{Ref: commitRef(p)})
	}
	return tasks, nil
}

// filesOf returns the directories of a commit that can expire: its files, and
// the datum table. The index of its history belongs to the log.
func filesOf(c *commit.Commit) []tree.Root {
	roots := []tree.Root{c.Tree, c.Datums()}
	return slices.DeleteFunc(roots, func(r tree.Root) bool { return r.ID.IsZero() })
}

// gone reports whether retention has given a directory up.
func gone(inv *pack.Inventory, root tree.Root) bool {
	return !has(inv, nodeRef(root)) && has(inv, repo.GoneRef(root.ID))
}

// has reports whether a chunk is indexed.
func has(inv *pack.Inventory, r chunk.Ref) bool {
	_, _, ok := inv.Find(r.Kind, &r.ID)
	return ok
}

func nodeRef(r tree.Root) chunk.Ref { return chunk.Ref{Kind: chunk.Node, ID: chunk.ID(r.ID)} }

func commitRef(id commit.ID) chunk.Ref { return chunk.Ref{Kind: chunk.Commit, ID: chunk.ID(id)} }
