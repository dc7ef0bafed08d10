package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// DatumsLabel is the label of an output commit that says how many datums its
// table has.
const DatumsLabel = "dvx.datums"

// LacksLabel is the label of an output commit that says how many datums of its
// job are not in its table because they have no result. They are tried again by
// the next job.
const LacksLabel = "dvx.lacks"

// author is whom output commits name: they are made by nobody in particular,
// and everywhere alike.
const author = "dvx"

// PublishOp returns the operation ID with which a job's output is published on
// top of the previous one: whoever does it, and however often, it is the same.
func PublishOp(j JobSpec) repo.OpID {
	sum := chunk.Data.Sum([]byte("dvx 2026-11 v1 publish " + j.ID.String() + " " + j.Head.Output.ID.String()))
	return repo.OpID(sum[:len(repo.OpID{})])
}

// StampOf returns the time and the operation of the commit that j makes: a
// function of its inputs, so that a replay gives the same commit.
func StampOf(j JobSpec) tree.Attrs {
	at := j.Head.SpecCommit.Time
	for _, in := range j.Head.Inputs {
		at = later(at, in.Head.Commit.Time)
	}
	if !j.Head.Output.ID.IsZero() {
		at = later(at, j.Head.Output.Commit.Time.Add(time.Millisecond))
	}
	return tree.Attrs{Time: commit.Stamp(at), Op: tree.OpID(PublishOp(j))}
}

// OutputCommit returns the commit of a job's output, given the merge of its
// datums, their number, and that of those without a result. It is a pure
// function.
func OutputCommit(j JobSpec, m output.Merging, datums, lacks int64) commit.Commit {
	p, stamp := j.Head, StampOf(j)
	c := commit.Commit{
		Tree: m.Tree, Author: author, Time: stamp.Time, Op: repo.OpID(stamp.Op).String(),
		Message: fmt.Sprintf("output of pipeline %s", p.Name),
		Labels:  map[string]string{DatumsLabel: strconv.FormatInt(datums, 10)},
		Origins: originsOf(p),
		Prov: &commit.Provenance{
			Pipeline: p.Name, Branch: p.Branch, Spec: p.Spec, Job: j.ID.String(), Inputs: j.inputs(),
			Parameters: p.Version.Spec.Parameters, Principal: p.SpecCommit.Author, Datums: &m.Table,
		},
	}
	if lacks > 0 {
		c.Labels[LacksLabel] = strconv.FormatInt(lacks, 10)
	}
	if !p.Version.Code.ID.IsZero() {
		c.Prov.Code = p.Version.Code.Content.String()
	}
	if !p.Output.ID.IsZero() {
		c.Parents = []commit.ID{p.Output.ID}
	}
	c.Run = RunOf(p)
	return c
}

// originsOf returns the commits by users from which a pipeline's inputs come,
// sorted: what its inputs say, or the inputs themselves.
func originsOf(p PipelineHead) []commit.Ref {
	var all []commit.Ref
	for _, in := range p.Inputs {
		all = append(all, in.origins()...)
	}
	slices.SortFunc(all, func(a, b commit.Ref) int { return strings.Compare(originLine(a), originLine(b)) })
	return slices.Compact(all)
}

func originLine(r commit.Ref) string { return r.Repo + "@" + r.Branch + " " + r.Commit.String() + "\n" }

// RunOf returns the run ID of what a pipeline makes of its inputs: that of the
// input whose commit is the newest. So one commit by a user has one run ID
// through the whole graph, also where other sources join in that did not
// change. It is empty while an input has no commit.
func RunOf(p PipelineHead) string {
	run := ""
	var newest commit.Commit
	for _, in := range p.Inputs {
		if in.Head.ID.IsZero() {
			return ""
		}
		id := in.Head.Commit.Run
		if id == "" {
			id = OriginRun(in.origins())
		}
		if c := in.Head.Commit.Time.Compare(newest.Time); run == "" || c > 0 || c == 0 && id < run {
			run, newest = id, in.Head.Commit
		}
	}
	return run
}

// OriginRun returns the run ID that begins with commits by users.
func OriginRun(origins []commit.Ref) string {
	var b strings.Builder
	b.WriteString("dvx 2026-11 v1 run\n")
	for _, o := range origins {
		b.WriteString(originLine(o))
	}
	return chunk.Data.Sum([]byte(b.String())).String()
}

// CountOf returns how many datums the table of an output commit has, as the
// commit says. It reports false if the commit does not say, or if the job had
// others.
func CountOf(c commit.Commit) (int64, bool) {
	n, err := strconv.ParseInt(c.Labels[DatumsLabel], 10, 64)
	return n, err == nil && n >= 0 && c.Labels[LacksLabel] == ""
}
