package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Look implements dvxv1.DataServiceServer.
func (d *dataService) Look(ctx context.Context, req *dvxv1.LookRequest) (*dvxv1.LookResponse, error) {
	what, p, err := d.open(ctx, &dvxv1.Scope{Repo: req.GetRepo(), Branch: req.GetBranch()}, auth.Read)
	if err != nil {
		return nil, err
	}
	v, err := repo.Look(ctx, d.s.opts.Store, what.Repo, what.Branch)
	if err != nil {
		return nil, err
	}
	sc := &scope{owner: p, what: what, reader: v.Chunks}
	handle, err := d.s.scopes.add(sc)
	if err != nil {
		return nil, err
	}
	resp := &dvxv1.LookResponse{Generation: v.Gen, Head: idBytes(v.Head), Handle: handle}
	if v.Open != nil {
		resp.Open = openTo(*v.Open)
	}
	if v.Root != (tree.Root{}) {
		resp.Root = &dvxv1.Directory{Id: v.Root.ID[:], Content: v.Root.Content[:], Files: v.Root.Files, Bytes: v.Root.Bytes}
	}
	return resp, sc.name(nodeRef(chunk.ID(v.Root.ID)), commitRef(v.Head))
}

func openTo(o repo.OpenCommit) *dvxv1.OpenCommit {
	return &dvxv1.OpenCommit{
		Writes: o.Writes, Since: timestamppb.New(o.Since), Last: timestamppb.New(o.Last), Generation: o.Gen, By: o.By,
	}
}

// openFrom reads what a client is told of an open commit: not its directories.
func openFrom(m *dvxv1.OpenCommit, base commit.ID) repo.OpenCommit {
	return repo.OpenCommit{
		Base: base, Writes: m.GetWrites(), Since: m.GetSince().AsTime(), Last: m.GetLast().AsTime(), Gen: m.GetGeneration(), By: m.GetBy(),
	}
}

var _ repo.Looker = (*Client)(nil)

// Look implements repo.Looker.
func (c *Client) Look(ctx context.Context, name, branch string) (repo.Visible, error) {
	resp, err := c.data.Look(ctx, &dvxv1.LookRequest{Repo: name, Branch: branch})
	if err != nil {
		return repo.Visible{}, err
	}
	c.mu.Lock()
	c.handles = append(c.handles, resp.GetHandle())
	c.mu.Unlock()
	v := repo.Visible{Gen: resp.GetGeneration(), Chunks: &reader{c: c, handle: resp.GetHandle()}}
	if v.Head, err = idFrom(resp.GetHead()); err != nil {
		return v, err
	}
	if o := resp.GetOpen(); o != nil {
		open := openFrom(o, v.Head)
		v.Open = &open
	}
	if m := resp.GetRoot(); m != nil {
		id, err1 := idFrom(m.GetId())
		content, err2 := idFrom(m.GetContent())
		v.Root = tree.Root{ID: tree.ID(id), Content: tree.ContentID(content), Files: m.GetFiles(), Bytes: m.GetBytes()}
		err = errors.Join(err1, err2)
	}
	return v, err
}

// writeOpen writes a file to an open commit.
func (c *commitService) writeOpen(ctx context.Context, o repo.CommitOptions, path string, in io.Reader) error {
	if c.s.opts.Writer == nil {
		return fmt.Errorf("this daemon takes no writes to open commits: %w", errors.ErrUnsupported)
	}
	name := o.Branch
	if name == "" {
		v, err := c.s.opts.Store.View(ctx)
		if err != nil {
			return err
		}
		name = v.Repos[o.Repo].Default
	}
	u, err := c.s.opts.Writer.Upload(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }()
	content, err := u.Content(ctx, in)
	if err != nil {
		return err
	}
	_, err = u.Write(ctx, repo.OpenWrite{Repo: o.Repo, Branch: name, Op: o.Op, Edits: []repo.OpenEdit{
		{Path: path, Entry: &tree.Entry{Kind: tree.File, Content: content}},
	}})
	return err
}

// PutOpen writes a file to the open commit of the branch that ref names, with
// its path: durable and visible to all readers when it returns nil.
func (c *Client) PutOpen(ctx context.Context, ref string, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := dvxv1.NewCommitServiceClient(c.conn).WriteFile(ctx)
	if err != nil {
		return err
	}
	m := &dvxv1.WriteFileRequest{Ref: ref, Open: true}
	buf := make([]byte, pieceSize)
	for {
		n, err := io.ReadFull(r, buf)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("put %s: %w", ref, err)
		}
		m.Data = buf[:n]
		if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if last {
			break
		}
		m = &dvxv1.WriteFileRequest{}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// visible opens what a ref names for reading, if the caller may read the repo.
func (c *commitService) visible(ctx context.Context, expr string) (*tree.Tree, chunk.Reader, repo.Resolved, error) {
	ref, err := repo.ParseRef(expr)
	if err != nil {
		return nil, nil, repo.Resolved{}, err
	}
	if err := c.s.allow(ctx, auth.Read, auth.Resource{Repo: ref.Repo}); err != nil {
		return nil, nil, repo.Resolved{}, err
	}
	v, res, err := repo.LookRef(ctx, c.s.opts.Store, expr)
	if err == nil && v.Root == (tree.Root{}) {
		err = fmt.Errorf("%s has no commit yet: %w", expr, repo.ErrRefNotFound)
	}
	if err != nil {
		return nil, nil, res, err
	}
	return v.Tree(), v.Chunks, res, nil
}

func sealingTo(s *repo.Sealing) *dvxv1.Sealing {
	if s == nil {
		return nil
	}
	return &dvxv1.Sealing{IdleMs: s.Idle, AgeMs: s.Age, Writes: s.Writes, Marker: s.Marker}
}

func retentionTo(r *repo.Retention) *dvxv1.Retention {
	if r == nil {
		return nil
	}
	return &dvxv1.Retention{Last: r.Last, AgeMs: r.Age}
}

func retentionFrom(m *dvxv1.Retention) *repo.Retention {
	if m == nil {
		return nil
	}
	return &repo.Retention{Last: m.GetLast(), Age: m.GetAgeMs()}
}

func sealingFrom(m *dvxv1.Sealing) *repo.Sealing {
	if m == nil {
		return nil
	}
	return &repo.Sealing{Idle: m.GetIdleMs(), Age: m.GetAgeMs(), Writes: m.GetWrites(), Marker: m.GetMarker()}
}
