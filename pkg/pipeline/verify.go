package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Verifier looks after the results that are remembered: what there are, and
// whether the work that gave them gives them again. It may be used
// concurrently.
type Verifier struct {
	Store    *repo.Direct
	Runner   task.Runner
	Memo     *memo.Cache
	Scope    string // whose results are looked at
	Platform string // as in "linux/amd64"

	// Now is the clock of what is noted in the history: how a verification went,
	// and each datum that did not give what is remembered. Nil: nothing is noted.
	Now func() time.Time
}

// VerifyQuery says which work is to be done again.
type VerifyQuery struct {
	Pipeline string                             // empty: all
	Branch   string                             // empty: all
	Datums   int                                // at most so many
	Percent  float64                            // if not 0: so many of a hundred, at least one, in place of Datums
	Seed     uint64                             // which ones: the same seed chooses the same of the same results
	May      func(pipeline, branch string) bool // others are left out; nil: none
}

// The outcomes of doing work again.
const (
	SameResult  = "same"
	OtherResult = "differs" // the program is not reproducible
	NoResult    = "failed"  // it does not succeed any more
)

// Verified is a datum whose work was done again.
type Verified struct {
	Pipeline string        `json:"pipeline"`
	Branch   string        `json:"branch"`
	Datum    string        `json:"datum"`
	Key      memo.Key      `json:"key"`
	State    string        `json:"state"`
	Details  []string      `json:"details,omitempty"` // files in which the outputs differ, or why there is none
	Took     time.Duration `json:"took"`              // nanoseconds

	job engine.JobID // that made the output
}

// Stats counts what is remembered.
func (v *Verifier) Stats(ctx context.Context) (memo.Stats, error) {
	if err := v.sync(ctx); err != nil {
		return memo.Stats{}, err
	}
	return v.Memo.Stats(ctx)
}

func (v *Verifier) sync(ctx context.Context) error {
	root, err := v.Store.Root(ctx)
	if err != nil {
		return err
	}
	return v.Memo.Sync(ctx, root.Memo)
}

// Verify does the work of a sample of the datums that the newest outputs of
// pipelines are made of once more, and yields how each compares with what is
// remembered, in no particular order. Nothing of it is kept. Datums whose key
// is another one by now, because what executes their program has changed, are
// left out, and so is work that is never remembered.
func (v *Verifier) Verify(ctx context.Context, q VerifyQuery) iter.Seq2[Verified, error] {
	return func(yield func(Verified, error) bool) {
		chosen, err := v.sample(ctx, q)
		if err != nil {
			yield(Verified{}, err)
			return
		}
		asked := ctx
		ctx, cancel := context.WithCancel(ctx)
		results := make(chan Verified)
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(max(1, v.Runner.Slots()))
		done := make(chan error, 1)
		go func() {
			for _, c := range chosen {
				g.Go(func() error {
					r, err := v.again(ctx, c)
					if err != nil {
						return err
					}
					select {
					case results <- r:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
			}
			done <- g.Wait()
			close(results)
		}()
		defer func() {
			cancel()
			for range results { // until the goroutine above has ended
			}
		}()
		var all []Verified
		for r := range results {
			all = append(all, r)
			if !yield(r, nil) {
				return
			}
		}
		err = <-done
		if err == nil {
			err = v.note(asked, all)
		}
		if err != nil {
			yield(Verified{}, err)
		}
	}
}

// candidate is a datum with the result that is remembered.
type candidate struct {
	pipeline, branch string
	job              engine.JobID // that made the output
	keys             *keying
	datum            datum.Datum
	row              output.Row
}

// sample chooses datums: each is as likely to be chosen as any other.
func (v *Verifier) sample(ctx context.Context, q VerifyQuery) ([]candidate, error) {
	if err := v.sync(ctx); err != nil {
		return nil, err
	}
	snap, err := Observe(ctx, v.Store)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(q.Seed, q.Seed)) //nolint:gosec // chooses datums, not secrets
	var chosen, first []candidate
	seen, found := 0, false
	for _, p := range snap.Pipelines {
		if q.Pipeline != "" && p.Name != q.Pipeline || q.Branch != "" && p.Branch != q.Branch || q.May != nil && !q.May(p.Name, p.Branch) {
			continue
		}
		found = true
		for c, err := range v.candidates(ctx, p) {
			if err != nil {
				return nil, fmt.Errorf("results of pipeline %s@%s: %w", p.Name, p.Branch, err)
			}
			seen++
			switch {
			case q.Percent > 0 && rng.Float64()*100 < q.Percent || q.Percent == 0 && len(chosen) < q.Datums:
				chosen = append(chosen, c)
			case q.Percent == 0:
				if i := rng.IntN(seen); i < len(chosen) {
					chosen[i] = c
				}
			case first == nil:
				first = []candidate{c}
			}
		}
	}
	if !found && q.Pipeline != "" {
		return nil, fmt.Errorf("no pipeline %s on branch %s: %w", q.Pipeline, q.Branch, fs.ErrNotExist)
	}
	if len(chosen) == 0 {
		chosen = first
	}
	return chosen, nil
}

// candidates yields the datums of a pipeline's newest output that have the key
// under which their result is remembered.
func (v *Verifier) candidates(ctx context.Context, p engine.PipelineHead) iter.Seq2[candidate, error] {
	return func(yield func(candidate, error) bool) {
		prov := p.Output.Commit.Prov
		if prov == nil || prov.Datums == nil || prov.Pipeline != p.Name {
			return
		}
		r, err := v.Store.ReadAny(ctx)
		if err != nil {
			yield(candidate{}, err)
			return
		}
		keys, inputs, err := v.read(ctx, r, p, prov)
		if err != nil {
			yield(candidate{}, err)
			return
		}
		if keys.anew() {
			return
		}
		for d, err := range datum.All(ctx, inputs, keys.version.Spec) {
			var row *output.Row
			if err == nil {
				row, err = output.Lookup(ctx, r, *prov.Datums, d.Identity)
			}
			if err == nil && (row == nil || row.Key != keys.key(d)) {
				continue
			}
			if err != nil {
				yield(candidate{}, err)
				return
			}
			if keys.version.Spec.Growth != nil { // the row's output is without the datums that this one emitted
				rec, _, err := v.Memo.Lookup(ctx, row.Key, v.Scope)
				if err != nil || rec.Key != row.Key {
					continue
				}
				row.Output = rec.Output
			}
			d.Inputs = slices.Clone(d.Inputs)
			if !yield(candidate{pipeline: p.Name, branch: p.Branch, job: p.Output.Job(), keys: keys, datum: d, row: *row}, nil) {
				return
			}
		}
	}
}

// read reads the spec version and the inputs of an output.
func (v *Verifier) read(ctx context.Context, r chunk.Reader, p engine.PipelineHead, prov *commit.Provenance) (*keying, datum.Version, error) {
	inputs := datum.Version{Reader: r}
	at, err := commit.Load(ctx, r, prov.Spec)
	if err != nil {
		return nil, inputs, err
	}
	if p.Version, err = LoadVersion(ctx, r, at.Tree); err != nil {
		return nil, inputs, err
	}
	for _, in := range prov.Inputs {
		c, err := commit.Load(ctx, r, in.Commit)
		if err != nil {
			return nil, inputs, err
		}
		inputs.Trees = append(inputs.Trees, c.Tree)
	}
	l := &Lister{Store: v.Store, Runner: v.Runner, Memo: v.Memo, Scope: v.Scope, Platform: v.Platform}
	keys, err := l.keying(ctx, p)
	return keys, inputs, err
}

// again does a datum's work once more and compares.
func (v *Verifier) again(ctx context.Context, c candidate) (Verified, error) {
	out := Verified{Pipeline: c.pipeline, Branch: c.branch, Datum: c.datum.Identity, Key: c.row.Key, State: SameResult, job: c.job}
	r, err := v.Store.ReadAny(ctx)
	if err != nil {
		return out, err
	}
	values, err := datum.Values(ctx, r, c.datum)
	if err != nil {
		return out, err
	}
	t, err := c.keys.taskOf(c.datum, engine.Start{Key: c.row.Key, Attempt: 1}, values)
	if err != nil {
		return out, err
	}
	s := &nowhere{Reader: r}
	res, err := v.Runner.Run(ctx, t, s)
	if err != nil {
		return out, fmt.Errorf("run datum %s of %s@%s again: %w", c.datum.Identity, c.pipeline, c.branch, err)
	}
	out.Took = res.Ended.Sub(res.Started)
	switch {
	case res.Outcome != task.Succeeded:
		out.State, out.Details = NoResult, []string{res.Reason}
	case res.Output.Content != c.row.Output.Content:
		out.State = OtherResult
		out.Details, err = differences(ctx, s, c.row.Output, res.Output)
	}
	return out, err
}

// differencesMax is how many files are named in which two outputs differ.
const differencesMax = 10

// differences names files in which two outputs differ.
func differences(ctx context.Context, r chunk.Reader, was, is tree.Root) ([]string, error) {
	var lines []string
	for c, err := range tree.Diff(ctx, r, was, r, is, tree.DiffOptions{Expand: true}) {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(c.Path, "/") {
			continue
		}
		if len(lines) == differencesMax {
			return append(lines, "and more"), nil
		}
		lines = append(lines, c.Path+" "+c.Kind.String())
	}
	return lines, nil
}

// nowhere is a store that keeps nodes of directories in memory, for as long as
// it is used, and forgets all data that is put into it.
type nowhere struct {
	chunk.Reader

	nodes chunk.Mem
}

// Put implements chunk.Store.
func (n *nowhere) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	if !kind.Meta() {
		return kind.Sum(data), chunk.CheckSize(kind, len(data))
	}
	return n.nodes.Put(ctx, kind, data)
}

// Get implements chunk.Reader.
func (n *nowhere) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	b, err := n.nodes.Get(ctx, kind, id)
	if errors.Is(err, chunk.ErrNotFound) {
		return n.Reader.Get(ctx, kind, id)
	}
	return b, err
}

// Flush implements chunk.Store.
func (n *nowhere) Flush(ctx context.Context) error { return ctx.Err() }
