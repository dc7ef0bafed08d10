package datum

import (
	"context"
	"fmt"
	"iter"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Emitted yields the further datums that a datum of a pipeline with growth
// emitted, by its output: the entries of spec.GrowDir, each of which sees itself
// as its input spec.GrowInput, and nothing else. The sequence ends after an
// error.
func Emitted(ctx context.Context, r chunk.Reader, output tree.Root) iter.Seq2[Datum, error] {
	return func(yield func(Datum, error) bool) {
		dir, err := emittedIn(ctx, r, output)
		if err != nil {
			yield(Datum{}, err)
		}
		if err != nil || dir == nil {
			return
		}
		each, err := spec.CompileGlob("/*")
		if err != nil {
			yield(Datum{}, err)
			return
		}
		l := &leaf{in: spec.Input{Name: spec.GrowInput}, label: spec.GrowInput, bare: true, glob: each}
		for x, err := range l.glob.Select(ctx, r, dir.Dir) {
			if err != nil {
				yield(Datum{}, fmt.Errorf("read further datums: %w", err))
				return
			}
			if !yield(l.tuple(x).datum(), nil) {
				return
			}
		}
	}
}

// WithoutEmitted returns an output less the further datums in it.
func WithoutEmitted(ctx context.Context, s chunk.Store, output tree.Root) (tree.Root, error) {
	dir, err := emittedIn(ctx, s, output)
	if err != nil || dir == nil {
		return output, err
	}
	output, err = tree.Apply(ctx, s, output, []tree.Edit{{Op: tree.DeleteDir, Path: spec.GrowDir + "/"}})
	if err != nil {
		return output, fmt.Errorf("take further datums out of an output: %w", err)
	}
	return output, nil
}

// emittedIn returns the folder of further datums, nil if there is none.
func emittedIn(ctx context.Context, r chunk.Reader, output tree.Root) (*tree.Entry, error) {
	if output.ID.IsZero() {
		return nil, nil
	}
	dir, err := tree.Open(r, output).Find(ctx, spec.GrowDir+"/")
	if err != nil {
		return nil, fmt.Errorf("read further datums: %w", err)
	}
	return dir, nil
}
