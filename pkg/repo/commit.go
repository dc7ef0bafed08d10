package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Policy says what [Commit] does when the branch is moved by somebody else
// while it works.
type Policy int

const (
	// ExpectParent fails with ErrConflict.
	ExpectParent Policy = iota
	// Rebase makes the change again, on the commit that was faster.
	Rebase
	// Overwrite puts the tree as it is on top of the commit that was faster,
	// and so undoes what that one changed.
	Overwrite
	// RebaseDisjoint joins the change with what was faster if the two touch
	// different paths, and fails with an *OverlapError else.
	RebaseDisjoint
)

// CommitOptions describe a commit.
type CommitOptions struct {
	Repo   string
	Branch string    // the repo's default branch if empty; made if it is not there
	Op     OpID      // required; the same Op again gives the same commit
	Time   time.Time // required; a commit is at least 1 ms newer than its parents, whatever the clock says

	Message   string
	Author    string // the context's principal if empty
	Committer string
	Labels    map[string]string
	Run       string
	Origins   []commit.Ref
	Prov      *commit.Provenance

	// Expect, if not nil, is where the branch must be (zero: empty), else
	// ErrConflict under ExpectParent. Under Overwrite and RebaseDisjoint it is the
	// commit on which the change is made; Rebase does not look at it.
	Expect     *commit.ID
	Merged     []commit.ID // further parents
	AllowEmpty bool        // commit also if the content does not change
	Policy     Policy

	// Check, if not nil, is asked of the tree that is going to be changed, before
	// anything is stored. Its error ends the commit.
	Check func(context.Context, *Draft) error
}

// Draft is the commit that a change is made for. It is a chunk.Store: what it
// is given is stored with the commit.
type Draft struct {
	chunk.Store
	Base   tree.Root // the tree to be changed; the zero Root on an empty branch
	Parent commit.ID // zero on an empty branch
	Time   time.Time // of the commit
	Op     OpID
}

// Nodes says how nodes are kept, see [tree.CacheOf].
func (d *Draft) Nodes() *tree.Cache { return tree.CacheOf(d.Store) }

// Attrs returns the attributes of an entry that the commit writes.
func (d *Draft) Attrs() tree.Attrs { return tree.Attrs{Time: d.Time, Op: tree.OpID(d.Op)} }

// Apply makes edits to the draft's base. Files and links that are put without
// a time or an operation get the commit's; see [tree.Edit] for whether they
// keep the attributes that they had.
func (d *Draft) Apply(ctx context.Context, edits []tree.Edit) (tree.Root, error) {
	for i := range edits {
		d.stamp(&edits[i])
	}
	return tree.Apply(ctx, d, d.Base, edits)
}

// ApplySorted makes edits that come in order of path, as [tree.ApplySorted]
// wants them, and holds few of them in memory. In all else it is Apply.
func (d *Draft) ApplySorted(ctx context.Context, edits iter.Seq2[tree.Edit, error]) (tree.Root, error) {
	return tree.ApplySorted(ctx, d, d.Base, func(yield func(tree.Edit, error) bool) {
		for e, err := range edits {
			d.stamp(&e)
			if !yield(e, err) {
				return
			}
		}
	})
}

// stamp completes the attributes of a file or link that is put.
func (d *Draft) stamp(e *tree.Edit) {
	if e.Op != tree.Put || e.Entry.Kind == tree.Dir {
		return
	}
	if e.Entry.Attrs.Time.IsZero() {
		e.Entry.Attrs.Time = d.Time
	}
	if e.Entry.Attrs.Op == (tree.OpID{}) {
		e.Entry.Attrs.Op = tree.OpID(d.Op)
	}
}

// CommitResult is what [Commit] made, or found made.
type CommitResult struct {
	ID        commit.ID
	Commit    commit.Commit
	Branch    string
	Unchanged bool // nothing to commit: ID is where the branch was, zero if it is empty
	Replay    bool // an earlier attempt of the same operation made it
}

// attemptsMax is how often a commit is made anew because of others.
const attemptsMax = 1000

// Commit makes a commit on a branch: change gets the tree and returns what
// it shall be. change may be called several times, and must then do the same.
//
// The same Op gives the same commit, also if the first attempt seemed to fail.
// Errors are as of [Session.Publish]; on ErrUnknown repeat with the same Op.
func Commit(ctx context.Context, s Store, o CommitOptions, change func(context.Context, *Draft) (tree.Root, error)) (CommitResult, error) {
	c := committer{s: s, o: o, change: change}
	res, err := c.run(ctx)
	if err != nil {
		return CommitResult{}, fmt.Errorf("commit to %s@%s: %w", o.Repo, c.o.Branch, err)
	}
	return res, nil
}

type committer struct {
	s      Store
	o      CommitOptions
	change func(context.Context, *Draft) (tree.Root, error)
	kept   *tree.Root // under Overwrite and RebaseDisjoint: the tree of the first attempt in the session
}

func (c *committer) run(ctx context.Context) (CommitResult, error) {
	if c.o.Op.IsZero() || c.o.Time.IsZero() {
		return CommitResult{}, invalid("an operation ID and a time are required")
	}
	if err := c.fill(ctx); err != nil {
		return CommitResult{}, err
	}
	if c.late() {
		if res, ok, err := c.replayed(ctx); ok || err != nil {
			return res, err
		}
	}
	for n := 1; ; n++ {
		res, err := c.inSession(ctx)
		switch {
		case errors.Is(err, ErrDoomed) && n < attemptsMax:
			continue
		case errors.Is(err, ErrConflict) || err == nil && res.Unchanged:
			// It may be the first attempt that is in the way, or left nothing to do.
			if first, ok, ferr := c.replayed(ctx); ok && ferr == nil {
				return first, nil
			}
		}
		return res, err
	}
}

// late reports whether the operation may be one that the root has forgotten: a
// fresh one is not, and the root remembers the last OpsMax.
func (c *committer) late() bool {
	return c.o.Expect == nil && (!c.o.Op.isUUIDv7() || c.o.Time.Sub(c.o.Op.time()) > opFresh)
}

// fill completes the options.
func (c *committer) fill(ctx context.Context) error {
	if c.o.Author == "" {
		p, err := auth.From(ctx)
		if err != nil {
			return err
		}
		c.o.Author = p.Name
	}
	r, err := c.repo(ctx)
	if err != nil {
		return err
	}
	if c.o.Branch == "" {
		c.o.Branch = r.Default
	}
	return nil
}

func (c *committer) repo(ctx context.Context) (Repo, error) {
	v, err := c.s.View(ctx)
	if err != nil {
		return Repo{}, err
	}
	r, ok := v.Repos[c.o.Repo]
	if !ok {
		return Repo{}, ErrRepoNotFound
	}
	return r, nil
}

func (c *committer) head(ctx context.Context) (commit.ID, error) {
	r, err := c.repo(ctx)
	return r.Branches[c.o.Branch].Commit, err
}

const (
	// opFresh is the age up to which an operation ID is taken for new.
	opFresh = 30 * time.Second
	// opAge is by how much clocks may differ: no commit of an operation is
	// older than its ID by more.
	opAge = 5 * time.Minute
)

// replayed looks for a commit of the same operation in the branch's history,
// down to the time at which the operation ID was made.
func (c *committer) replayed(ctx context.Context) (CommitResult, bool, error) {
	head, err := c.head(ctx)
	if err != nil || head.IsZero() {
		return CommitResult{}, false, err
	}
	r, err := c.s.Reader(ctx, Scope{Repo: c.o.Repo, Branch: c.o.Branch, Commit: head})
	if err != nil {
		return CommitResult{}, false, err
	}
	since := c.o.Op.time().Add(-opAge)
	n := 0
	for e, err := range commit.Log(ctx, r, head, commit.LogOptions{FirstParent: true}) {
		if err != nil {
			return CommitResult{}, false, err
		}
		if e.Commit.Op == c.o.Op.String() {
			return CommitResult{ID: e.ID, Commit: e.Commit, Branch: c.o.Branch, Replay: true}, true, nil
		}
		if n++; n >= replaySearchMax || e.Commit.Time.Before(since) {
			break
		}
	}
	return CommitResult{}, false, nil
}

// inSession makes the commit within one session.
func (c *committer) inSession(ctx context.Context) (CommitResult, error) {
	v, err := SealFirst(ctx, c.s, c.o.Op, c.o.Repo, c.o.Branch)
	if err != nil {
		return CommitResult{}, err
	}
	head := v.Repos[c.o.Repo].Branches[c.o.Branch].Commit
	base := head
	if c.o.Expect != nil {
		base = *c.o.Expect
		if base != head && c.o.Policy == ExpectParent {
			return CommitResult{}, fmt.Errorf("%s@%s is at %s, expected at %s: %w",
				c.o.Repo, c.o.Branch, shortOrNone(head), shortOrNone(base), ErrConflict)
		}
	}
	s, err := c.s.Session(ctx, Scope{Repo: c.o.Repo, Branch: c.o.Branch})
	if err != nil {
		return CommitResult{}, err
	}
	defer func() { _ = s.Close() }()
	c.kept = nil // its chunks are in the session before
	for n := 1; ; n++ {
		if c.o.Policy == Rebase {
			base = head
		}
		res, err := c.attempt(ctx, s, head, base)
		var overlap *OverlapError
		if !errors.Is(err, ErrConflict) || errors.As(err, &overlap) || c.o.Policy == ExpectParent || n >= attemptsMax {
			return res, err
		}
		if head, err = c.head(ctx); err != nil {
			return CommitResult{}, err
		}
	}
}

// attempt makes the change on base and publishes it as the child of head.
func (c *committer) attempt(ctx context.Context, s Session, head, base commit.ID) (CommitResult, error) {
	parents := parentsOf(head, c.o.Merged)
	parent, t, err := loadParents(ctx, s, head, parents, c.o.Time)
	if err != nil {
		return CommitResult{}, err
	}
	d := &Draft{Store: s, Parent: head, Time: t, Op: c.o.Op}
	if base == head {
		d.Base = parent.Tree
	} else if !base.IsZero() {
		b, err := commit.Load(ctx, s, base)
		if err != nil {
			return CommitResult{}, err
		}
		d.Base, d.Parent = b.Tree, base
	}
	root, err := c.makeTree(ctx, d)
	if err == nil && base != head && c.o.Policy == RebaseDisjoint {
		root, err = join(ctx, d, head, root, parent.Tree)
	}
	if err != nil {
		return CommitResult{}, err
	}
	same, err := sameContent(ctx, d, root, parent.Tree)
	if err != nil {
		return CommitResult{}, err
	}
	if same && !c.o.AllowEmpty && len(c.o.Merged) == 0 {
		return CommitResult{ID: head, Commit: parent, Branch: c.o.Branch, Unchanged: true}, nil
	}
	v := commit.Commit{
		Tree: root, Parents: parents, Author: c.o.Author, Committer: c.o.Committer, Time: t, Message: c.o.Message,
		Labels: c.o.Labels, Op: c.o.Op.String(), Run: c.o.Run, Origins: c.o.Origins, Prov: c.o.Prov,
	}
	if v, err = commit.Index(ctx, s, v); err != nil {
		return CommitResult{}, err
	}
	id, err := commit.Save(ctx, s, v)
	if err != nil {
		return CommitResult{}, err
	}
	res, err := s.Publish(ctx, Txn{Op: c.o.Op, Ops: []Op{MoveBranch{Repo: c.o.Repo, Branch: c.o.Branch, Expect: head, To: id}}})
	if err != nil {
		return CommitResult{}, err
	}
	return c.outcome(ctx, res, id, v)
}

// makeTree calls change, and under Overwrite and RebaseDisjoint only once.
func (c *committer) makeTree(ctx context.Context, d *Draft) (tree.Root, error) {
	if c.kept != nil {
		return *c.kept, nil
	}
	if c.o.Check != nil {
		if err := c.o.Check(ctx, d); err != nil {
			return tree.Root{}, err
		}
	}
	root, err := c.change(ctx, d)
	if err != nil {
		return tree.Root{}, err
	}
	if root.ID.IsZero() {
		if root, err = tree.Empty(ctx, d); err != nil {
			return tree.Root{}, err
		}
	}
	if c.o.Policy == Overwrite || c.o.Policy == RebaseDisjoint {
		c.kept = &root
	}
	return root, nil
}

// sameContent reports whether root has the content of the parent's tree; an
// empty branch, which has the zero Root, counts as the empty directory.
func sameContent(ctx context.Context, s chunk.Store, root, parent tree.Root) (bool, error) {
	if parent.ID.IsZero() && root.Files == 0 {
		var err error
		if parent, err = tree.Empty(ctx, s); err != nil {
			return false, err
		}
	}
	return root.Content == parent.Content, nil
}

func parentsOf(head commit.ID, merged []commit.ID) []commit.ID {
	var parents []commit.ID
	for _, id := range append([]commit.ID{head}, merged...) {
		if !id.IsZero() {
			parents = append(parents, id)
		}
	}
	return parents
}

// outcome returns the commit that the operation made: an earlier attempt may
// have made another one than this.
func (c *committer) outcome(ctx context.Context, res Result, id commit.ID, v commit.Commit) (CommitResult, error) {
	for _, m := range res.Moved {
		if m.Repo != c.o.Repo || m.Branch != c.o.Branch || m.Commit == id {
			continue
		}
		r, err := c.s.Reader(ctx, Scope{Repo: c.o.Repo, Branch: c.o.Branch, Commit: m.Commit})
		if err != nil {
			return CommitResult{}, err
		}
		v, err = commit.Load(ctx, r, m.Commit)
		if errors.Is(err, chunk.ErrNotFound) { // no name reached it any more
			return CommitResult{}, fmt.Errorf("operation %v made commit %v, which was collected since: %w", c.o.Op, m.Commit.Short(), fs.ErrNotExist)
		}
		if err != nil {
			return CommitResult{}, err
		}
		return CommitResult{ID: m.Commit, Commit: v, Branch: c.o.Branch, Replay: true}, nil
	}
	if res.Replay && len(res.Moved) == 0 {
		first, ok, err := c.replayed(ctx)
		if err == nil && !ok {
			err = fmt.Errorf("operation %v was applied before at generation %d, but made no commit here: %w", c.o.Op, res.Gen, fs.ErrExist)
		}
		return first, err
	}
	return CommitResult{ID: id, Commit: v, Branch: c.o.Branch, Replay: res.Replay}, nil
}

// loadParents returns the commit head, if it is the first of ids, and the time
// of a commit that has ids as parents: t, or 1 ms after the newest of them.
func loadParents(ctx context.Context, r chunk.Reader, head commit.ID, ids []commit.ID, t time.Time) (first commit.Commit, at time.Time, err error) {
	at = commit.Stamp(t)
	for i, id := range ids {
		p, err := commit.Load(ctx, r, id)
		if err != nil {
			return commit.Commit{}, at, err
		}
		if i == 0 && id == head {
			first = p
		}
		if !at.After(p.Time) {
			at = p.Time.Add(time.Millisecond)
		}
	}
	return first, at, nil
}
