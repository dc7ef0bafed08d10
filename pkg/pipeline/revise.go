package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
)

// pausedLabel is the label of a spec commit whose pipeline is paused: its value
// is who paused it.
const pausedLabel = "dvx.paused"

// Revision is a change of a pipeline's version that brings no new spec: back to
// an earlier one, or a pause.
type Revision struct {
	To      commit.ID // an earlier version; zero: the present one
	Pause   bool      // its jobs are not started any more
	Author  string
	Message string
	Op      repo.OpID // the same operation revises once
	Time    time.Time
}

// Revise makes a version of a pipeline of what an earlier one, or the present
// one, holds. It is as complete and as final as [Register]: the versions
// between stay in the history. It fails with fs.ErrNotExist if there is no such
// pipeline, and with fs.ErrInvalid if To is none of its versions.
func Revise(ctx context.Context, s repo.Store, name, branch string, r Revision) (commit.ID, error) {
	view, err := s.View(ctx)
	if err != nil {
		return commit.ID{}, err
	}
	now, ok := view.Repos[name].Specs[branch]
	if !ok || now.Commit.IsZero() {
		return commit.ID{}, fmt.Errorf("no pipeline %s on branch %s: %w", name, branch, fs.ErrNotExist)
	}
	sess, err := s.Session(ctx, repo.Scope{Repo: name, Branch: branch})
	if err != nil {
		return commit.ID{}, err
	}
	defer func() { _ = sess.Close() }()
	present, err := commit.Load(ctx, sess, now.Commit)
	if err != nil {
		return commit.ID{}, err
	}
	from := present
	for id := now.Commit; !r.To.IsZero() && id != r.To; {
		if len(from.Parents) == 0 {
			return commit.ID{}, fmt.Errorf("%s is no version of pipeline %s@%s; dvx pipeline log shows them: %w", r.To.Short(), name, branch, fs.ErrInvalid)
		}
		id = from.Parents[0]
		if from, err = commit.Load(ctx, sess, id); err != nil {
			return commit.ID{}, err
		}
	}
	c := commit.Commit{
		Tree: from.Tree, Parents: []commit.ID{now.Commit}, Author: r.Author, Message: r.Message, Time: commit.Stamp(r.Time), Op: r.Op.String(),
		Labels: maps.Clone(present.Labels),
	}
	if r.To.IsZero() { // another version does not end a pause
		delete(c.Labels, pausedLabel)
	}
	if r.Pause {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[pausedLabel] = r.Author
	}
	if !c.Time.After(present.Time) {
		c.Time = present.Time.Add(time.Millisecond)
	}
	id, err := commit.Save(ctx, sess, c)
	if err != nil {
		return id, err
	}
	move := repo.MoveSpec{Repo: name, Branch: branch, Expect: now.Commit, To: id}
	if _, err := sess.Publish(ctx, repo.Txn{Op: r.Op, Ops: []repo.Op{move}}); err != nil {
		return id, fmt.Errorf("revise pipeline %s on %s: %w", name, branch, err)
	}
	return id, nil
}

// Paused says who paused the pipeline of a spec commit, if somebody did.
func Paused(c commit.Commit) (by string, paused bool) {
	by, paused = c.Labels[pausedLabel]
	return by, paused
}
