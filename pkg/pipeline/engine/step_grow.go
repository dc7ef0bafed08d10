package engine

import (
	"fmt"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
)

// Datums may emit further datums of their job. They are taken level by level:
// when all datums of a level are in, those that they emitted are the next one.
// So how many steps it takes to a datum does not depend on which one was done
// first. What was emitted before, by whomever, is not taken again, so a cycle
// ends by itself.

// Grow asks for the datums that datums of a job emitted. Answer: [Grown].
type Grow struct {
	Job   JobSpec
	Epoch int
	Level int            // of Of, from 0
	Of    []output.Datum // with their whole outputs
}

// Grown answers [Grow].
type Grown struct {
	Job   JobID
	Epoch int
	Level int
	Err   error // they could not be listed
	Final bool  // with Err: trying again is of no use
	Items []Emitted
}

// Emitted is a datum that another one emitted.
type Emitted struct {
	Item
	From string // identity of that one
}

func (Grow) effect()     {}
func (Grown) happening() {}

// growth is how far a job whose datums may emit others is.
type growth struct {
	level    int  // that is under way
	expanded int  // items of earlier levels
	asked    bool // a Grow is under way
	emitted  int  // datums so far
	seen     map[string]emission
}

// emission is a datum by identity: what it is, and who emitted it.
type emission struct {
	key  string
	from string
}

// grows reports whether there may be further datums.
func (j *job) grows() bool {
	return j.spec.Head.Version.Spec.Growth != nil && j.growth.expanded < len(j.items)
}

// complete goes on with a job whose datums are all over.
func (s *State) complete(j *job) {
	switch {
	case j.record.Counts.Failed > j.mayLack():
		s.failJob(j)
	case j.grows():
		s.grow(j)
	default:
		s.merge(j)
	}
}

// grow asks what the datums of the present level emitted.
func (s *State) grow(j *job) {
	e := Grow{Job: j.spec, Epoch: j.epoch, Level: j.growth.level}
	for _, it := range j.items[j.growth.expanded:] {
		if !it.lacking {
			e.Of = append(e.Of, output.Datum{Identity: it.identity, Key: it.key, Tree: it.output})
		}
	}
	j.growth.asked = true
	s.emit(e)
}

// onGrown takes on the datums of the next level.
func (s *State) onGrown(of Grown) {
	j := s.jobs[of.Job]
	if j == nil || j.epoch != of.Epoch || j.record.State != history.Running || !j.growth.asked || j.growth.level != of.Level || !j.retryAt.IsZero() {
		return
	}
	if of.Err != nil {
		s.lost(j, of.Err, of.Final)
		return
	}
	g := &j.growth
	first := len(j.items)
	fresh, problem := j.unseen(of.Items)
	if problem != "" {
		s.end(j, history.Failed, problem)
		return
	}
	g.asked, g.expanded = false, first
	g.level++
	for i, it := range fresh {
		j.items = append(j.items, item{})
		s.want(j, first+i, it.Item)
		switch {
		case !j.items[first+i].done:
		case j.owed > 0:
			j.owed--
			j.record.Counts.Ran++
		default:
			j.record.Counts.Hit++
		}
	}
	j.record.Counts.Total += int64(len(fresh))
	if j.left == 0 {
		s.complete(j)
	}
}

// unseen returns the datums that were not emitted before, or why the job can't
// go on with them.
func (j *job) unseen(all []Emitted) (fresh []Emitted, problem string) {
	g, limits := &j.growth, j.spec.Head.Version.Spec.Growth
	if g.seen == nil {
		g.seen = map[string]emission{}
	}
	for _, it := range all {
		key := it.Key.String()
		if was, ok := g.seen[it.Identity]; ok && was.key == key {
			continue
		} else if ok {
			return nil, fmt.Sprintf("datums %s and %s emit different datums %s: give them different names", was.from, it.From, it.Identity)
		}
		g.seen[it.Identity] = emission{key: key, from: it.From}
		fresh = append(fresh, it)
		g.emitted++
		switch {
		case g.level >= limits.Depth:
			return nil, fmt.Sprintf("datum %s emits %s in step %d, more than growth.depth allows", it.From, it.Identity, g.level+1)
		case g.emitted > limits.Max:
			return nil, fmt.Sprintf("datums emit more than %d further datums, which is growth.max", limits.Max)
		}
	}
	return fresh, ""
}
