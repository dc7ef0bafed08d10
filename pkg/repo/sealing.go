package repo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Sealing says when a branch's writes become a version by themselves. A zero
// field leaves it to the [Writer].
type Sealing struct {
	Idle   int64  `json:"idle,omitempty"`   // milliseconds without a write
	Age    int64  `json:"age,omitempty"`    // milliseconds since the first write
	Writes int64  `json:"writes,omitempty"` // how many
	Marker string `json:"marker,omitempty"` // name of a file whose writing seals; "-" for none
}

// sealingMax is the longest that writes may wait to be sealed: a session that
// began before them is still young then.
const sealingMax = 24 * time.Hour

func (s *Sealing) check() error {
	if s == nil {
		return nil
	}
	if limit := sealingMax.Milliseconds(); s.Idle < 0 || s.Idle > limit || s.Age < 0 || s.Age > limit || s.Writes < 0 {
		return invalid("sealing after %d ms idle, %d ms, %d writes: want none negative, and no time above %v", s.Idle, s.Age, s.Writes, sealingMax)
	}
	if *s == (Sealing{}) {
		return invalid("sealing that says nothing")
	}
	if s.Marker == "" || s.Marker == "-" {
		return nil
	}
	if strings.Contains(s.Marker, "/") {
		return invalid("marker %.200q: want a file's name", s.Marker)
	}
	return tree.CheckName(s.Marker)
}

// of returns the options as a branch has them.
func (o WriterOptions) of(s *Sealing) WriterOptions {
	if s == nil {
		return o
	}
	if s.Idle > 0 {
		o.SealIdle = time.Duration(s.Idle) * time.Millisecond
	}
	if s.Age > 0 {
		o.SealAge = time.Duration(s.Age) * time.Millisecond
	}
	if s.Writes > 0 {
		o.SealWrites = s.Writes
	}
	if s.Marker != "" {
		o.Marker = s.Marker
	}
	return o
}

// SetSealing says when a branch is sealed by itself, nil for the defaults.
type SetSealing struct {
	Repo, Branch string
	Sealing      *Sealing
}

func (SetSealing) op() {}

func (c *change) setSealing(op SetSealing) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	b, ok := r.Branches[op.Branch]
	if !ok {
		return fmt.Errorf("branch %s@%.300s: %w", op.Repo, op.Branch, ErrRefNotFound)
	}
	if err := c.allowed(op.Repo, op.Branch, b); err != nil {
		return err
	}
	if err := op.Sealing.check(); err != nil {
		return err
	}
	b.Seal = op.Sealing
	r.Branches[op.Branch] = b
	c.put(op.Repo, r)
	if op.Sealing != nil {
		c.feature(openCommits)
	}
	return nil
}

// feature makes sure that the root has a feature.
func (c *change) feature(name string) {
	if !slices.Contains(c.root.Features, name) {
		c.root.Features = append(slices.Clone(c.root.Features), name)
		slices.Sort(c.root.Features)
	}
}
