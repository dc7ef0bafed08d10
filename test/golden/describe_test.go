package golden_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// description says all that a store holds, and verifies it meanwhile.
type description struct {
	*at
	strings.Builder
	r       chunk.Reader
	commits map[commit.ID]bool
	trees   map[tree.ID]bool
}

func describe(a *at) string {
	a.Helper()
	root, err := a.store.Root(a.ctx)
	if err != nil {
		a.Fatal(err)
	}
	r, err := a.store.ReadAny(a.ctx)
	if err != nil {
		a.Fatal(err)
	}
	d := &description{at: a, r: r, commits: map[commit.ID]bool{}, trees: map[tree.ID]bool{}}
	d.line("store %s, generation %d", root.Store, root.Gen)
	d.packs(root)
	d.chain(root)
	for _, name := range slices.Sorted(maps.Keys(root.Repos)) {
		d.repo(name, root.Repos[name])
	}
	d.memo(root)
	d.history(root)
	d.jobs()
	return d.String()
}

func (d *description) line(format string, args ...any) { _, _ = fmt.Fprintf(d, format+"\n", args...) }

// json leaves out fields that are empty, so that a later release may have more.
func (d *description) json(v any) string {
	d.Helper()
	b, err := json.Marshal(v)
	d.must(err)
	return string(b)
}

func (d *description) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// packs verifies every pack and index segment, and reads every chunk.
func (d *description) packs(root *repo.Root) {
	d.Helper()
	var keys []string
	for _, s := range root.Segments {
		keys = append(keys, s.Key)
		info, err := d.store.Packs().VerifySegment(d.ctx, s.Key)
		d.must(err)
		if int64(info.Chunks) != s.Chunks {
			d.Errorf("segment %s has %d chunks, the root says %d", s.Key, info.Chunks, s.Chunks)
		}
		d.line("segment %s: %d chunks, %d packs", s.Key, info.Chunks, info.Packs)
	}
	snap, err := d.store.Packs().Snapshot(d.ctx, keys)
	d.must(err)
	for p, err := range snap.Packs(d.ctx) {
		d.must(err)
		f, err := d.store.Packs().VerifyPack(d.ctx, p.Key)
		d.must(err)
		d.line("pack %s: %d bytes, %d chunks, metadata %v", p.Key, f.Size, len(f.Entries), f.Meta)
	}
	for l, err := range snap.Chunks(d.ctx) {
		d.must(err)
		_, err := snap.Get(d.ctx, l.Kind, l.ID)
		d.must(err)
	}
}

// chain follows the copies of the roots from the newest to the oldest.
func (d *description) chain(root *repo.Root) {
	d.Helper()
	objects := d.store.Objects()
	now, _, err := objstore.ReadAll(d.ctx, objects, "root", objstore.Range{}, 1<<20)
	d.must(err)
	want, n := repo.HashRoot(now), 0
	for _, op := range slices.Backward(root.Ops) {
		b, _, err := objstore.ReadAll(d.ctx, objects, fmt.Sprintf("roots/%016x-%v", op.Gen, op.Op), objstore.Range{}, 1<<20)
		d.must(err)
		old, err := repo.DecodeRoot(b)
		d.must(err)
		if repo.HashRoot(b) != want {
			d.Fatalf("root %d is not what root %d follows", op.Gen, op.Gen+1)
		}
		want = old.Prev
		n++
	}
	d.line("%d roots, oldest after %v", n, want)
}

func (d *description) repo(name string, r repo.Repo) {
	d.Helper()
	d.line("repo %s %q default %s", name, r.Description, r.Default)
	for _, n := range slices.Sorted(maps.Keys(r.Branches)) {
		b := r.Branches[n]
		d.line("branch %s@%s %v owner %s fork %q protect %v", name, n, b.Commit, b.Owner, b.Fork, b.Protect)
	}
	for _, n := range slices.Sorted(maps.Keys(r.Tags)) {
		d.line("tag %s@%s %v %q", name, n, r.Tags[n].Commit, r.Tags[n].Message)
	}
	for _, n := range slices.Sorted(maps.Keys(r.Specs)) {
		d.line("spec %s@%s %v", name, n, r.Specs[n].Commit)
	}
	for _, n := range slices.Sorted(maps.Keys(r.Branches)) {
		d.log(r.Branches[n].Commit, d.commit)
	}
	for _, n := range slices.Sorted(maps.Keys(r.Tags)) {
		d.log(r.Tags[n].Commit, d.commit)
	}
	for _, n := range slices.Sorted(maps.Keys(r.Specs)) {
		d.log(r.Specs[n].Commit, d.spec)
	}
}

// log visits the commits that were not visited before.
func (d *description) log(head commit.ID, visit func(commit.Entry)) {
	d.Helper()
	if head.IsZero() {
		return
	}
	for e, err := range commit.Log(d.ctx, d.r, head, commit.LogOptions{}) {
		d.must(err)
		if !d.commits[e.ID] {
			d.commits[e.ID] = true
			d.must(commit.CheckParents(d.ctx, d.r, e.Commit))
			visit(e)
		}
	}
}

func (d *description) commit(e commit.Entry) {
	d.Helper()
	c := e.Commit
	d.line("commit %v %s %s %s %q %v op %s run %q origins %v", e.ID, stamp(c.Time), c.Author, c.Committer, c.Message, c.Labels, c.Op, c.Run, c.Origins)
	d.tree(c.Tree)
	if p := c.Prov; p != nil {
		d.line("  of %s@%s spec %v job %s inputs %v parameters %v code %s", p.Pipeline, p.Branch, p.Spec.Short(), p.Job, p.Inputs, p.Parameters, p.Code)
		d.table(*p.Datums)
	}
}

func (d *description) spec(e commit.Entry) {
	d.Helper()
	v, err := pipeline.LoadVersion(d.ctx, d.r, e.Commit.Tree)
	d.must(err)
	text, err := spec.Encode(v.Spec)
	d.must(err)
	d.line("spec %v %s %q code %v\n  %s", e.ID, stamp(e.Commit.Time), e.Commit.Message, v.Code.Content, text)
	d.tree(e.Commit.Tree)
}

// tree verifies a directory, and lists its entries unless that was done.
func (d *description) tree(root tree.Root) {
	d.Helper()
	d.line("  tree %v content %v files %d bytes %d", chunk.ID(root.ID).Short(), root.Content, root.Files, root.Bytes)
	if d.trees[root.ID] {
		return
	}
	d.trees[root.ID] = true
	d.must(tree.Verify(d.ctx, d.r, root))
	many := blake3.New()
	for f, err := range tree.Open(d.r, root).Walk(d.ctx, tree.WalkOptions{Dirs: true}) {
		d.must(err)
		line := d.entry(f)
		if strings.HasPrefix(f.Path, "many/") && f.Kind != tree.Dir {
			_, _ = io.WriteString(many, line)
			continue
		}
		d.line("    %s", line)
	}
	d.line("    many/* %x", many.Sum(nil)[:8])
}

func (d *description) entry(f tree.PathEntry) string {
	d.Helper()
	s := fmt.Sprintf("%q kind %d exec %v%s", f.Path, f.Kind, f.Exec, attrs(f.Attrs))
	if f.Marker != nil {
		s += " marker " + d.content(f.Marker.Content) + attrs(f.Marker.Attrs)
	}
	if f.Kind != tree.Dir {
		s += " " + d.content(f.Content)
	}
	return s
}

// content reads a content and returns its size and hash.
func (d *description) content(c chunk.Content) string {
	d.Helper()
	r, err := chunk.OpenContent(d.ctx, d.r, c)
	d.must(err)
	h := blake3.New()
	n, err := io.Copy(h, r)
	d.must(err)
	return fmt.Sprintf("%d bytes depth %d %x", n, c.Depth, h.Sum(nil)[:8])
}

func attrs(a tree.Attrs) string {
	if a.IsZero() {
		return ""
	}
	return fmt.Sprintf(" {%s %x %s %v %v %x %s}", stamp(a.Time), a.Op, a.ContentType, a.Headers, a.Meta, a.MD5, a.ETag)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// table lists a datum table.
func (d *description) table(root tree.Root) {
	d.Helper()
	d.must(tree.Verify(d.ctx, d.r, root))
	for row, err := range output.Table(d.ctx, d.r, root) {
		d.must(err)
		d.line("  datum %s key %v output %v", row.Identity, row.Key, row.Output.Content)
		d.must(tree.Verify(d.ctx, d.r, row.Output))
	}
}

// memo lists every record, and finds each as the engine would.
func (d *description) memo(root *repo.Root) {
	d.Helper()
	cache := pipeline.OpenMemo(d.store)
	d.must(cache.Sync(d.ctx, root.Memo))
	for _, name := range root.Memo {
		b, _, err := objstore.ReadAll(d.ctx, d.store.Objects(), name, objstore.Range{}, 1<<20)
		d.must(err)
		seg, err := memo.OpenSegment(strings.NewReader(string(b)), int64(len(b)))
		d.must(err)
		d.must(seg.Verify())
		d.line("memo segment %s: %d records", name, seg.Len())
		for r, err := range seg.All() {
			d.must(err)
			found, ok, err := cache.Lookup(d.ctx, r.Key, r.Scope)
			d.must(err)
			if !ok || found.Output.Content != r.Output.Content {
				d.Errorf("record %v is not found", r.Key)
			}
			d.must(tree.Verify(d.ctx, d.r, r.Output))
			d.line("  %v output %v exit %d %s to %s scope %s by %q log %s", r.Key, r.Output.Content, r.Exit, stamp(r.Started), stamp(r.Ended),
				r.Scope, r.By, d.content(r.Log))
			d.line("    %v", r.Parts)
		}
	}
}

// history lists every record of every segment.
func (d *description) history(root *repo.Root) {
	d.Helper()
	for _, name := range root.History {
		b, _, err := objstore.ReadAll(d.ctx, d.store.Objects(), name, objstore.Range{}, 1<<20)
		d.must(err)
		seg, err := history.Decode(b)
		d.must(err)
		records, err := seg.Records()
		d.must(err)
		d.line("history segment %s: %d records", name, len(records))
		for _, r := range records {
			d.line("  %s", d.json(r))
		}
	}
}

// jobs lists the jobs as people see them, with their datums and logs.
func (d *description) jobs() {
	d.Helper()
	jobs := pipeline.OpenJobs(d.store, scope)
	all, err := jobs.List(d.ctx, "")
	d.must(err)
	for _, j := range all {
		d.line("job %v %s@%s %s %s", j.ID, j.Pipeline, j.Branch, j.State, d.json(j.Counts))
		for info, err := range jobs.Datums(d.ctx, j.ID) {
			d.must(err)
			log, err := jobs.ReadLog(d.ctx, info.Last)
			d.must(err)
			text, err := io.ReadAll(log)
			d.must(err)
			d.line("  %s %v %s attempts %d %q log %q", info.Identity, info.Key.Short(), info.State, info.Attempts, info.Reason, text)
		}
	}
}
