package sim

import (
	"container/heap"
	"fmt"
	"hash"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// version is a commit of the model: files are strings.
type version struct {
	commit commit.Commit
	files  map[string]string
	datums map[string]memo.Key // of an output
	code   int                 // that made it
}

// evaluation is a job on top of one output. If somebody moves the output
// branch by hand, a job is evaluated once more.
type evaluation struct {
	job engine.JobID
	on  commit.ID
}

// stage is a pipeline of the model: it turns each file of its input into one
// of its output.
type stage struct {
	name, branch  string
	source        string // repo
	sourceBranch  string
	code          int // of its newest spec
	spec          commit.ID
	specCommit    commit.Commit
	parallelism   int
	needs         map[string]int // of pools
	grow          bool           // its datums emit others
	every         bool           // it evaluates every commit of its input
	sameOutput    bool           // the newest code gives what the one before gave
	outputVersion int
}

// world is everything but the core of the daemon.
type world struct {
	o      Options
	faults Faults
	rng    *rand.Rand
	clock  time.Time     // as it is; only goes forward
	skew   time.Duration // of the clock that the daemon sees
	start  time.Time
	queue  queue
	serial int
	events int
	trace  hash.Hash
	broken error

	gen      uint64
	versions map[commit.ID]version
	branches map[string][]commit.ID // by repo@branch: all heads, oldest first
	followed map[string]int         // by repo@branch of a stage that evaluates every commit: the newest that it did
	heads    map[string]commit.ID   // by repo@branch
	stages   []*stage
	ops      map[string]bool // applied transactions
	made     map[evaluation][]commit.ID
	hooked   []history.Event      // published
	hooks    map[engine.JobID]int // how often those of a job were run
	contents map[memo.Key]string  // what user code sees
	memo     map[memo.Key]string  // published: key to output
	stored   map[tree.ID]string   // outputs by tree, also of results that came to nothing
	history  []history.Job        // published
	unread   bool                 // some of it by others than this life of the daemon

	daemon     *daemon
	crashes    int
	executions int
	running    map[memo.Key]int            // executions under way that nobody gave up
	holds      map[memo.Key]map[string]int // of pools, by who runs
	have       map[memo.Key]bool           // results that are durable
	userFails  map[memo.Key]int
	accepted   map[memo.Key]int // how often a result was taken
}

func newWorld(seed uint64, o Options) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{
		o: o, faults: o.Faults, rng: newRand(seed), clock: start, start: start, trace: blake3.New(), gen: 1,
		versions: map[commit.ID]version{}, branches: map[string][]commit.ID{}, followed: map[string]int{}, heads: map[string]commit.ID{}, ops: map[string]bool{},
		made: map[evaluation][]commit.ID{}, memo: map[memo.Key]string{}, stored: map[tree.ID]string{}, contents: map[memo.Key]string{}, hooks: map[engine.JobID]int{},
		running: map[memo.Key]int{}, holds: map[memo.Key]map[string]int{}, have: map[memo.Key]bool{}, accepted: map[memo.Key]int{}, userFails: map[memo.Key]int{},
	}
	w.stages = []*stage{
		{name: "count", branch: "main", source: "src", sourceBranch: "main", parallelism: 2, grow: true, needs: map[string]int{"small": 1}},
		{name: "sum", branch: "main", source: "count", sourceBranch: "main", needs: map[string]int{"rated": 1}},
		{name: "report", branch: "main", source: "sum", sourceBranch: "main", every: true},
		{name: "count", branch: "staging", source: "src", sourceBranch: "main", grow: true, needs: map[string]int{"small": 2}},
	}
	for _, s := range w.stages {
		w.setSpec(s)
	}
	return w
}

func at(repo, branch string) string { return repo + "@" + branch }

func digest(parts ...any) chunk.ID { return chunk.Data.Sum(fmt.Append(nil, parts...)) }

// setSpec gives a stage a new version of its code.
func (w *world) setSpec(s *stage) {
	s.code++
	if !s.sameOutput {
		s.outputVersion = s.code
	}
	s.spec = commit.ID(digest("spec ", s.name, " ", s.code, " ", s.outputVersion))
	s.specCommit = commit.Commit{Time: w.start.Add(time.Duration(s.code) * time.Minute)}
	w.gen++
}

// commitRound is what a user does: change files, delete some, put them back,
// or change the code of a pipeline.
func (w *world) commitRound(round int) {
	if round > 0 && round%3 == 0 {
		s := w.stages[(round/3)%len(w.stages)]
		s.sameOutput = round%2 == 0
		w.setSpec(s)
		if s.name == "count" { // staging has what main has
			for _, t := range w.stages {
				if t != s && t.name == s.name {
					t.code, t.outputVersion, t.spec, t.specCommit = s.code, s.outputVersion, s.spec, s.specCommit
				}
			}
		}
		return
	}
	parent := w.heads[at("src", "main")]
	files := maps.Clone(w.versions[parent].files)
	if files == nil {
		files = map[string]string{}
		for i := range 12 {
			files[fmt.Sprintf("f%02d", i)] = fmt.Sprint("v", i)
		}
	}
	// What is committed depends on the round and not on the run, so that runs
	// can be compared.
	files[fmt.Sprintf("f%02d", round%12)] = fmt.Sprint("round ", round%5)
	files[fmt.Sprintf("g%02d", round)] = "new"
	delete(files, fmt.Sprintf("f%02d", (round*5+3)%12))
	v := version{files: files, commit: commit.Commit{Time: w.start.Add(time.Duration(round+1) * time.Hour)}}
	v.commit.Tree = rootOf(files)
	w.move("src", "main", commit.ID(digest("user ", round, parent)), v)
}

// rootOf names a content.
func rootOf(files map[string]string) tree.Root {
	keys := slices.Sorted(maps.Keys(files))
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s=%s\n", k, files[k])
	}
	id := digest("tree ", b.String())
	return tree.Root{ID: tree.ID(id), Content: tree.ContentID(id), Files: int64(len(files))}
}

func (w *world) move(repo, branch string, id commit.ID, v version) {
	w.versions[id] = v
	w.heads[at(repo, branch)] = id
	w.branches[at(repo, branch)] = append(w.branches[at(repo, branch)], id)
	w.gen++
}

func (w *world) head(repo, branch string) engine.Head {
	id := w.heads[at(repo, branch)]
	return engine.Head{ID: id, Commit: w.versions[id].commit}
}

// snapshot is what pipeline.Observe would say.
func (w *world) snapshot() engine.Snapshot {
	snap := engine.Snapshot{Gen: w.gen}
	for _, s := range w.stages {
		p := engine.PipelineHead{Name: s.name, Branch: s.branch, Spec: s.spec, SpecCommit: s.specCommit, Output: w.head(s.name, s.branch)}
		p.Version.Spec.Parallelism.Max = s.parallelism
		p.Version.Spec.Datum.Tries = 3
		p.Version.Spec.Concurrency = s.needs
		if s.name == "sum" {
			p.Version.Spec.Hooks = &spec.Hooks{OnExit: []string{"tell"}}
		}
		if s.name == "count" {
			p.Version.Spec.PartialResults = "30s"
		}
		if s.grow {
			p.Version.Spec.Growth = &spec.Growth{Depth: 8, Max: 100}
		}
		p.Inputs = []engine.InputHead{{Name: s.source, Repo: s.source, Branch: s.sourceBranch, Head: w.head(s.source, s.sourceBranch)}}
		if s.every {
			w.choose(&p)
		}
		snap.Pipelines = append(snap.Pipelines, p)
	}
	slices.SortFunc(snap.Pipelines, func(a, b engine.PipelineHead) int {
		return strings.Compare(at(a.Name, a.Branch), at(b.Name, b.Branch))
	})
	return snap
}

func (w *world) stage(p engine.PipelineHead) *stage {
	for _, s := range w.stages {
		if s.name == p.Name && s.branch == p.Branch {
			return s
		}
	}
	panic("sim: no such stage")
}

// keyOf is the memo key of a datum: code and content, no branch.
func (w *world) keyOf(p engine.PipelineHead, path, content string) memo.Key {
	key := memo.Key(digest("datum ", p.Name, p.Spec, path, content))
	w.contents[key] = content
	return key
}

// outputOf is what user code makes of a datum.
func (w *world) outputOf(s *stage, content string) string {
	return digest("output ", s.name, s.outputVersion, content).Short()
}

// scheduled is something that is going to happen.
type scheduled struct {
	at     time.Time
	serial int
	what   string
	do     func()
	life   int // of the daemon it is for; 0: the world's
}

type queue []scheduled

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].serial < q[j].serial
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(scheduled)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// after has something happen to the world.
func (w *world) after(d time.Duration, what string, do func()) {
	w.serial++
	heap.Push(&w.queue, scheduled{at: w.clock.Add(d), serial: w.serial, what: what, do: do})
}

// next lets the next thing happen. It returns false if there is none.
func (w *world) next() bool {
	if len(w.queue) == 0 {
		return false
	}
	x := heap.Pop(&w.queue).(scheduled)
	if x.life != 0 && x.life != w.daemon.life {
		return true // for a daemon that is dead
	}
	if x.at.After(w.clock) { // else it was due while the world slept
		w.clock = x.at
	}
	w.events++
	w.log("%v %s", w.clock.Sub(w.start), x.what)
	x.do()
	return true
}

func (w *world) log(format string, args ...any) {
	_, _ = fmt.Fprintf(w.trace, format+"\n", args...)
	if w.o.Log != nil {
		_, _ = fmt.Fprintf(w.o.Log, format+"\n", args...)
	}
}

func (w *world) fail(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
	}
}

func (w *world) report() Report {
	r := Report{
		Events: w.events, Crashes: w.crashes, Executions: w.executions, Elapsed: w.clock.Sub(w.start),
		Trace: fmt.Sprintf("%x", w.trace.Sum(nil)), Outputs: map[string]string{}, Contents: map[string]string{},
	}
	for _, s := range w.stages {
		h := w.head(s.name, s.branch)
		r.Outputs[at(s.name, s.branch)] = h.ID.String()
		r.Contents[at(s.name, s.branch)] = h.Commit.Tree.Content.String()
	}
	return r
}
