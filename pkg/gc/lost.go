package gc

import (
	"context"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// lostPath is a path of a version that can't be read in full. A directory's
// ends in "/": it can't be listed.
type lostPath struct {
	path string
	why  string
	size int64
}

// locator finds the paths that bad chunks are needed for.
type locator struct {
	r     chunk.Reader
	bad   *badChunks
	clean map[tree.ID]bool // directories without losses
	most  int
	found []lostPath
}

// lostPathsMax is how many lost paths of one version are named.
const lostPathsMax = 10_000

// locate returns the lost paths of a directory, in order.
func locate(ctx context.Context, r chunk.Reader, bad *badChunks, root tree.Root) ([]lostPath, error) {
	l := &locator{r: r, bad: bad, clean: map[tree.ID]bool{}, most: lostPathsMax}
	err := l.dir(ctx, root, "")
	return l.found, err
}

func (l *locator) dir(ctx context.Context, root tree.Root, prefix string) error {
	if l.clean[root.ID] {
		return nil
	}
	before := len(l.found)
	for e, err := range tree.Open(l.r, root).Entries(ctx, "", "") {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			l.lose(prefix, err.Error(), root.Bytes)
			return nil
		case len(l.found) >= l.most:
			return nil
		case e.Kind == tree.Dir:
			if err := l.dir(ctx, e.Dir, prefix+e.Name+"/"); err != nil {
				return err
			}
		default:
			l.content(ctx, e.Content, prefix+e.Name)
		}
	}
	if len(l.found) == before {
		l.clean[root.ID] = true
	}
	return nil
}

// content looks whether all chunks of a file are sound.
func (l *locator) content(ctx context.Context, c chunk.Content, path string) {
	var lost *chunk.Ref
	err := chunk.VisitContent(ctx, l.r, c, func(kind chunk.Kind, id chunk.ID, _ int64) error {
		if r := (chunk.Ref{Kind: kind, ID: id}); lost == nil && l.bad.has(r) {
			lost = &r
		}
		return nil
	})
	switch {
	case lost != nil:
		l.lose(path, refText(*lost)+" is lost", c.Size)
	case err != nil && ctx.Err() == nil:
		l.lose(path, err.Error(), c.Size)
	}
}

func (l *locator) lose(path, why string, size int64) {
	l.found = append(l.found, lostPath{path, why, size})
}

// checkPaths names the paths of branches and tags that the bad chunks are
// needed for.
func (c *checker) checkPaths(ctx context.Context) error {
	if len(c.bad.refs) == 0 {
		return nil
	}
	for _, p := range places(c.root) {
		v, err := commit.Load(ctx, c.snap, p.commit)
		if err != nil {
			continue // found before
		}
		lost, err := locate(ctx, c.snap, &c.bad, v.Tree)
		if err != nil {
			return err
		}
		for _, l := range lost {
			c.f.add(Finding{Severity: Damage, Kind: LostPath, Repo: p.repo, Ref: p.ref, Commit: p.commit, Path: l.path, Detail: l.why})
		}
	}
	return nil
}
