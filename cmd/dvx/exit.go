package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// The exit codes. Scripts rely on them: a number is never given another
// meaning.
const (
	exitOK          = 0
	exitFailure     = 1   // anything without a code of its own; for wait: a pipeline failed
	exitUsage       = 2   // the command line, a spec or a name is wrong
	exitDamage      = 3   // stored data is damaged, or was set back
	exitNotFound    = 4   // no such repo, ref, path, pipeline or job; for fsck: some of it could not be read
	exitConflict    = 5   // a branch moved meanwhile, or the thing exists already; nothing was changed
	exitUnknown     = 6   // the outcome is unknown; repeat with the same --op-id, or ask with dvx commit --resume
	exitDenied      = 7   // not allowed
	exitNoSpace     = 8   // the disk is full or failed
	exitUnreachable = 9   // the daemon does not answer
	exitNoStore     = 10  // there is no store at that place
	exitForgotten   = 11  // --resume: the operation is older than what the store remembers
	exitInterrupted = 130 // Ctrl-C
)

// exitHelp is the part of the help that lists them.
const exitHelp = `Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 3 damaged data, 4 not found,
5 conflict (nothing was changed), 6 outcome unknown (repeat with the same --op-id, or ask dvx commit --resume),
7 not allowed, 8 disk full or failing, 9 daemon unreachable, 10 no store, 130 interrupted,
11 too long ago (the outcome of an operation is not remembered).`

// usageError is a mistake in the command line.
type usageError struct{ error }

// Unwrap returns the mistake.
func (e usageError) Unwrap() error { return e.error }

// kindError is an error of a kind that its text need not repeat.
type kindError struct {
	text string
	kind error
}

// Error returns the text.
func (e kindError) Error() string { return e.text }

// Unwrap returns the kind.
func (e kindError) Unwrap() error { return e.kind }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode returns the code for an error.
func exitCode(ctx context.Context, err error) int {
	var usage usageError
	var feature *repo.FeatureError
	var diverged *divergedError
	switch {
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.Is(err, repo.ErrUnknown):
		return exitUnknown
	case errors.Is(err, repo.ErrForgotten):
		return exitForgotten
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, rpc.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, repo.ErrNoStore):
		return exitNoStore
	case errors.Is(err, chunk.ErrCorrupt), errors.Is(err, chunk.ErrReference), errors.Is(err, repo.ErrRollback):
		return exitDamage
	case errors.Is(err, errIncomplete):
		return exitNotFound
	case errors.Is(err, repo.ErrConflict), errors.Is(err, fs.ErrExist), errors.As(err, &diverged),
		errors.Is(err, worktree.ErrLocked), errors.Is(err, worktree.ErrModified):
		return exitConflict
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO):
		return exitNoSpace
	case errors.Is(err, fs.ErrPermission):
		return exitDenied
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, errors.ErrUnsupported), errors.As(err, &feature), isProblem(err):
		return exitUsage
	default:
		return exitFailure
	}
}

// isProblem reports whether paths on disk or in a version are not what dvx can
// commit or check out.
func isProblem(err error) bool {
	for _, kind := range []error{worktree.ErrCollision, worktree.ErrReserved, worktree.ErrLink, worktree.ErrSpecial} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// fail reports err on standard error, as JSON with --json, and returns the
// exit code.
func (a *app) fail(ctx context.Context, err error) int {
	code := exitCode(ctx, err)
	text := errorText(err)
	if code == exitInterrupted {
		text = "interrupted" // where it was is of no use
	}
	if a.json {
		_ = json.NewEncoder(a.err).Encode(map[string]any{"error": text, "code": code})
		return code
	}
	a.say("dvx: " + printable(text))
	return code
}
