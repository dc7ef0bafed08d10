package gc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// story plays a random history of a store and knows what must be in it.
type story struct {
	*world
	rng   *rand.Rand
	rules rules

	d     *repo.Direct
	files map[string]map[string]string // by branch, then path
	tags  map[string]map[string]string
	heads map[string]commit.ID // of every branch and tag
	slow  *slowWriter
	memos int
	depth int     // collections under way
	keeps *keeper // what retention may give up; nil without retention
	trace []string
}

// slowWriter is a session that stays open while others work: it commits what
// the branch was when it began, changed in one file.
type slowWriter struct {
	s    repo.Session
	from commit.ID
	tree map[string]string
}

func newStory(t testing.TB, seed uint64, r rules) *story {
	h := &story{
		world: newWorld(t), rng: rand.New(rand.NewPCG(seed, 99)), rules: r,
		files: map[string]map[string]string{}, tags: map[string]map[string]string{}, heads: map[string]commit.ID{},
	}
	h.seed = seed << 8
	h.fatal = h.fail
	h.d = h.open(nil)
	h.move(h.d, repo.CreateRepo{Repo: "a"})
	h.put("main")
	return h
}

func (h *story) note(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

func (h *story) branch() string {
	return slices.Sorted(maps.Keys(h.files))[h.rng.IntN(len(h.files))]
}

// put changes a few files; texts come from a small set, so that versions share
// and garbage comes back to life.
func (h *story) put(branch string) {
	change := map[string]string{}
	files := maps.Clone(h.files[branch])
	if files == nil {
		files = map[string]string{}
	}
	for range 1 + h.rng.IntN(3) {
		path := fmt.Sprintf("d%d/f%d", h.rng.IntN(3), h.rng.IntN(4))
		if h.rng.IntN(4) == 0 && files[path] != "" && change[path] == "" {
			change[path] = ""
			delete(files, path)
		} else {
			n := h.rng.IntN(24)
			change[path] = text(uint64(n), 200+n*300)
			files[path] = change[path]
		}
	}
	h.note("put %s", branch)
	from := h.heads[branch]
	h.heads[branch] = h.write(h.d, "a", branch, change)
	h.files[branch] = files
	h.keeps.made(h.heads[branch], from, files, h.clock)
}

// step does one random thing.
func (h *story) step() {
	defer h.keeps.mayExpire(h)
	if h.keeps != nil && h.rng.IntN(5) == 0 {
		h.keeps.step(h)
		return
	}
	b := h.branch()
	switch n := h.rng.IntN(20); {
	case n < 7:
		h.put(b)
	case n < 9:
		if name := fmt.Sprint("b", h.rng.IntN(4)); h.files[name] == nil {
			h.note("branch %s from %s", name, b)
			h.move(h.d, repo.CreateBranch{Repo: "a", Branch: name, From: h.heads[b]})
			h.files[name], h.heads[name] = maps.Clone(h.files[b]), h.heads[b]
		}
	case n < 11:
		if b != "main" {
			h.note("delete branch %s", b)
			h.move(h.d, repo.DeleteBranch{Repo: "a", Branch: b, Expect: h.heads[b]})
			delete(h.files, b)
			delete(h.heads, b)
		}
	case n < 13:
		if to := h.branch(); h.heads[to] != h.heads[b] {
			h.note("reset %s to %s", b, to)
			h.move(h.d, repo.MoveBranch{Repo: "a", Branch: b, Expect: h.heads[b], To: h.heads[to], Force: true})
			h.files[b], h.heads[b] = maps.Clone(h.files[to]), h.heads[to]
		}
	case n < 14:
		if tag := fmt.Sprint("t", h.rng.IntN(3)); h.tags[tag] == nil {
			h.note("tag %s", tag)
			h.move(h.d, repo.CreateTag{Repo: "a", Tag: tag, Commit: h.heads[b]})
			h.tags[tag] = maps.Clone(h.files[b])
			h.keeps.tag(tag, h.heads[b])
		} else {
			h.note("untag %s", tag)
			h.move(h.d, repo.DeleteTag{Repo: "a", Tag: tag})
			delete(h.tags, tag)
			h.keeps.tag(tag, commit.ID{})
		}
	case n < 15:
		h.addMemo(b)
	case n < 17:
		h.slowStep(b)
	case n < 18:
		h.clock.advance(time.Duration(h.rng.IntN(40)) * time.Hour)
	default:
		h.gc()
	}
}

// addMemo publishes a memo record whose output is the tree of a version, or
// drops all that there are.
func (h *story) addMemo(branch string) {
	ctx := h.ctx()
	root, err := h.d.Root(ctx)
	if err != nil {
		h.fail("%v", err)
	}
	op, _ := h.d.NewOp()
	if h.rng.IntN(3) == 0 && len(root.Memo) > 0 {
		h.note("drop memo")
		if _, err := h.d.PublishWith(ctx, nil, repo.Txn{Op: op}, repo.Attachments{DropMemo: root.Memo}); err != nil {
			h.fail("%v", err)
		}
		return
	}
	h.note("memo of %s", branch)
	v, err := repo.Resolve(ctx, h.d, "a@"+branch)
	if err != nil {
		h.fail("%v", err)
	}
	h.memos++
	h.world.addMemo(h.d, v.Commit.Tree, h.memos)
}

// slowStep begins a slow commit, or ends the one that is open: it must be
// published or refused, and leave a sound store either way.
func (h *story) slowStep(branch string) {
	ctx := h.ctx()
	if h.slow == nil {
		s, err := h.d.Session(ctx, repo.Scope{Repo: "a", Branch: branch})
		if err != nil {
			h.fail("%v", err)
		}
		h.note("slow writer on %s", branch)
		h.slow = &slowWriter{s: s, from: h.heads[branch], tree: maps.Clone(h.files[branch])}
		return
	}
	w := h.slow
	h.slow = nil
	defer w.s.Close()
	if len(w.tree) == 0 {
		return
	}
	name := fmt.Sprint("slow", len(h.trace))
	v, err := commit.Load(ctx, w.s, w.from)
	if err != nil {
		h.note("slow writer: %v", err)
		return // what it began with was collected
	}
	op, _ := h.d.NewOp()
	v.Parents, v.Op, v.Time = []commit.ID{w.from}, op.String(), v.Time.Add(time.Second)
	if v.Tree, err = tree.Apply(ctx, w.s, v.Tree, []tree.Edit{{Op: tree.Delete, Path: slices.Sorted(maps.Keys(w.tree))[0]}}); err != nil {
		h.note("slow writer: %v", err)
		return
	}
	id, err := commit.Save(ctx, w.s, v)
	if err == nil {
		_, err = w.s.Publish(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.MoveBranch{Repo: "a", Branch: name, To: id}}})
	}
	h.note("slow writer makes %s: %v", name, err)
	if err == nil {
		delete(w.tree, slices.Sorted(maps.Keys(w.tree))[0])
		h.files[name], h.heads[name] = w.tree, id
		h.keeps.made(id, w.from, w.tree, h.clock)
	}
}

// gc collects, while others work at some of its calls.
func (h *story) gc() {
	if h.depth > 1 {
		return
	}
	h.depth++
	defer func() { h.depth-- }()
	at := map[int]bool{}
	for range h.rng.IntN(4) {
		at[1+h.rng.IntN(60)] = true
	}
	plan, patience := h.lostAck(), 1000*time.Hour
	if plan != nil {
		clear(at) // it would also give up if others were faster
		patience = 1
	}
	var one sync.Mutex // a collection uploads packs side by side
	f := fault.New(h.objects, fault.Options{Plan: plan, Delay: func(_ context.Context, c fault.Call) error {
		if at[c.N] && c.Kind != fault.Get {
			one.Lock()
			defer one.Unlock()
			h.note("at its call %d, %s %s:", c.N, c.Kind, c.Key)
			h.step()
		}
		return nil
	}})
	o := Options{Now: h.clock.Now, Force: true, Workers: 1, rules: h.rules}
	if h.rng.IntN(3) > 0 {
		o.KeepRoots = -1
	}
	o.Immediate = h.rng.IntN(2) == 0
	h.note("collect, immediate %v, keep %v", o.Immediate, o.KeepRoots)
	h.keeps.mayExpire(h)
	d := h.openFor(f, patience)
	r, err := Collect(h.ctx(), d, o)
	if err != nil && !errors.Is(err, errOvertaken) && !errors.Is(err, repo.ErrUnknown) {
		h.fail("collect: %v", err)
	}
	h.note("collected: %d dead, %d repacked, %d orphans, %d deleted, %d attempts, %v", r.DeadPacks, r.RepackedPacks, r.Orphans, r.Deleted, r.Attempts, err)
}

// lostAck loses, one time in four, the answer to a swap and to the questions
// that follow: the swap took effect, and nobody knows.
func (h *story) lostAck() fault.Plan {
	if h.rng.IntN(4) > 0 {
		return nil
	}
	unknown, lost := fmt.Errorf("connection reset: %w", objstore.ErrUnknownOutcome), 0
	return func(c fault.Call) fault.Effect {
		switch {
		case lost == 0 && c.Kind == fault.Put && c.Key == "root":
			lost = 3
			return fault.Effect{Err: unknown, Apply: true}
		case lost > 1 && c.Key == "root":
			lost--
			return fault.Effect{Err: unknown}
		}
		return fault.Effect{}
	}
}

// fail ends the history with what happened.
func (h *story) fail(format string, args ...any) {
	panic(failure(fmt.Sprintf(format, args...)))
}

type failure string

// verify checks the store and compares it with what must be in it.
func (h *story) verify() {
	rep, err := Check(h.ctx(), h.objects, h.options(), CheckOptions{Now: h.clock.Now, Level: CheckData, Workers: 2})
	if err != nil {
		h.fail("check: %v", err)
	}
	for _, f := range rep.Findings {
		if f.Severity != Notice || f.Kind == MissingChunk {
			h.fail("check: %+v", f)
		}
	}
	d, err := repo.OpenDirect(h.ctx(), h.objects, h.options())
	if err != nil {
		h.fail("open: %v", err)
	}
	defer d.Close()
	for _, all := range []map[string]map[string]string{h.files, h.tags} {
		for ref, files := range all {
			t, _, err := repo.Open(h.ctx(), d, "a@"+ref)
			if err != nil {
				h.fail("%s: %v", ref, err)
			}
			if n := t.Root().Files; n != int64(len(files)) {
				h.fail("%s: %d files, want %d", ref, n, len(files))
			}
			for path, want := range files {
				if got := h.read(d, "a@"+ref+":/"+path); got != want {
					h.fail("%s:/%s is %.40q, want %.40q", ref, path, got, want)
				}
			}
		}
	}
	h.keeps.verify(h, d)
}

// play runs one history and returns what went wrong, or "".
func play(t testing.TB, seed uint64, steps int, r rules) (problem string, trace []string) {
	h := newStory(t, seed, r)
	if seed%2 == 0 {
		h.keeps = &keeper{versions: map[commit.ID]version{}, policies: map[string]*repo.Retention{}, tags: map[string]commit.ID{}, may: map[commit.ID]bool{}}
		h.keeps.made(h.heads["main"], commit.ID{}, h.files["main"], h.clock)
	}
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				panic(p)
			}
			problem = string(f)
		}
		trace = h.trace
		if h.slow != nil {
			_ = h.slow.s.Close()
		}
	}()
	for range steps {
		h.step()
		if h.rng.IntN(6) == 0 {
			h.verify()
		}
	}
	h.verify()
	return "", h.trace
}

// seedsOf returns the seeds to try: DVX_SEED alone, or as many as DVX_SEEDS
// says, or so many as fit a plain test.
func seedsOf(t testing.TB, usual int) []uint64 {
	if s := os.Getenv("DVX_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{n}
	}
	if n, err := strconv.Atoi(os.Getenv("DVX_SEEDS")); err == nil && n > 0 {
		usual = n
	}
	seeds := make([]uint64, usual)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	return seeds
}

// TestRandomHistories plays random histories of branches, tags, memo records,
// slow writers and collections that overlap all of them. Whatever happens, all
// that has a name can be read, and every index entry is whole.
func TestRandomHistories(t *testing.T) {
	for _, seed := range seedsOf(t, 25) {
		if problem, trace := play(t, seed, 40, rules{}); problem != "" {
			for _, line := range trace {
				t.Log(line)
			}
			t.Fatalf("DVX_SEED=%d: %s", seed, problem)
		}
	}
}
