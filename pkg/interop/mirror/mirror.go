package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// MarkName is the file in a sink that says what it holds. Nothing of a version
// may have this name.
const MarkName = ".dvx-mirror.json"

// Sink is where plain files go. Paths are clean, relative, with slashes. Put
// and Delete may be called concurrently, for different paths.
type Sink interface {
	// Put writes a file whole, with its folders, in place of what has that name.
	Put(ctx context.Context, path string, f File) error
	// Delete removes a file if it is there, and the folders that it leaves empty.
	Delete(ctx context.Context, path string) error
	// Mark returns what SetMark wrote last; fs.ErrNotExist if the sink is empty,
	// fs.ErrExist if it has no mark but holds something.
	Mark(ctx context.Context) ([]byte, error)
	// SetMark writes the mark, after all that was put is durable.
	SetMark(ctx context.Context, mark []byte) error
}

// File is a file or link to be put.
type File struct {
	Kind tree.Kind // tree.File or tree.Symlink, whose bytes are its target
	Exec bool
	Size int64
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// mark says what a sink holds.
type mark struct {
	Format int       `json:"format"` // 1
	Store  string    `json:"store"`  // UUID
	Repo   string    `json:"repo"`
	Held   commit.ID `json:"held"`            // the version that was reached last; zero: none
	Toward commit.ID `json:"toward,omitzero"` // the version that a run was on its way to
}

// Options of [Run].
type Options struct {
	Ref      string      // what to mirror
	Parallel int         // files at once; 8 by default
	Done     func(int64) // called with the bytes of each file that was put; may be nil
}

// Result says what a run did.
type Result struct {
	Commit  commit.ID `json:"commit"`
	Put     int64     `json:"put"`   // files
	Bytes   int64     `json:"bytes"` // of these
	Deleted int64     `json:"deleted"`
}

// Run brings the sink to the version that o.Ref names.
func Run(ctx context.Context, s repo.Store, sink Sink, o Options) (Result, error) {
	res, err := repo.Resolve(ctx, s, o.Ref)
	if err != nil {
		return Result{}, err
	}
	m, err := readMark(ctx, sink)
	if err != nil {
		return Result{}, err
	}
	if m.Store == "" {
		m = mark{Format: 1, Store: s.Config().Store, Repo: res.Ref.Repo}
	}
	if m.Store != s.Config().Store || m.Repo != res.Ref.Repo {
		return Result{}, fmt.Errorf("mirror %s: the place holds %s of another store or repo; use an empty one: %w", o.Ref, m.Repo, fs.ErrExist)
	}
	if o.Parallel == 0 {
		o.Parallel = 8
	}
	r := run{store: s, sink: sink, o: o, mark: m}
	for _, to := range []commit.ID{m.Toward, res.ID} { // first what an earlier run left half done
		if to.IsZero() || to == r.mark.Held {
			continue
		}
		if err := r.advance(ctx, to); err != nil {
			return Result{}, fmt.Errorf("mirror %s: %w; run it again to go on", o.Ref, err)
		}
	}
	r.res.Commit = r.mark.Held
	return r.res, nil
}

func readMark(ctx context.Context, sink Sink) (mark, error) {
	b, err := sink.Mark(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, fmt.Errorf("mirror: %w", err)
	}
	var m mark
	if err := json.Unmarshal(b, &m); err != nil || m.Format != 1 || m.Store == "" {
		return mark{}, fmt.Errorf("mirror: %s is damaged or of a later release; use an empty place: %w", MarkName, fs.ErrInvalid)
	}
	return m, nil
}

func writeMark(ctx context.Context, sink Sink, m mark) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := sink.SetMark(ctx, append(b, '\n')); err != nil {
		return fmt.Errorf("mirror: write %s: %w", MarkName, err)
	}
	return nil
}

// run is one run under way.
type run struct {
	store repo.Store
	sink  Sink
	o     Options
	mark  mark
	res   Result
}

// advance brings the sink from the version that it holds, or from anything
// between that one and to, to the version to.
func (r *run) advance(ctx context.Context, to commit.ID) error {
	old, was, err := r.open(ctx, r.mark.Held)
	if err != nil {
		return err
	}
	fresh, is, err := r.open(ctx, to)
	if err != nil {
		return err
	}
	r.mark.Toward = to
	if err := writeMark(ctx, r.sink, r.mark); err != nil {
		return err
	}
	c := changes{old: old, fresh: fresh, was: was, is: is}
	if err := r.deletes(ctx, c); err != nil {
		return err
	}
	if err := r.puts(ctx, c); err != nil {
		return err
	}
	r.mark.Held, r.mark.Toward = to, commit.ID{}
	return writeMark(ctx, r.sink, r.mark)
}

// open opens the tree of a version.
func (r *run) open(ctx context.Context, id commit.ID) (chunk.Reader, tree.Root, error) {
	if id.IsZero() {
		return new(chunk.Mem), tree.Root{}, nil
	}
	chunks, res, err := repo.OpenReader(ctx, r.store, r.mark.Repo+"@"+id.String())
	if err != nil {
		return nil, tree.Root{}, fmt.Errorf("version %s: %w; if it was collected, mirror into an empty place", id.Short(), err)
	}
	return chunks, res.Commit.Tree, nil
}

// changes are two directories, of which a run makes the second out of the first.
type changes struct {
	old, fresh chunk.Reader
	was, is    tree.Root
}

// deletes removes what is no longer there. It comes before the puts, since a
// file may give way to a folder of its name.
func (r *run) deletes(ctx context.Context, in changes) error {
	return r.each(ctx, in, func(c tree.Change) func(context.Context) error {
		if !isFile(c.Old) || isFile(c.New) {
			return nil
		}
		r.res.Deleted++
		return func(ctx context.Context) error { return r.sink.Delete(ctx, c.Path) }
	})
}

// puts writes what is new or has changed.
func (r *run) puts(ctx context.Context, in changes) error {
	return r.each(ctx, in, func(c tree.Change) func(context.Context) error {
		if !isFile(c.New) {
			return nil
		}
		r.res.Put++
		r.res.Bytes += c.New.Content.Size
		return func(ctx context.Context) error { return r.put(ctx, in.fresh, c.Path, c.New) }
	})
}

func isFile(e tree.Entry) bool { return e.Kind == tree.File || e.Kind == tree.Symlink }

// each does what work returns for each change, several at once. It calls work
// itself for one after the other; nil is nothing to do.
func (r *run) each(ctx context.Context, in changes, work func(tree.Change) func(context.Context) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Parallel)
	for c, err := range tree.Diff(gctx, in.old, in.was, in.fresh, in.is, tree.DiffOptions{Expand: true}) {
		if gctx.Err() != nil {
			break
		}
		if err == nil && c.Path == MarkName {
			err = fmt.Errorf("%s: a mirror keeps its mark under this name: %w", c.Path, fs.ErrExist)
		}
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		if do := work(c); do != nil {
			g.Go(func() error { return do(gctx) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (r *run) put(ctx context.Context, chunks chunk.Reader, path string, e tree.Entry) error {
	f := File{Kind: e.Kind, Exec: e.Exec, Size: e.Content.Size}
	f.Open = func(ctx context.Context) (io.ReadCloser, error) { return chunk.OpenContent(ctx, chunks, e.Content) }
	if err := r.sink.Put(ctx, path, f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.o.Done != nil {
		r.o.Done(f.Size)
	}
	return nil
}
