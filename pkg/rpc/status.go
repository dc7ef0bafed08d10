package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/repo"
)

// errorDomain marks the error details of this service.
const errorDomain = "dvx.io"

// ErrScope is the error for a chunk that nothing in the scope names, or for a
// scope that has ended. It wraps fs.ErrPermission.
var ErrScope = fmt.Errorf("outside of the scope: %w", fs.ErrPermission)

// ErrUnreachable is the error for a daemon that does not answer.
var ErrUnreachable = errors.New("the daemon does not answer")

// kind is a kind of error with its name and code on the wire.
type kind struct {
	name string
	err  error
	code codes.Code
}

// kinds is the one table of errors at this edge, the most specific first.
func kinds() []kind {
	return []kind{
		{"conflict", repo.ErrConflict, codes.Aborted},
		{"unknown-outcome", repo.ErrUnknown, codes.Unknown},
		{"forgotten", repo.ErrForgotten, codes.OutOfRange},
		{"protected", repo.ErrProtected, codes.PermissionDenied},
		{"repo-not-found", repo.ErrRepoNotFound, codes.NotFound},
		{"ref-not-found", repo.ErrRefNotFound, codes.NotFound},
		{"expired", repo.ErrExpired, codes.NotFound},
		{"no-store", repo.ErrNoStore, codes.NotFound},
		{"unauthenticated", auth.ErrUnauthenticated, codes.Unauthenticated},
		{"denied", auth.ErrDenied, codes.PermissionDenied},
		{"scope", ErrScope, codes.PermissionDenied},
		{"lease-gone", lease.ErrGone, codes.FailedPrecondition},
		{"task-scope", lease.ErrScope, codes.PermissionDenied},
		{"corrupt", chunk.ErrCorrupt, codes.DataLoss},
		{"chunk-not-found", chunk.ErrNotFound, codes.NotFound},
		{"throttled", objstore.ErrThrottled, codes.ResourceExhausted},
		{"no-space", syscall.ENOSPC, codes.ResourceExhausted},
		{"no-quota", syscall.EDQUOT, codes.ResourceExhausted},
		{"disk-failed", syscall.EIO, codes.Internal},
		{"not-found", fs.ErrNotExist, codes.NotFound},
		{"exists", fs.ErrExist, codes.AlreadyExists},
		{"permission", fs.ErrPermission, codes.PermissionDenied},
		{"invalid", fs.ErrInvalid, codes.InvalidArgument},
		{"cancelled", context.Canceled, codes.Canceled},
		{"deadline", context.DeadlineExceeded, codes.DeadlineExceeded},
	}
}

// toStatus turns an error of the layers below into one for the wire. Errors
// without a kind are logged whole and shown as "internal".
func toStatus(ctx context.Context, log *slog.Logger, method string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, k := range kinds() {
		if !errors.Is(err, k.err) {
			continue
		}
		st, derr := status.New(k.code, err.Error()).WithDetails(&errdetails.ErrorInfo{Reason: k.name, Domain: errorDomain})
		if derr != nil {
			return status.Error(k.code, err.Error())
		}
		return st.Err()
	}
	log.ErrorContext(ctx, "internal error", "method", method, "error", err)
	return status.Error(codes.Internal, "internal error; the daemon's log says more")
}

// remoteError is an error that came over the wire: the server's words, and
// its kind for errors.Is.
type remoteError struct {
	message string
	kind    error
}

// Error returns the server's words.
func (e *remoteError) Error() string { return e.message }

// Unwrap returns the kind.
func (e *remoteError) Unwrap() error { return e.kind }

// fromStatus turns an error from the wire back into one of the kinds.
func fromStatus(err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, d := range st.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		for _, k := range kinds() {
			if k.name == info.GetReason() {
				return &remoteError{message: st.Message(), kind: k.err}
			}
		}
	}
	switch st.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w: %s; start it with dvxd serve, or check --server", ErrUnreachable, st.Message())
	case codes.Canceled:
		return &remoteError{message: st.Message(), kind: context.Canceled}
	case codes.DeadlineExceeded:
		return &remoteError{message: st.Message(), kind: context.DeadlineExceeded}
	case codes.Unauthenticated:
		return &remoteError{message: st.Message(), kind: auth.ErrUnauthenticated}
	default:
		return fmt.Errorf("daemon: %s (%v)", st.Message(), st.Code())
	}
}
