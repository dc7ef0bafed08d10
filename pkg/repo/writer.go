package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// WriterOptions say when a [Writer] seals. The zero value works.
type WriterOptions struct {
	// SealIdle is after how long without a write a branch is sealed. Default
	// 2 s: a client that pauses longer has done.
	SealIdle time.Duration
	// SealAge is after how long it is sealed although writes go on. Default
	// 60 s: pipelines wait no longer for what is there.
	SealAge time.Duration
	// SealWrites is after how many writes. Default 100,000.
	SealWrites int64
	// Marker is the name of a file whose writing seals the branch, in whatever
	// directory. Default "_SUCCESS", as many programs write it; "-" for none.
	Marker string
	// Manual leaves sealing by time and number to others, and the session open
	// until Close: for a Writer that does not live long.
	Manual bool
}

func (o *WriterOptions) applyDefaults() {
	if o.SealIdle <= 0 {
		o.SealIdle = 2 * time.Second
	}
	if o.SealAge <= 0 {
		o.SealAge = time.Minute
	}
	if o.SealWrites <= 0 {
		o.SealWrites = 100_000
	}
	if o.Marker == "" {
		o.Marker = "_SUCCESS"
	}
}

// OpenEdit is one write to an open commit.
type OpenEdit struct {
	// Path is of a file or link ("a/b"), or with "/" at its end of a directory's
	// marker.
	Path string
	// Entry is the file or link to be put there, or has the Marker to be put;
	// nil removes what is there. The Attrs replace those that were there; a zero
	// Time or Op becomes that of the write.
	Entry *tree.Entry
	// Check, if not nil, is asked whether the write may be made, given what is
	// visible at Path at that moment, nil for nothing; its error is what Write
	// returns, and nothing of the OpenWrite is written then. It may be asked
	// again, from another goroutine, and after a Write whose context has ended.
	Check func(there *tree.Entry) error
	// Keep seals the branch first where the write would take away something that
	// this Writer can tell is no version yet: other content than the Entry's, or a
	// removal. Writers elsewhere may still come between.
	Keep bool
}

// OpenWrite is a set of writes to one branch that become visible together or
// not at all.
type OpenWrite struct {
	Repo, Branch string
	Op           OpID // of the write, as its entries will say; a fresh one if zero
	Edits        []OpenEdit
}

// Written is a write that was acknowledged: it is durable, and visible to every
// reader.
type Written struct {
	Gen  uint64    // of the root that has it
	Time time.Time // that its entries say
	Op   OpID
}

// OpenEditsMax is the largest number of edits in one OpenWrite.
const OpenEditsMax = 10_000

// Writer adds writes to open commits. Writes that come while the root is being
// swapped share the next swap: many clients that write small files cost few
// swaps. A process makes one Writer for a store. It may be used concurrently.
type Writer struct {
	d *Direct
	o WriterOptions

	stop    context.CancelFunc
	tended  chan struct{} // closed when the goroutine that seals has ended
	opening chan struct{} // has room for who opens a session

	mu      sync.Mutex
	closed  bool
	session *sharedSession // for new uploads
	queue   []*pendingWrite
	arrived chan struct{} // has a token when the queue has grown
	running bool
	groups  sync.WaitGroup

	touched touchedBranches // of the goroutine that commits groups
}

// NewWriter starts a Writer, and the sealing of what it and others have
// written. ctx carries no deadline: it ends with Close. The caller closes it.
func NewWriter(ctx context.Context, d *Direct, o WriterOptions) *Writer {
	o.applyDefaults()
	ctx, stop := context.WithCancel(auth.With(context.WithoutCancel(ctx), auth.Owner))
	w := &Writer{d: d, o: o, stop: stop, tended: make(chan struct{}), opening: make(chan struct{}, 1), arrived: make(chan struct{}, 1)}
	if o.Manual {
		close(w.tended)
	} else {
		go w.tend(ctx)
	}
	return w
}

// Close waits for the writes under way and ends the Writer. What is not sealed
// stays open, and visible.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.stop()
	<-w.tended
	w.groups.Wait()
	w.mu.Lock()
	s := w.session
	w.session = nil
	w.mu.Unlock()
	return s.release()
}

// ErrWriterClosed is the error of a Writer that was closed.
var ErrWriterClosed = errors.New("writer is closed")

// Upload stores the content of a write. It is for one write, and for one
// goroutine. The caller closes it.
type Upload struct {
	w *Writer
	s *sharedSession
}

// Upload begins a write. The content of an upload that is closed without Write
// is collected later.
func (w *Writer) Upload(ctx context.Context) (*Upload, error) {
	s, err := w.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &Upload{w: w, s: s}, nil
}

// Content stores the bytes of r up to io.EOF, within bounded memory. After Close
// it fails with fs.ErrClosed.
func (u *Upload) Content(ctx context.Context, r io.Reader) (chunk.Content, error) {
	if u.s == nil {
		return chunk.Content{}, errUploadClosed
	}
	return chunk.WriteContent(ctx, u.s.session, u.w.d.config.Chunker, r)
}

// Store returns where the upload's chunks go, for content that is cut
// elsewhere. It must not be called after Close.
func (u *Upload) Store() chunk.Store { return u.s.session }

// errUploadClosed is the error of an Upload that was closed.
var errUploadClosed = fmt.Errorf("upload: %w", fs.ErrClosed)

// Close ends the upload; a second time it does nothing.
func (u *Upload) Close() error {
	s := u.s
	u.s = nil
	return s.release()
}

// Write makes the writes of t, whose content was stored through u or is
// visible already. When it returns nil they are durable and visible. Errors are
// those of a Check, fs.ErrInvalid for a path or entry that is not valid,
// ErrRefNotFound, ErrProtected, objstore.ErrThrottled if the content must be
// uploaded once more or too many branches are open, fs.ErrClosed after Close and
// ErrWriterClosed after the Writer's, and ErrUnknown: they may be visible or
// become so; repeat the write.
func (u *Upload) Write(ctx context.Context, t OpenWrite) (Written, error) {
	if u.s == nil {
		return Written{}, fmt.Errorf("write to %s@%s: %w", t.Repo, t.Branch, errUploadClosed)
	}
	p, err := u.w.prepare(ctx, u.s, t)
	if err == nil {
		err = u.w.enqueue(ctx, p)
	}
	if err != nil {
		return Written{}, fmt.Errorf("write to %s@%s: %w", t.Repo, t.Branch, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		// It may be on its way: nobody waits for the outcome.
		return Written{}, fmt.Errorf("write to %s@%s: %w: %w", t.Repo, t.Branch, ErrUnknown, ctx.Err())
	}
	if p.err != nil {
		return Written{}, fmt.Errorf("write to %s@%s: %w", t.Repo, t.Branch, p.err)
	}
	return p.written, nil
}

// Write makes writes that need no new content: removals, copies, markers.
func (w *Writer) Write(ctx context.Context, t OpenWrite) (Written, error) {
	u, err := w.Upload(ctx)
	if err != nil {
		return Written{}, err
	}
	defer func() { _ = u.Close() }()
	return u.Write(ctx, t)
}

// Seal makes the writes of a branch its next version. It returns the branch's
// commit; without any writes that is the one it was at.
func (w *Writer) Seal(ctx context.Context, repo, branch string) (commit.ID, error) {
	op, err := w.d.NewOp()
	if err != nil {
		return commit.ID{}, err
	}
	if _, err := w.d.seal(ctx, op, repo, branch); err != nil {
		return commit.ID{}, err
	}
	l, err := w.d.load(ctx)
	if err != nil {
		return commit.ID{}, err
	}
	return l.root.Repos[repo].Branches[branch].Commit, nil
}

// pendingWrite is an OpenWrite on its way.
type pendingWrite struct {
	OpenWrite
	who     string
	session *sharedSession
	checked bool // it has a Check
	later   int  // how often it had to wait for a seal
	leans   bool // err is a refusal because of another write of the group
	done    chan struct{}
	written Written
	err     error
}

// prepare checks what can be checked before anything is known of the branch.
func (w *Writer) prepare(ctx context.Context, s *sharedSession, t OpenWrite) (*pendingWrite, error) {
	who, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	if len(t.Edits) == 0 || len(t.Edits) > OpenEditsMax {
		return nil, invalid("%d edits: want 1 to %d", len(t.Edits), OpenEditsMax)
	}
	if t.Op.IsZero() {
		if t.Op, err = w.d.NewOp(); err != nil {
			return nil, err
		}
	}
	p := &pendingWrite{OpenWrite: t, who: who.Name, session: s, done: make(chan struct{})}
	for i := range t.Edits {
		if err := t.Edits[i].validate(); err != nil {
			return nil, err
		}
		p.checked = p.checked || t.Edits[i].Check != nil
	}
	return p, nil
}

// validate checks the form of an edit.
func (e *OpenEdit) validate() error {
	name, isMarker := strings.CutSuffix(e.Path, "/")
	if err := tree.CheckPath(name); err != nil {
		return err
	}
	if len(e.Path) > tree.PathSizeMax-len(batchPut)-1 || strings.Count(e.Path, "/") > tree.PathDepthMax-3 {
		return invalid("path %.80q… is too long or too deep for an open commit", e.Path)
	}
	if e.Entry == nil {
		return nil
	}
	if isMarker != (e.Entry.Marker != nil) || !isMarker && e.Entry.Kind != tree.File && e.Entry.Kind != tree.Symlink {
		return invalid("path %.200q: want a file or link, or a marker at a path that ends in /", e.Path)
	}
	return e.checkAttrs()
}

// checkAttrs refuses attributes that no entry can have, before others share
// the fate of the write.
func (e *OpenEdit) checkAttrs() error {
	as := *e.Entry
	as.Name = path.Base(e.Path)
	most := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) // no stamp is longer
	if as.Marker != nil {
		m := *as.Marker
		stamp(&m.Attrs, most, OpID{0xff})
		as = tree.Entry{Name: as.Name, Kind: tree.File, Content: m.Content, Attrs: m.Attrs}
	} else {
		stamp(&as.Attrs, most, OpID{0xff})
	}
	return tree.CheckEntry(as)
}

// edit returns the tree's edit, stamped.
func (e *OpenEdit) edit(at time.Time, op OpID) tree.Edit {
	name, isMarker := strings.CutSuffix(e.Path, "/")
	switch {
	case isMarker && e.Entry == nil:
		return tree.Edit{Op: tree.Mark, Path: name}
	case isMarker:
		m := *e.Entry.Marker
		stamp(&m.Attrs, at, op)
		return tree.Edit{Op: tree.Mark, Path: name, Marker: &m, SetAttrs: true}
	case e.Entry == nil:
		return tree.Edit{Op: tree.Delete, Path: name}
	default:
		put := *e.Entry
		stamp(&put.Attrs, at, op)
		return tree.Edit{Op: tree.Put, Path: name, Entry: put, SetAttrs: true}
	}
}

func stamp(a *tree.Attrs, at time.Time, op OpID) {
	if a.Time.IsZero() {
		a.Time = at
	}
	if a.Op == (tree.OpID{}) {
		a.Op = tree.OpID(op)
	}
}
