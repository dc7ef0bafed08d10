package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// dataService moves chunks within scopes.
type dataService struct {
	dvxv1.UnimplementedDataServiceServer
	s *Server
}

// Limits on one call.
const (
	chunksMax  = 4096     // that ReadChunks may ask for
	writtenMax = 64 << 10 // that WriteChunks may bring: their IDs make one answer
)

// OpenReader implements dvxv1.DataServiceServer. A commit must belong to the
// repo that the caller may read.
func (d *dataService) OpenReader(ctx context.Context, req *dvxv1.OpenReaderRequest) (*dvxv1.OpenReaderResponse, error) {
	what, p, err := d.open(ctx, req.GetScope(), auth.Read)
	if err != nil {
		return nil, err
	}
	if err := d.s.histories.check(ctx, what.Repo, what.Commit); err != nil {
		return nil, err
	}
	if handle := req.GetHandle(); handle != "" {
		sc, release, err := d.s.scopes.use(handle, p)
		if err != nil {
			return nil, err
		}
		defer release()
		if sc.session != nil || sc.what.Repo != what.Repo {
			return nil, fmt.Errorf("the open scope is not a reader of %s: %w", what.Repo, ErrScope)
		}
		return &dvxv1.OpenReaderResponse{Handle: handle}, sc.name(commitRef(what.Commit))
	}
	r, err := d.s.opts.Store.Reader(ctx, what)
	if err != nil {
		return nil, err
	}
	sc := &scope{owner: p, what: what, reader: r}
	handle, err := d.s.scopes.add(sc)
	if err != nil {
		return nil, err
	}
	return &dvxv1.OpenReaderResponse{Handle: handle}, sc.name(commitRef(what.Commit))
}

// OpenSession implements dvxv1.DataServiceServer. A session reads what it
// builds on, so that it takes both rights.
func (d *dataService) OpenSession(ctx context.Context, req *dvxv1.OpenSessionRequest) (*dvxv1.OpenSessionResponse, error) {
	what, p, err := d.open(ctx, req.GetScope(), auth.Write)
	if err != nil {
		return nil, err
	}
	// The session outlives this call.
	sess, err := d.s.opts.Store.Session(context.WithoutCancel(ctx), what)
	if err != nil {
		return nil, err
	}
	handle, err := d.s.scopes.add(&scope{owner: p, what: what, reader: sess, session: sess})
	if err != nil {
		return nil, errors.Join(err, sess.Close())
	}
	return &dvxv1.OpenSessionResponse{Handle: handle}, nil
}

// open reads a scope's message and asks for the right to it. Reading is a right
// to the whole repo: a commit is not on one branch alone, and which one the
// caller says it is on proves nothing.
func (d *dataService) open(ctx context.Context, m *dvxv1.Scope, a auth.Action) (repo.Scope, auth.Principal, error) {
	id, err := idFrom(m.GetCommit())
	if err != nil {
		return repo.Scope{}, auth.Principal{}, err
	}
	what := repo.Scope{Repo: m.GetRepo(), Branch: m.GetBranch(), Commit: id}
	if err := d.s.allow(ctx, auth.Read, auth.Resource{Repo: what.Repo}); err != nil {
		return what, auth.Principal{}, err
	}
	if a != auth.Read {
		on := auth.Resource{Repo: what.Repo, Branch: what.Branch}
		err := d.s.allow(ctx, a, on)
		if err != nil && d.s.allow(ctx, auth.WritePipeline, on) != nil { // for a spec; what is moved is asked for when it is published
			return what, auth.Principal{}, err
		}
	}
	p, err := auth.From(ctx)
	return what, p, err
}

// use finds the scope of a handle for the caller.
func (d *dataService) use(ctx context.Context, handle string) (*scope, func(), error) {
	p, err := auth.From(ctx)
	if err != nil {
		return nil, nil, err
	}
	sc, release, err := d.s.scopes.use(handle, p)
	if err != nil {
		return nil, nil, err
	}
	if err := d.s.allow(ctx, auth.Read, auth.Resource{Repo: sc.what.Repo}); err != nil { // it may have been taken away since
		release()
		return nil, nil, err
	}
	return sc, release, nil
}

// ReadChunks implements dvxv1.DataServiceServer.
func (d *dataService) ReadChunks(req *dvxv1.ReadChunksRequest, stream grpc.ServerStreamingServer[dvxv1.ReadChunksResponse]) error {
	ctx := stream.Context()
	sc, release, err := d.use(ctx, req.GetHandle())
	if err != nil {
		return err
	}
	defer release()
	if len(req.GetChunks()) > chunksMax {
		return fmt.Errorf("%d chunks asked for at once, at most %d: %w", len(req.GetChunks()), chunksMax, fs.ErrInvalid)
	}
	for i, ref := range req.GetChunks() {
		b, err := d.read(ctx, sc, ref)
		if err != nil {
			return err
		}
		if err := sendPieces(stream, uint32(i), b); err != nil {
			return err
		}
	}
	return nil
}

// read returns one chunk if the scope allows it, and names what it names.
func (d *dataService) read(ctx context.Context, sc *scope, ref *dvxv1.ChunkRef) ([]byte, error) {
	id, err := idFrom(ref.GetId())
	if err != nil {
		return nil, err
	}
	kind := chunk.Kind(ref.GetKind()) //nolint:gosec // checked on the next line; a larger number wraps to another kind at worst
	if !kind.Valid() || uint32(kind) != ref.GetKind() {
		return nil, fmt.Errorf("chunk kind %d: %w", ref.GetKind(), fs.ErrInvalid)
	}
	if !sc.allows(chunk.Ref{Kind: kind, ID: chunk.ID(id)}) {
		// A session may always begin at any commit of its repo.
		if kind != chunk.Commit || sc.session == nil || d.s.histories.check(ctx, sc.what.Repo, id) != nil {
			return nil, fmt.Errorf("%v %s: nothing read in this scope names it: %w", kind, id.Short(), ErrScope)
		}
	}
	b, err := sc.reader.Get(ctx, kind, chunk.ID(id))
	if err != nil {
		return nil, err
	}
	names, err := named(kind, b)
	if err != nil {
		return nil, err
	}
	return b, sc.name(names...)
}

func commitRef(id commit.ID) chunk.Ref { return chunk.Ref{Kind: chunk.Commit, ID: chunk.ID(id)} }

func nodeRef(id chunk.ID) chunk.Ref { return chunk.Ref{Kind: chunk.Node, ID: id} }

// named lists the chunks that a chunk names.
func named(kind chunk.Kind, b []byte) ([]chunk.Ref, error) {
	switch kind {
	case chunk.Commit:
		c, err := commit.Decode(b)
		if err != nil {
			return nil, err
		}
		var refs []chunk.Ref
		for _, root := range c.Trees() {
			refs = append(refs, nodeRef(chunk.ID(root.ID)))
		}
		for _, p := range c.Parents {
			refs = append(refs, commitRef(p))
		}
		if c.Prov != nil {
			refs = append(refs, commitRef(c.Prov.Spec))
		}
		return refs, nil
	case chunk.Node:
		return tree.NodeRefs(b)
	case chunk.List:
		return chunk.ListRefs(b)
	default:
		return nil, nil
	}
}

// sendPieces sends one chunk in pieces that fit a message.
func sendPieces(stream grpc.ServerStreamingServer[dvxv1.ReadChunksResponse], index uint32, b []byte) error {
	for {
		n := min(len(b), pieceSize)
		if err := stream.Send(&dvxv1.ReadChunksResponse{Index: index, Data: b[:n], Last: n == len(b)}); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
}

// WriteChunks implements dvxv1.DataServiceServer.
func (d *dataService) WriteChunks(stream grpc.ClientStreamingServer[dvxv1.WriteChunksRequest, dvxv1.WriteChunksResponse]) error {
	ctx := stream.Context()
	var (
		sc   *scope
		resp dvxv1.WriteChunksResponse
		kind chunk.Kind
		buf  []byte
	)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if len(buf) > 0 {
				return fmt.Errorf("the stream ended within a chunk: %w", fs.ErrInvalid)
			}
			return stream.SendAndClose(&resp)
		}
		if err != nil {
			return err
		}
		if sc == nil {
			var release func()
			if sc, release, err = d.use(ctx, m.GetHandle()); err != nil {
				return err
			}
			defer release()
			if sc.session == nil {
				return fmt.Errorf("the scope is for reading only: %w", ErrScope)
			}
		}
		if len(buf) == 0 {
			if kind = chunk.Kind(m.GetKind()); !kind.Valid() || uint32(kind) != m.GetKind() { //nolint:gosec // compared right here
				return fmt.Errorf("chunk kind %d: %w", m.GetKind(), fs.ErrInvalid)
			}
		}
		if err := chunk.CheckSize(kind, len(buf)+len(m.GetData())); err != nil {
			return err
		}
		if len(resp.Ids) == writtenMax {
			return fmt.Errorf("more than %d chunks in one call: %w", writtenMax, fs.ErrInvalid)
		}
		buf = append(buf, m.GetData()...)
		if !m.GetLast() {
			continue
		}
		id, err := d.write(ctx, sc, kind, buf)
		if err != nil {
			return err
		}
		resp.Ids = append(resp.Ids, id[:])
		buf = buf[:0]
	}
}

// write keeps one chunk, if all that it names was written or read in the scope.
func (d *dataService) write(ctx context.Context, sc *scope, kind chunk.Kind, b []byte) (chunk.ID, error) {
	names, err := named(kind, b)
	if err != nil {
		return chunk.ID{}, fmt.Errorf("refuse %v: %w", kind, err)
	}
	for _, ref := range names {
		if ref.ID.IsZero() || sc.allows(ref) {
			continue
		}
		if kind == chunk.Commit && d.s.histories.check(ctx, sc.what.Repo, commit.ID(ref.ID)) == nil {
			continue // a parent, or the spec
		}
		return chunk.ID{}, fmt.Errorf("a %v names %v %s, which was neither written nor read in this scope: %w", kind, ref.Kind, ref.ID.Short(), ErrScope)
	}
	if err := d.mayState(ctx, sc, kind, b); err != nil {
		return chunk.ID{}, err
	}
	id, err := sc.session.Put(ctx, kind, b)
	if err != nil {
		return id, err
	}
	return id, sc.name(chunk.Ref{Kind: kind, ID: id})
}

// mayState refuses a commit that says what it was made of to whoever may not
// run pipelines: the engine believes it.
func (d *dataService) mayState(ctx context.Context, sc *scope, kind chunk.Kind, b []byte) error {
	if kind == chunk.List {
		return ownReferences(ctx, b)
	}
	if kind != chunk.Commit {
		return nil
	}
	c, err := commit.Decode(b)
	if err != nil || c.Prov == nil && c.Run == "" && len(c.Origins) == 0 {
		return err
	}
	if err := d.s.allow(ctx, auth.WritePipeline, auth.Resource{Repo: sc.what.Repo}); err != nil {
		return fmt.Errorf("write a commit with provenance: %w", err)
	}
	return nil
}

// ownReferences refuses a reference to an object of another bucket to all but
// the owner: it is read with the credentials of the daemon.
func ownReferences(ctx context.Context, b []byte) error {
	ref, err := chunk.DecodeReference(b)
	if err != nil {
		return nil //nolint:nilerr // it is a list
	}
	p, err := auth.From(ctx)
	if err == nil && !p.IsOwner() {
		err = fmt.Errorf("refer to %s: only the owner of the store may let its daemon read other buckets: %w", ref, auth.ErrDenied)
	}
	return err
}

// Flush implements dvxv1.DataServiceServer.
func (d *dataService) Flush(ctx context.Context, req *dvxv1.FlushRequest) (*dvxv1.FlushResponse, error) {
	sc, release, err := d.session(ctx, req.GetHandle())
	if err != nil {
		return nil, err
	}
	defer release()
	return &dvxv1.FlushResponse{}, sc.session.Flush(ctx)
}

// session finds an open session.
func (d *dataService) session(ctx context.Context, handle string) (*scope, func(), error) {
	sc, release, err := d.use(ctx, handle)
	if err != nil {
		return nil, nil, err
	}
	if sc.session == nil {
		release()
		return nil, nil, fmt.Errorf("the scope is for reading only: %w", ErrScope)
	}
	return sc, release, nil
}

// Publish implements dvxv1.DataServiceServer.
func (d *dataService) Publish(ctx context.Context, req *dvxv1.PublishRequest) (*dvxv1.PublishResponse, error) {
	sc, release, err := d.session(ctx, req.GetHandle())
	if err != nil {
		return nil, err
	}
	defer release()
	t, err := txnFrom(req.GetTxn())
	if err != nil {
		return nil, err
	}
	if err := d.s.allowTxn(ctx, t); err != nil {
		return nil, err
	}
	if err := d.s.publishable(ctx, sc, t); err != nil {
		return nil, err
	}
	res, err := sc.session.Publish(ctx, t)
	if err != nil {
		return nil, err
	}
	return &dvxv1.PublishResponse{Result: &dvxv1.Result{Generation: res.Gen, Replay: res.Replay}}, nil
}

// CloseScope implements dvxv1.DataServiceServer.
func (d *dataService) CloseScope(ctx context.Context, req *dvxv1.CloseScopeRequest) (*dvxv1.CloseScopeResponse, error) {
	p, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	return &dvxv1.CloseScopeResponse{}, d.s.scopes.remove(req.GetHandle(), p)
}
