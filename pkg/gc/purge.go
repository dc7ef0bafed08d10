package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// PurgeOptions say what Purge removes. Now, Repo and Paths are required.
type PurgeOptions struct {
	Now   func() time.Time
	Repo  string
	Paths []string // files, or directories with all below them

	// Everywhere removes the same contents wherever else they are: at other
	// paths, and in other repos.
	Everywhere bool

	DryRun   bool
	Progress func(versions int64) // may be nil
}

// PurgeReport says what Purge found and did.
type PurgeReport struct {
	DryRun   bool      `json:"dryRun"`
	Time     time.Time `json:"time"`
	Repo     string    `json:"repo"`
	Paths    []string  `json:"paths"`
	Contents int       `json:"contents"` // different contents that the paths had
	Bytes    int64     `json:"bytes"`    // their sizes together
	Versions int64     `json:"versions"` // versions made anew
	Refs     []RefMade `json:"refs"`     // branches, tags and specs that were moved
	Memo     int64     `json:"memo"`     // memo records dropped
	Else     []Holding `json:"elsewhere,omitempty"`
	Gen      uint64    `json:"gen,omitempty"` // of the root without the paths
}

// RefMade is a name that was moved to a version made anew.
type RefMade struct {
	Repo string    `json:"repo"`
	Ref  string    `json:"ref"`
	From commit.ID `json:"from"`
	To   commit.ID `json:"to"`
}

// Holding is another place with one of the contents; it keeps the bytes alive.
type Holding struct {
	Repo string `json:"repo"`
	Ref  string `json:"ref"` // a branch or tag whose history holds it
	Path string `json:"path"`
}

// holdingsMax is how many other places a report names.
const holdingsMax = 1000

// purgeTriesMax is how often a purge begins anew because branches moved.
const purgeTriesMax = 10

// Purge removes paths from every version of a repo: it makes the versions anew
// without them, moves the names there, drops the memo records whose outputs
// have the contents, and says that older roots are not to be kept. A
// collection then deletes the bytes. All other files, times and messages stay;
// the IDs of the versions change. Writes that are not sealed become a version
// first; a dry run does not look at them. Names that a writer moves all the
// time fail with repo.ErrConflict; then nothing was purged.
func Purge(ctx context.Context, d *repo.Direct, o PurgeOptions) (PurgeReport, error) {
	if o.Now == nil || len(o.Paths) == 0 {
		return PurgeReport{}, fmt.Errorf("purge without a clock or without paths: %w", fs.ErrInvalid)
	}
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	var rep PurgeReport // of the rounds that were published
	contents := map[chunk.ID]int64{}
	for try, rounds := 1, 0; ; try++ {
		p := &purge{d: d, o: o, made: map[commit.ID]commit.ID{}, contents: contents, more: rounds > 0}
		err := p.run(ctx)
		again := errors.Is(err, repo.ErrConflict) && !errors.Is(err, repo.ErrOpen) || errors.Is(err, repo.ErrDoomed)
		if err == nil {
			rep.join(p.rep, rounds)
			rounds++
			again, err = p.overtaken(ctx)
		}
		if again && try < purgeTriesMax {
			continue
		}
		if again && err == nil {
			err = fmt.Errorf("names are made all the time that reach what was purged: %w", repo.ErrConflict)
		}
		if err != nil {
			err = fmt.Errorf("purge %s: %w", o.Repo, err)
		}
		return rep, err
	}
}

// join adds what another round did, which looked at names that were made
// during the one before.
func (r *PurgeReport) join(next PurgeReport, rounds int) {
	if rounds > 0 {
		next.Versions += r.Versions
		next.Memo += r.Memo
		next.Refs = append(r.Refs, next.Refs...)
		next.Gen = max(next.Gen, r.Gen)
	}
	*r = next
}

// overtaken reports whether names were made or moved while the purge was at
// work: they may reach what it removed.
func (p *purge) overtaken(ctx context.Context) (bool, error) {
	if p.o.DryRun {
		return false, nil
	}
	now, err := p.d.Root(ctx)
	if err != nil {
		return false, err
	}
	clean := map[commit.ID]bool{}
	for _, to := range p.made {
		clean[to] = true
	}
	mine := p.repos()
	for _, x := range places(now) {
		if (p.o.Everywhere || slices.Contains(mine, x.repo)) && x.repo != "" && !clean[x.commit] {
			return true, nil
		}
	}
	return false, nil
}

// purge is one attempt.
type purge struct {
	d   *repo.Direct
	o   PurgeOptions
	rep PurgeReport

	root     *repo.Root
	s        repo.Session
	contents map[chunk.ID]int64 // what the paths had, with sizes
	find     *finder
	made     map[commit.ID]commit.ID // version: the one in its place, or itself
	more     bool                    // a round before this one was published
}

func (p *purge) run(ctx context.Context) (err error) {
	p.rep = PurgeReport{DryRun: p.o.DryRun, Time: p.o.Now().UTC(), Repo: p.o.Repo, Paths: p.o.Paths, Refs: []RefMade{}}
	if p.root, err = p.d.Root(ctx); err != nil {
		return err
	}
	if _, ok := p.root.Repos[p.o.Repo]; !ok {
		return repo.ErrRepoNotFound
	}
	if err := p.seal(ctx); err != nil {
		return err
	}
	if p.s, err = p.d.Session(ctx, repo.Scope{Repo: p.o.Repo}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.s.Close()) }()
	if err := p.gather(ctx); err != nil {
		return err
	}
	p.find = newFinder(p.s, p.contents)
	ops, err := p.rewrite(ctx)
	if err != nil {
		return err
	}
	if err := p.elsewhere(ctx); err != nil {
		return err
	}
	memos, err := p.memos(ctx)
	if err != nil || p.o.DryRun {
		return err
	}
	// Said before the swap as well, so that a purge that dies after it need not
	// be repeated, and taken back if nothing is purged.
	early, err := p.forget(ctx, p.root.Gen+1)
	if err != nil {
		return err
	}
	if len(ops) > 0 || len(memos.DropMemo) > 0 {
		if err := p.publish(ctx, ops, memos); err != nil {
			if !errors.Is(err, repo.ErrUnknown) {
				err = errors.Join(err, p.d.Objects().Delete(context.WithoutCancel(ctx), early))
			}
			return err
		}
	}
	now, err := p.d.Root(ctx)
	if err != nil {
		return err
	}
	_, err = p.forget(ctx, now.Gen)
	return err
}

// seal makes versions of the writes that are none yet, in the repos whose
// versions are made anew.
func (p *purge) seal(ctx context.Context) (err error) {
	if p.o.DryRun {
		return nil
	}
	repos := p.repos()
	for _, key := range slices.Sorted(maps.Keys(p.root.Open)) {
		name, branch, _ := strings.Cut(key, "@")
		if !slices.Contains(repos, name) {
			continue
		}
		op, err := p.d.NewOp()
		if err != nil {
			return err
		}
		if _, err := p.d.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.Seal{Repo: name, Branch: branch}}}); err != nil {
			return err
		}
	}
	p.root, err = p.d.Root(ctx)
	return err
}

// gather collects the contents that the paths have in any version.
func (p *purge) gather(ctx context.Context) error {
	seen := map[commit.ID]bool{}
	g := gatherer{r: p.s, into: p.contents}
	for _, h := range p.heads(p.o.Repo) {
		for e, err := range commit.Log(ctx, p.s, h.commit, commit.LogOptions{}) {
			if err != nil {
				return err
			}
			if seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			for _, path := range p.o.Paths {
				if err := g.path(ctx, e.Commit.Tree, path); err != nil {
					return err
				}
			}
		}
	}
	for _, size := range p.contents {
		p.rep.Bytes += size
	}
	p.rep.Contents = len(p.contents)
	if !g.any && !p.more {
		return fmt.Errorf("no version has %s: %w", strings.Join(p.o.Paths, ", "), fs.ErrNotExist)
	}
	return nil
}

// heads returns the names of a repo in a fixed order.
func (p *purge) heads(name string) []place {
	all := slices.DeleteFunc(places(p.root), func(x place) bool { return x.repo != name || x.repo == "" })
	slices.SortFunc(all, func(a, b place) int { return strings.Compare(a.ref, b.ref) })
	return all
}

// repos returns the repos whose versions are made anew.
func (p *purge) repos() []string {
	if p.o.Everywhere {
		return slices.Sorted(maps.Keys(p.root.Repos))
	}
	return []string{p.o.Repo}
}

// rewrite makes the versions anew and returns what moves the names there.
func (p *purge) rewrite(ctx context.Context) ([]repo.Op, error) {
	var ops []repo.Op
	for _, name := range p.repos() {
		for _, h := range p.heads(name) {
			to, err := p.version(ctx, name == p.o.Repo, h.commit)
			if err != nil {
				return nil, fmt.Errorf("%s@%s: %w", name, h.ref, err)
			}
			if to == h.commit {
				continue
			}
			p.rep.Refs = append(p.rep.Refs, RefMade{name, h.ref, h.commit, to})
			ops = append(ops, p.moveOps(name, h, to)...)
		}
	}
	for _, pin := range p.root.Pins {
		if to, ok := p.made[pin.Commit]; ok && to != pin.Commit {
			return nil, fmt.Errorf("version %v is pinned (%s): %w", pin.Commit.Short(), pin.Reason, fs.ErrPermission)
		}
	}
	return ops, nil
}

// moveOps moves a name, protected or not: who purges owns the store.
func (p *purge) moveOps(name string, h place, to commit.ID) []repo.Op {
	r := p.root.Repos[name]
	if spec, ok := strings.CutPrefix(h.ref, specsPrefix); ok {
		return []repo.Op{repo.MoveSpec{Repo: name, Branch: spec, Expect: h.commit, To: to}}
	}
	if _, ok := r.Tags[h.ref]; ok {
		return []repo.Op{repo.DeleteTag{Repo: name, Tag: h.ref}, repo.CreateTag{Repo: name, Tag: h.ref, Commit: to}}
	}
	move := repo.MoveBranch{Repo: name, Branch: h.ref, Expect: h.commit, To: to, Force: true}
	who := r.Branches[h.ref].Protect
	if len(who) == 0 {
		return []repo.Op{move}
	}
	return []repo.Op{repo.Protect{Repo: name, Branch: h.ref}, move, repo.Protect{Repo: name, Branch: h.ref, Principals: who}}
}

// publish moves the names and the memo in one swap.
func (p *purge) publish(ctx context.Context, ops []repo.Op, a repo.Attachments) error {
	op, err := p.d.NewOp()
	if err != nil {
		return err
	}
	if len(ops) > repo.TxnOpsMax {
		return fmt.Errorf("%d names would move at once, at most %d can: %w", len(ops), repo.TxnOpsMax, fs.ErrInvalid)
	}
	if err := p.s.Flush(ctx); err != nil {
		return err
	}
	res, err := p.d.PublishWith(ctx, p.s, repo.Txn{Op: op, Ops: ops}, a)
	p.rep.Gen = res.Gen
	return err
}

// forget says that the roots below a generation are not to be kept, and returns
// the key of the object that says so.
func (p *purge) forget(ctx context.Context, gen uint64) (string, error) {
	key := fmt.Sprintf("%s%016x", forgetPrefix, gen)
	if _, err := p.d.Objects().Put(ctx, key, objstore.Bytes(nil), objstore.Condition{}); err != nil {
		return "", fmt.Errorf("note that older roots are not kept: %w", err)
	}
	return key, nil
}
