package gc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// HealOptions of Heal. Now, and one of Files and Store, are required.
type HealOptions struct {
	Now   func() time.Time
	Files fs.FS        // files that may have the contents that were lost, under whatever names
	Store chunk.Reader // another store that may have the chunks

	ReadData bool // read all packs to find what is lost, not only metadata
	DryRun   bool
	Workers  int
	Progress func(Progress) // may be nil
}

// HealReport says what Heal found and did.
type HealReport struct {
	DryRun  bool   `json:"dryRun"`
	Lost    int    `json:"lost"`    // chunks that were absent or damaged
	Found   int    `json:"found"`   // of these, and of what they point to, stored again
	Rescued int    `json:"rescued"` // sound chunks of damaged packs, stored again so that the packs can go
	Files   int    `json:"files"`   // files that were read
	Left    int    `json:"left"`    // chunks that are still lost
	Gen     uint64 `json:"gen,omitempty"`
}

// Heal stores chunks again that are absent or damaged, by their content: what
// it takes from files or from another store has the ID of what was lost, or is
// not taken. It adds packs and an index segment and deletes nothing; a
// collection later drops the damaged copies. It begins anew when a collection
// comes between.
func Heal(ctx context.Context, objects objstore.Store, ro repo.Options, o HealOptions) (HealReport, error) {
	return unlessOvertaken(func() (HealReport, error) { return healOnce(ctx, objects, ro, o) })
}

func healOnce(ctx context.Context, objects objstore.Store, ro repo.Options, o HealOptions) (HealReport, error) {
	h := &healer{o: o, rep: HealReport{DryRun: o.DryRun}}
	err := h.run(ctx, objects, ro)
	if err != nil {
		err = fmt.Errorf("heal: %w", err)
	}
	return h.rep, err
}

type healer struct {
	o   HealOptions
	rep HealReport

	c      *collector
	ck     *checker
	out    *pack.Session
	healed map[chunk.Ref]bool
}

func (h *healer) run(ctx context.Context, objects objstore.Store, ro repo.Options) error {
	if (h.o.Files == nil) == (h.o.Store == nil) {
		return fmt.Errorf("want files or a store to take from: %w", fs.ErrInvalid)
	}
	level := CheckClosure
	if h.o.ReadData {
		level = CheckData
	}
	co := CheckOptions{Now: h.o.Now, Level: level, Workers: h.o.Workers, Progress: h.o.Progress}
	if err := co.applyDefaults(); err != nil {
		return err
	}
	h.ck = &checker{objects: objects, o: co}
	h.ck.f = &findings{rep: &h.ck.rep, tell: co.Tell}
	d, err := repo.OpenDirect(ctx, objects, ro)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	h.ck.d = d
	if err := h.ck.levels(ctx); err != nil {
		return err
	}
	h.rep.Lost, h.rep.Left = len(h.ck.bad.refs), len(h.ck.bad.refs)
	if h.rep.Lost+len(h.ck.failed) == 0 {
		return nil
	}
	return h.take(ctx, d)
}

// take looks for what is lost and publishes what it finds.
func (h *healer) take(ctx context.Context, d *repo.Direct) (err error) {
	h.healed = map[chunk.Ref]bool{}
	h.c = &collector{d: d, base: h.ck.root}
	if !h.o.DryRun {
		if h.c.session, err = d.Collector(ctx); err != nil {
			return err
		}
		defer h.c.leave()
		if h.out, err = d.Packs().Session(ctx, nil, h.c.session.Name); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, h.out.Close()) }()
	}
	if h.o.Store != nil {
		err = h.fromStore(ctx)
	} else {
		err = h.fromFiles(ctx, d.Config().Chunker)
	}
	if err != nil {
		return err
	}
	h.rep.Found = len(h.healed)
	for _, r := range h.ck.bad.list() {
		if h.healed[r] {
			h.rep.Left--
		}
	}
	if err := h.rescue(ctx); err != nil {
		return err
	}
	if h.o.DryRun || h.rep.Found+h.rep.Rescued == 0 {
		return nil
	}
	if err := h.out.Flush(ctx); err != nil {
		return err
	}
	add, err := h.c.segments(ctx, h.out.Segments())
	if err != nil {
		return err
	}
	root, err := h.c.replaceIndex(ctx, nil, add)
	if err == nil {
		h.rep.Gen = root.Gen
	}
	return err
}

// rescue stores again what is sound in damaged packs, so that a collection can
// drop the packs. What of it is live is not known while metadata is lost.
func (h *healer) rescue(ctx context.Context) error {
	return h.ck.inv.Each(0, func(_, n int, e *pack.Entry) error {
		r := chunk.Ref{Kind: e.Kind, ID: e.ID}
		if !h.ck.failed[n] || h.ck.bad.has(r) {
			return nil
		}
		b, err := h.ck.snap.Get(ctx, e.Kind, e.ID)
		if err != nil {
			return err
		}
		h.rep.Rescued++
		_, err = h.store(ctx, e.Kind, b)
		return err
	})
}

// put keeps a chunk.
func (h *healer) put(ctx context.Context, r chunk.Ref, b []byte) error {
	id, err := h.store(ctx, r.Kind, b)
	if err == nil && id != r.ID {
		err = fmt.Errorf("%v %v came with other bytes: %w", r.Kind, r.ID.Short(), chunk.ErrCorrupt)
	}
	h.healed[r] = err == nil
	return err
}

// store stores a chunk, or with DryRun only says what it would be called.
func (h *healer) store(ctx context.Context, kind chunk.Kind, b []byte) (chunk.ID, error) {
	if h.o.DryRun {
		return kind.Sum(b), nil
	}
	return h.out.Put(ctx, kind, b)
}

// fromStore takes the lost chunks from another store, and below lost metadata
// what this store does not have either.
func (h *healer) fromStore(ctx context.Context) error {
	todo := h.ck.bad.list()
	for len(todo) > 0 {
		r := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if h.healed[r] {
			continue
		}
		b, err := h.o.Store.Get(ctx, r.Kind, r.ID)
		if errors.Is(err, chunk.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) {
			continue // that store has lost it too
		}
		if err == nil {
			err = h.put(ctx, r, b)
		}
		if err != nil {
			return err
		}
		below, err := belowOf(r.Kind, b)
		if err != nil {
			return err
		}
		for _, next := range below {
			if _, _, ok := h.ck.inv.Find(next.Kind, &next.ID); !ok || h.ck.bad.has(next) {
				todo = append(todo, next)
			}
		}
	}
	return nil
}

// belowOf returns what a chunk points to.
func belowOf(kind chunk.Kind, b []byte) ([]chunk.Ref, error) {
	switch kind {
	case chunk.Node, chunk.List:
		return refsOf(kind, b)
	case chunk.Commit:
		c, err := commit.Decode(b)
		if err != nil {
			return nil, err
		}
		var refs []chunk.Ref
		for _, t := range c.Trees() {
			refs = append(refs, nodeRef(t))
		}
		for _, p := range c.Parents {
			refs = append(refs, commitRef(p))
		}
		return refs, nil
	default:
		return nil, nil
	}
}

// fromFiles cuts files as the store does, and keeps what was lost.
func (h *healer) fromFiles(ctx context.Context, params chunk.Params) error {
	s := sieve{h}
	return fs.WalkDir(h.o.Files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			return ctx.Err()
		}
		f, err := h.o.Files.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h.rep.Files++
		if _, err := chunk.WriteContent(ctx, s, params, io.Reader(f)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// sieve is a chunk.Store that keeps what was lost and only names the rest.
type sieve struct{ h *healer }

// Get implements chunk.Reader; nothing is read back.
func (s sieve) Get(context.Context, chunk.Kind, chunk.ID) ([]byte, error) {
	return nil, chunk.ErrNotFound
}

// Put implements chunk.Store.
func (s sieve) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	r := chunk.Ref{Kind: kind, ID: kind.Sum(data)}
	if !s.h.ck.bad.has(r) || s.h.healed[r] {
		return r.ID, nil
	}
	return r.ID, s.h.put(ctx, r, data)
}

// Flush implements chunk.Store.
func (s sieve) Flush(context.Context) error { return nil }
