package rpc

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// commitService reads versions by ref expression.
type commitService struct {
	dvxv1.UnimplementedCommitServiceServer
	s *Server
}

// resolve finds what a ref names, if the caller may read the repo, and opens
// its chunks.
func (c *commitService) resolve(ctx context.Context, expr string) (repo.Resolved, chunk.Reader, error) {
	ref, err := repo.ParseRef(expr)
	if err != nil {
		return repo.Resolved{}, nil, err
	}
	if err := c.s.allow(ctx, auth.Read, auth.Resource{Repo: ref.Repo}); err != nil {
		return repo.Resolved{}, nil, err
	}
	res, err := repo.ResolveRef(ctx, c.s.opts.Store, ref)
	if err != nil {
		return res, nil, err
	}
	if res.ID.IsZero() {
		return res, nil, fmt.Errorf("%s has no commit yet: %w", expr, repo.ErrRefNotFound)
	}
	r, err := c.s.opts.Store.Reader(ctx, res.Scope())
	return res, r, err
}

// GetCommit implements dvxv1.CommitServiceServer.
func (c *commitService) GetCommit(ctx context.Context, req *dvxv1.GetCommitRequest) (*dvxv1.GetCommitResponse, error) {
	res, _, err := c.resolve(ctx, req.GetRef())
	if err != nil {
		return nil, err
	}
	info, err := commitInfo(res.ID, res.Commit)
	return &dvxv1.GetCommitResponse{Commit: info}, err
}

// commitInfo turns a commit into its message.
func commitInfo(id commit.ID, c commit.Commit) (*dvxv1.CommitInfo, error) {
	b, err := commit.Encode(c)
	if err != nil {
		return nil, err
	}
	info := &dvxv1.CommitInfo{
		Id: idBytes(id), Json: b, Author: c.Author, Time: timestamppb.New(c.Time), Message: c.Message,
		Files: c.Tree.Files, Bytes: c.Tree.Bytes,
	}
	for _, p := range c.Parents {
		info.Parents = append(info.Parents, idBytes(p))
	}
	return info, nil
}

// ListCommits implements dvxv1.CommitServiceServer.
func (c *commitService) ListCommits(req *dvxv1.ListCommitsRequest, stream grpc.ServerStreamingServer[dvxv1.ListCommitsResponse]) error {
	ctx := stream.Context()
	res, r, err := c.resolve(ctx, req.GetRef())
	if err != nil {
		return err
	}
	sent := uint32(0)
	for e, err := range commit.Log(ctx, r, res.ID, commit.LogOptions{}) {
		if err != nil {
			return err
		}
		info, err := commitInfo(e.ID, e.Commit)
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.ListCommitsResponse{Commit: info}); err != nil {
			return err
		}
		if sent++; sent == req.GetLimit() {
			return nil
		}
	}
	return nil
}

// entryTo turns an entry into its message.
func entryTo(path string, e tree.Entry) *dvxv1.Entry {
	m := &dvxv1.Entry{Path: path, Kind: dvxv1.EntryKind(e.Kind), Executable: e.Exec, Size: e.Content.Size, Content: e.Content.ID[:]}
	switch {
	case e.Kind == tree.Dir:
		m.Size, m.Content = e.Dir.Bytes, e.Dir.Content[:]
	case e.Content.Size == 0:
		m.Content = nil
	}
	return m
}

// ListEntries implements dvxv1.CommitServiceServer.
func (c *commitService) ListEntries(req *dvxv1.ListEntriesRequest, stream grpc.ServerStreamingServer[dvxv1.ListEntriesResponse]) error {
	ctx := stream.Context()
	t, _, res, err := c.visible(ctx, req.GetRef())
	if err != nil {
		return err
	}
	if !req.GetRecursive() {
		for e, err := range t.Entries(ctx, res.Path, "") {
			if err != nil {
				return err
			}
			if err := stream.Send(&dvxv1.ListEntriesResponse{Entry: entryTo(e.Name, e)}); err != nil {
				return err
			}
		}
		return nil
	}
	prefix := ""
	if res.Path != "" {
		prefix = res.Path + "/"
	}
	for p, err := range t.Walk(ctx, tree.WalkOptions{Prefix: prefix}) {
		if err != nil {
			return err
		}
		if err := stream.Send(&dvxv1.ListEntriesResponse{Entry: entryTo(p.Path, p.Entry)}); err != nil {
			return err
		}
	}
	return nil
}

// ReadFile implements dvxv1.CommitServiceServer.
func (c *commitService) ReadFile(req *dvxv1.ReadFileRequest, stream grpc.ServerStreamingServer[dvxv1.ReadFileResponse]) error {
	ctx := stream.Context()
	t, r, res, err := c.visible(ctx, req.GetRef())
	if err != nil {
		return err
	}
	e, err := t.Lookup(ctx, res.Path)
	if err != nil {
		return err
	}
	if e.Kind == tree.Dir {
		return fmt.Errorf("%s is a directory: %w", req.GetRef(), fs.ErrInvalid)
	}
	if req.GetOffset() < 0 || req.GetLength() < 0 || req.GetOffset() > e.Content.Size {
		return fmt.Errorf("%s has %d bytes; can't read %d from %d: %w", req.GetRef(), e.Content.Size, req.GetLength(), req.GetOffset(), fs.ErrInvalid)
	}
	if e.Content.Size == 0 {
		return nil
	}
	f, err := chunk.OpenContent(ctx, r, e.Content)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	n := e.Content.Size - req.GetOffset()
	if req.GetLength() > 0 {
		n = min(n, req.GetLength())
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{&fileSender{stream}}, io.NewSectionReader(f, req.GetOffset(), n), make([]byte, pieceSize))
	return err
}

// fileSender sends what is written to it.
type fileSender struct {
	stream grpc.ServerStreamingServer[dvxv1.ReadFileResponse]
}

// Write implements io.Writer.
func (s *fileSender) Write(p []byte) (int, error) {
	if err := s.stream.Send(&dvxv1.ReadFileResponse{Data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Diff implements dvxv1.CommitServiceServer.
func (c *commitService) Diff(req *dvxv1.DiffRequest, stream grpc.ServerStreamingServer[dvxv1.DiffResponse]) error {
	ctx := stream.Context()
	from, ra, err := c.resolve(ctx, req.GetFrom())
	if err != nil {
		return err
	}
	to, rb, err := c.resolve(ctx, req.GetTo())
	if err != nil {
		return err
	}
	for ch, err := range tree.Diff(ctx, ra, from.Commit.Tree, rb, to.Commit.Tree, tree.DiffOptions{Prefix: to.Path}) {
		if err != nil {
			return err
		}
		m := &dvxv1.DiffResponse{Kind: dvxv1.ChangeKind(ch.Kind), Path: ch.Path}
		if ch.Kind != tree.Added {
			m.Old = entryTo(ch.Path, ch.Old)
		}
		if ch.Kind != tree.Removed {
			m.New = entryTo(ch.Path, ch.New)
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}
