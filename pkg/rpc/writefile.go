package rpc

import (
	"fmt"
	"io/fs"

	"google.golang.org/grpc"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// WriteFile implements dvxv1.CommitServiceServer.
func (c *commitService) WriteFile(stream grpc.ClientStreamingServer[dvxv1.WriteFileRequest, dvxv1.WriteFileResponse]) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	o, path, err := c.writeOptions(first)
	if err != nil {
		return err
	}
	if err := c.s.allow(ctx, auth.Write, auth.Resource{Repo: o.Repo, Branch: o.Branch}); err != nil {
		return err
	}
	in := &pieceReader{rest: first.GetData(), next: func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	}}
	var res repo.CommitResult
	if first.GetOpen() {
		err = c.writeOpen(ctx, o, path, in)
	} else {
		res, err = repo.PutFile(ctx, c.s.opts.Store, o, path, tree.Entry{}, in)
	}
	on := auth.Resource{Repo: o.Repo, Branch: o.Branch, Path: path}
	c.s.record(ctx, dvxv1.CommitService_WriteFile_FullMethodName, on.String(), o.Op, toStatus(ctx, c.s.opts.Log, "WriteFile", err))
	if err != nil {
		return err
	}
	return stream.SendAndClose(&dvxv1.WriteFileResponse{Commit: idBytes(res.ID), Unchanged: res.Unchanged})
}

// writeOptions reads the first message.
func (c *commitService) writeOptions(first *dvxv1.WriteFileRequest) (o repo.CommitOptions, path string, err error) {
	ref, err := repo.ParseRef(first.GetRef())
	if err != nil {
		return o, "", err
	}
	if !ref.HasPath || ref.Path == "" || len(ref.Steps) > 0 || !ref.At.IsZero() {
		return o, "", fmt.Errorf("%s: want REPO@BRANCH:/PATH: %w", first.GetRef(), fs.ErrInvalid)
	}
	o = repo.CommitOptions{Repo: ref.Repo, Branch: ref.Name, Message: first.GetMessage(), Time: c.s.opts.Now()}
	if o.Policy, err = policyFrom(first.GetOnConflict()); err != nil {
		return o, "", err
	}
	if len(first.GetExpect()) > 0 {
		id, err := idFrom(first.GetExpect())
		if err != nil {
			return o, "", err
		}
		o.Expect = &id
	}
	if len(first.GetOpId()) == 0 {
		o.Op, err = newOp(o.Time)
	} else {
		o.Op, err = opIDFrom(first.GetOpId())
	}
	return o, ref.Path, err
}

func policyFrom(p dvxv1.ConflictPolicy) (repo.Policy, error) {
	switch p {
	case dvxv1.ConflictPolicy_CONFLICT_POLICY_UNSPECIFIED, dvxv1.ConflictPolicy_CONFLICT_POLICY_REBASE:
		return repo.Rebase, nil
	case dvxv1.ConflictPolicy_CONFLICT_POLICY_EXPECT_PARENT:
		return repo.ExpectParent, nil
	case dvxv1.ConflictPolicy_CONFLICT_POLICY_REBASE_DISJOINT:
		return repo.RebaseDisjoint, nil
	case dvxv1.ConflictPolicy_CONFLICT_POLICY_OVERWRITE:
		return repo.Overwrite, nil
	default:
		return 0, fmt.Errorf("conflict policy %d is not known: %w", p, fs.ErrInvalid)
	}
}
