package s3repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
)

const (
	// headMax is how much of a body is read before it counts as long: what is
	// shorter takes no turn.
	headMax = 64 << 10
	// turnsMax is how many long bodies are cut and stored at once. One takes up
	// to the ten blocks of 16 MiB of a chunk.Writer, four on two processors; two
	// fill these, and the third is for those that wait.
	turnsMax = 3
)

// intake takes in bodies, within bounded memory however many come at once. A
// long one is stored as it comes while there is a turn to spare; else it goes to
// a file first, and is stored from there in its turn. So slow clients hold
// neither memory nor, all of them, the turns; one is always left for what has
// come whole.
type intake struct {
	dir   string // of the files; "" is the system's for temporary files
	turns *semaphore.Weighted
	heads sync.Pool // of *[headMax]byte

	params  chunk.Params
	writers sync.Pool // of *bodyWriter
}

func newIntake(dir string, p chunk.Params) *intake {
	return &intake{
		dir: dir, params: p, turns: semaphore.NewWeighted(turnsMax),
		heads: sync.Pool{New: func() any { return new([headMax]byte) }},
	}
}

// bodyWriter is a chunk.Writer for one body at a time, whose buffers serve the
// next one too, though that may go to another session.
type bodyWriter struct {
	*chunk.Writer
	to *destination
}

type destination struct{ chunk.Store }

// writer returns a bodyWriter that nobody else uses.
func (in *intake) writer() (*bodyWriter, error) {
	if w, ok := in.writers.Get().(*bodyWriter); ok {
		return w, nil
	}
	to := &destination{}
	w, err := chunk.NewWriter(to, in.params)
	return &bodyWriter{w, to}, err
}

// store stores a body through an upload of w, which the caller closes. The
// upload begins no sooner than it must.
func (in *intake) store(ctx context.Context, w *repo.Writer, body io.Reader) (*repo.Upload, chunk.Content, error) {
	head := in.heads.Get().(*[headMax]byte)
	defer in.heads.Put(head)
	n, err := io.ReadFull(body, head[:])
	short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !short {
		return nil, chunk.Content{}, err
	}
	if short {
		return in.begin(ctx, w, bytes.NewReader(head[:n]))
	}
	body = io.MultiReader(bytes.NewReader(head[:n]), body)
	if in.turns.TryAcquire(2) { // this one's, and one that is left
		in.turns.Release(1)
		defer in.turns.Release(1)
		return in.begin(ctx, w, body)
	}
	f, err := in.spool(body)
	if err != nil {
		return nil, chunk.Content{}, err
	}
	defer func() { _ = f.Close() }() // it has no name any more
	if err := in.turns.Acquire(ctx, 1); err != nil {
		return nil, chunk.Content{}, err
	}
	defer in.turns.Release(1)
	return in.begin(ctx, w, f)
}

// begin begins an upload and stores what r has.
func (in *intake) begin(ctx context.Context, w *repo.Writer, r io.Reader) (*repo.Upload, chunk.Content, error) {
	body, err := in.writer()
	if err != nil {
		return nil, chunk.Content{}, err
	}
	u, err := w.Upload(ctx)
	if err != nil {
		return nil, chunk.Content{}, err
	}
	body.to.Store = u.Store()
	c, err := body.WriteContent(ctx, r)
	body.to.Store = nil
	in.writers.Put(body)
	if err != nil {
		return nil, chunk.Content{}, errors.Join(err, u.Close())
	}
	return u, c, nil
}

// spool writes a body to a file without a name and goes back to its beginning.
func (in *intake) spool(body io.Reader) (*os.File, error) {
	f, err := os.CreateTemp(in.dir, "dvx-upload-*")
	if err != nil {
		return nil, fmt.Errorf("take in an upload: %w", err)
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = io.Copy(f, body)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
