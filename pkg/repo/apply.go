package repo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
)

// TxnOpsMax is the largest number of Ops in a Txn.
const TxnOpsMax = 4096

// Env is what a transaction brings along besides its operations.
type Env struct {
	Now       time.Time      // of the change
	Principal auth.Principal // who makes it
	Start     uint64         // generation at which the session started, zero if there is none
	Needs     []string       // keys of index segments that must be in the base: the session relied on them
	Add       []Segment      // index segments with the session's chunks, and merged ones
	Drop      []string       // keys of index segments that merged ones replace; they must be in the base
	Attachments
	Collection *Collection // nil unless garbage collection makes the change
}

// Attachments are changes of a root below the level of names, for the layers
// that keep segments of their own in it.
type Attachments struct {
	AddMemo, DropMemo       []string // keys of memo segments; those to be dropped must be there
	AddHistory, DropHistory []string // keys of history segments; likewise
	// Adopt names index segments of sessions that have ended without publishing
	// them: their chunks count from then on, without being copied. They must be
	// complete (else chunk.ErrNotFound), and their sessions not below the floor
	// (else ErrDoomed); nothing is changed then.
	Adopt []string
	Term  uint64 // if not zero the base must be at this term, see ErrDeposed
	Lead  string // if not empty, raises the term by one with this leader
}

var (
	// ErrDoomed: the session started before the floor of garbage collection.
	// Nothing was changed; open a new session and write the chunks again.
	ErrDoomed = errors.New("session is too old to publish")
	// ErrDeposed: another daemon leads the store by now. Nothing was changed.
	ErrDeposed = errors.New("another daemon leads this store")
	// errMoved: the index is another than the one the session was checked
	// against. It is checked again before the next attempt.
	errMoved = errors.New("index changed meanwhile")
)

// Apply returns the root that follows base when t is applied. It is a pure
// function: base is not changed, and the result shares what stays equal. A t
// whose Op base remembers gives base itself and Result.Replay.
//
// It does not look at commits: whether To descends from Expect, and whether
// what it reaches is stored, is checked before.
func Apply(base *Root, t Txn, env Env) (*Root, Result, error) {
	if t.Op.IsZero() {
		return nil, Result{}, invalid("transaction without an operation ID")
	}
	if rec, ok := base.FindOp(t.Op); ok {
		return base, Result{Gen: rec.Gen, Replay: true, Moved: rec.Moved}, nil
	}
	if len(t.Ops) > TxnOpsMax {
		return nil, Result{}, invalid("transaction of %d operations exceeds the limit of %d", len(t.Ops), TxnOpsMax)
	}
	if err := checkFeatures(base.Features, true); err != nil {
		return nil, Result{}, err
	}
	if err := env.check(base); err != nil {
		return nil, Result{}, err
	}
	prev, err := EncodeRoot(base)
	if err != nil {
		return nil, Result{}, err
	}
	next := *base
	next.Gen, next.Op, next.Prev = base.Gen+1, t.Op, HashRoot(prev)
	next.Repos = maps.Clone(base.Repos)
	if next.Repos == nil {
		next.Repos = map[string]Repo{}
	}
	env.apply(&next)
	c := change{root: &next, env: &env, owned: map[string]bool{}, rec: OpRecord{Op: t.Op, Gen: next.Gen, Open: openOnly(t)}}
	for i, op := range t.Ops {
		if err := c.apply(op); err != nil {
			if len(t.Ops) > 1 {
				err = fmt.Errorf("operation %d of %d: %w", i+1, len(t.Ops), err)
			}
			return nil, Result{}, err
		}
	}
	next.Ops = remember(base.Ops, c.rec)
	return &next, Result{Gen: next.Gen, Moved: c.rec.Moved}, nil
}

func (e *Env) check(base *Root) error {
	if e.Start > 0 && e.Start < base.Floor {
		return fmt.Errorf("session started at root generation %d, the floor is %d: %w", e.Start, base.Floor, ErrDoomed)
	}
	if e.Term != 0 && e.Term != base.Term {
		return fmt.Errorf("term %d was followed by term %d of %q: %w", e.Term, base.Term, base.Leader, ErrDeposed)
	}
	there := map[string]bool{}
	for _, s := range base.Segments {
		there[s.Key] = true
	}
	for _, key := range slices.Concat(e.Needs, e.Drop) {
		if !there[key] {
			return fmt.Errorf("index segment %s is gone: %w", key, errMoved)
		}
	}
	if err := dropAll("memo", base.Memo, e.DropMemo); err != nil {
		return err
	}
	if err := dropAll("history", base.History, e.DropHistory); err != nil {
		return err
	}
	if err := checkAttached(slices.Concat(e.AddMemo, e.AddHistory), base.Floor); err != nil || e.Collection == nil {
		return err
	}
	return e.Collection.check(base)
}

func dropAll(what string, have, drop []string) error {
	for _, key := range drop {
		if !slices.Contains(have, key) {
			return fmt.Errorf("%s segment %s was replaced by another: %w", what, key, ErrConflict)
		}
	}
	return nil
}

// apply makes the changes below the level of names.
func (e *Env) apply(next *Root) {
	dropped := func(key string) bool { return slices.Contains(e.Drop, key) }
	var segments []Segment
	for _, s := range next.Segments {
		if !dropped(s.Key) {
			segments = append(segments, s)
		}
	}
	next.Segments = append(segments, e.Add...)
	next.Memo = replaceKeys(next.Memo, e.DropMemo, e.AddMemo)
	next.History = replaceKeys(next.History, e.DropHistory, e.AddHistory)
	if e.Lead != "" {
		next.Term++
		next.Leader = e.Lead
	}
	if e.Collection != nil {
		e.Collection.apply(next)
	}
}

func replaceKeys(have, drop, add []string) []string {
	if len(drop) == 0 && len(add) == 0 {
		return have
	}
	var keys []string
	for _, key := range have {
		if !slices.Contains(drop, key) {
			keys = append(keys, key)
		}
	}
	return append(keys, add...)
}

// change applies operations to the names of a root under construction.
type change struct {
	root    *Root
	env     *Env
	owned   map[string]bool // repos whose maps are copies
	ownOpen bool            // the map of open commits is one
	rec     OpRecord
}

func (c *change) apply(op Op) error {
	switch op := op.(type) {
	case CreateRepo:
		return c.createRepo(op)
	case DeleteRepo:
		return c.deleteRepo(op)
	case CreateBranch:
		return c.createBranch(op)
	case MoveBranch:
		return c.moveBranch(op)
	case DeleteBranch:
		return c.deleteBranch(op)
	case CreateTag:
		return c.createTag(op)
	case DeleteTag:
		return c.deleteTag(op)
	case MoveSpec:
		return c.moveSpec(op)
	case Protect:
		return c.protect(op)
	case SetSealing:
		return c.setSealing(op)
	case SetRetention:
		return c.setRetention(op)
	case appendOpen:
		return c.appendOpen(op)
	case foldOpen:
		return c.foldOpen(op)
	case sealOpen:
		return c.sealOpen(op)
	case Seal:
		return c.sealed(op.Repo, op.Branch)
	default:
		return invalid("operation of unknown type %T", op)
	}
}

// open returns a repo whose maps may be changed, and which put stores.
func (c *change) open(name string) (Repo, error) {
	r, ok := c.root.Repos[name]
	if !ok {
		return Repo{}, fmt.Errorf("repo %.80q: %w", name, ErrRepoNotFound)
	}
	if !c.owned[name] {
		r.Branches, r.Tags, r.Specs = maps.Clone(r.Branches), maps.Clone(r.Tags), maps.Clone(r.Specs)
		c.owned[name] = true
	}
	if r.Branches == nil {
		r.Branches = map[string]Branch{}
	}
	if r.Tags == nil {
		r.Tags = map[string]Tag{}
	}
	if r.Specs == nil {
		r.Specs = map[string]Branch{}
	}
	return r, nil
}

func (c *change) put(name string, r Repo) {
	if len(r.Branches) == 0 {
		r.Branches = nil
	}
	if len(r.Tags) == 0 {
		r.Tags = nil
	}
	if len(r.Specs) == 0 {
		r.Specs = nil
	}
	c.root.Repos[name] = r
}

func (c *change) moved(repo, branch string, to commit.ID) {
	if len(c.rec.Moved) < MovedMax {
		c.rec.Moved = append(c.rec.Moved, Moved{Repo: repo, Branch: branch, Commit: to})
	}
}

// allowed reports whether the principal may move or delete the branch.
func (c *change) allowed(repo, name string, b Branch) error {
	return allowed(repo, name, b, c.env.Principal)
}

func allowed(repo, name string, b Branch, who auth.Principal) error {
	if err := b.CheckMover(who); err != nil {
		return fmt.Errorf("%s@%s: %w", repo, name, err)
	}
	return nil
}
