package rpc

import (
	"context"
	"fmt"
	"path"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Auditor is told of every call that changes the store or was refused. It may
// be used concurrently.
type Auditor func(auth.Event)

// audit tells the Auditor of a call of one message.
func (s *Server) audit(ctx context.Context, method string, req any, err error) {
	switch r := req.(type) {
	case *dvxv1.CancelJobRequest:
		s.record(ctx, method, strings.Join(append([]string{"job " + r.GetId()}, r.GetDatums()...), ", datum "), repo.OpID{}, err)
		return
	case *dvxv1.RerunJobRequest:
		s.record(ctx, method, strings.Join(append([]string{"job " + r.GetId()}, r.GetDatums()...), ", datum "), repo.OpID{}, err)
		return
	}
	m, ok := req.(interface{ GetTxn() *dvxv1.Txn })
	if !ok {
		s.auditDenied(ctx, method, err)
		return
	}
	t, terr := txnFrom(m.GetTxn())
	if terr != nil {
		return // nothing that could have been done
	}
	var on []string
	for _, op := range t.Ops {
		name, branch, _ := rightsOf(op)
		what := strings.TrimPrefix(fmt.Sprintf("%T", op), "repo.")
		on = append(on, what+" "+auth.Resource{Repo: name, Branch: branch}.String())
	}
	s.record(ctx, method, strings.Join(on, ", "), t.Op, err)
}

// auditDenied tells the Auditor of a call if it was refused.
func (s *Server) auditDenied(ctx context.Context, method string, err error) {
	if status.Code(err) == codes.PermissionDenied {
		s.record(ctx, method, "", repo.OpID{}, err)
	}
}

func (s *Server) record(ctx context.Context, method, resource string, op repo.OpID, err error) {
	if s.opts.Audit == nil {
		return
	}
	p, perr := auth.From(ctx)
	if perr != nil {
		return // a stranger was turned away; the log of the edge has it
	}
	e := auth.Event{
		Time: s.opts.Now(), Principal: p.Name, Key: p.Key, Edge: "grpc", Operation: path.Base(method), Resource: resource,
		Outcome: strings.ToLower(status.Code(err).String()),
	}
	if !op.IsZero() {
		e.Request = op.String()
	}
	s.opts.Audit(e)
}
