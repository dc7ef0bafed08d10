package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
)

// moveInfo is a move of a branch as --json prints it.
type moveInfo struct {
	Repo       string    `json:"repo"`
	Branch     string    `json:"branch"`
	Generation uint64    `json:"generation"`
	Op         string    `json:"op"`
	Time       string    `json:"time,omitempty"`
	From       commit.ID `json:"from"` // zero: empty, or not there
	To         commit.ID `json:"to"`
	Made       bool      `json:"made,omitempty"`
	Removed    bool      `json:"removed,omitempty"`
}

func describeMove(m repo.RefMove) moveInfo {
	out := moveInfo{
		Repo: m.Repo, Branch: m.Branch, Generation: m.Gen, Op: m.Op.String(), From: m.From, To: m.To, Made: m.Made, Removed: m.Removed,
	}
	if !m.Time.IsZero() {
		out.Time = m.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return out
}

// words tells what a move did.
func (m moveInfo) words() string {
	switch {
	case m.Removed:
		return "removed, was at " + shortCommit(m.From)
	case m.Made:
		return "made, at " + shortCommit(m.To)
	default:
		return "from " + shortCommit(m.From)
	}
}

func cmdReflog(a *app) *cobra.Command {
	var limit uint
	cmd := &cobra.Command{
		Use:   "reflog [REPO@BRANCH]",
		Short: "Show where a branch was, newest move first",
		Long: `Show each move of a branch, newest first: commits, resets, its making and its removal. It is read from the copies of
the root that the store keeps (30 days unless retention says otherwise), so also of a branch that is gone. dvx undo
takes a move back. With --json, one JSON object a line.`,
		Example: `  dvx reflog images@main
  dvx reflog images@main -n 5 --json`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.reflog(cmd.Context(), args, limit) },
	}
	cmd.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many moves (0: show all)")
	return cmd
}

func (a *app) reflog(ctx context.Context, args []string, limit uint) error {
	at, err := refOrHere(args)
	if err != nil {
		return err
	}
	name, branch, err := splitBranch(at)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	n := uint(0)
	for m, err := range repo.Reflog(ctx, s, name, branch) {
		if err != nil {
			return err
		}
		info := describeMove(m)
		if a.json {
			err = enc.Encode(info)
		} else {
			_, err = fmt.Fprintf(a.out, "%-12s  %s  gen %d  %s\n", shownTarget(info), when(m.Time), m.Gen, info.words())
		}
		if err != nil {
			return err
		}
		if n++; n == limit {
			return nil
		}
	}
	if n == 0 {
		return fmt.Errorf("%s: no move of it is remembered: %w", at, repo.ErrRefNotFound)
	}
	return nil
}

func shownTarget(m moveInfo) string {
	if m.Removed {
		return "(removed)"
	}
	return shortCommit(m.To)
}

func cmdUndo(a *app) *cobra.Command {
	var op, gen string
	cmd := &cobra.Command{
		Use:   "undo REPO@BRANCH",
		Short: "Take back the last move of a branch",
		Long: `Set a branch to where it was before its last move, or before the one that --gen names (see dvx reflog). A branch that
was deleted is made again. Undo is a move like any other: nothing of the past is changed, the versions stay in the
store, and a second undo takes the first one back.`,
		Example: `  dvx undo images@main
  dvx undo images@main --gen 1042`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.undo(cmd.Context(), args[0], gen, op) },
	}
	cmd.Flags().StringVar(&gen, "gen", "", "go back before the move of this generation")
	cmd.Flags().StringVar(&op, "op-id", "", "operation ID (a UUID): repeating it never undoes twice")
	return cmd
}

func (a *app) undo(ctx context.Context, at, gen, op string) error {
	o := repo.UndoOptions{}
	var err error
	if o.Repo, o.Branch, err = splitBranch(at); err != nil {
		return err
	}
	if gen != "" {
		if o.Gen, err = strconv.ParseUint(gen, 10, 64); err != nil || o.Gen == 0 {
			return usagef("--gen %q is no generation; dvx reflog %s lists them", gen, at)
		}
	}
	if o.Op, err = opID(op); err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	m, err := repo.Undo(ctx, s, o)
	if err != nil {
		return err
	}
	info := describeMove(m)
	return a.print(map[string]any{"undone": info, "op": o.Op.String()}, func(w io.Writer) error {
		now := "is at " + shortCommit(m.From) + " again"
		if m.Made {
			now = "is removed"
		}
		_, err := fmt.Fprintf(w, "%s %s\n", at, now)
		return err
	})
}

// outcomeInfo is the outcome of an operation as --json prints it.
type outcomeInfo struct {
	Op         string       `json:"op"`
	Applied    bool         `json:"applied"`
	Generation uint64       `json:"generation,omitempty"`
	Moved      []repo.Moved `json:"moved,omitempty"`
}

// errNotApplied is how --resume tells of an operation that was not applied.
var errNotApplied = errors.New("it was not applied, and never will be: make the change again")

// resume tells how an operation ended.
func (a *app) resume(ctx context.Context, id string) error {
	op, err := repo.ParseOpID(id)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	out, err := repo.Settle(ctx, s, op)
	if err != nil {
		return err
	}
	info := outcomeInfo{Op: op.String(), Applied: out.Applied, Generation: out.Gen, Moved: out.Moved}
	err = a.print(info, func(w io.Writer) error {
		if !out.Applied {
			return nil
		}
		if _, err := fmt.Fprintf(w, "operation %v was applied\n", op); err != nil {
			return err
		}
		for _, m := range out.Moved {
			if _, err := fmt.Fprintf(w, "%s@%s: %s\n", m.Repo, m.Branch, m.Commit.Short()); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !out.Applied {
		return fmt.Errorf("operation %v: %w", op, errNotApplied)
	}
	return err
}
