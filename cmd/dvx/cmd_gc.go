package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/repo"
)

// ownStore opens the store itself, for verbs that work on its objects; the
// principal is the owner, as who can open them is.
func (a *app) ownStore(ctx context.Context, verb string) (*repo.Direct, context.Context, error) {
	ctx = auth.With(ctx, auth.Owner)
	if err := a.locateOwn(verb); err != nil {
		return nil, ctx, err
	}
	d, err := a.openDirect(ctx)
	return d, ctx, err
}

func (a *app) locateOwn(verb string) error {
	if err := a.locate(); err != nil {
		return err
	}
	if a.store == "" {
		return usagef("dvx %s works on the store itself, not through a daemon: give --store", verb)
	}
	return nil
}

// ageFlag is a duration that may be given in days.
type ageFlag time.Duration

// Set implements pflag.Value.
func (d *ageFlag) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("%q: want a number of days like 30d", s)
		}
		*d = ageFlag(n * 24 * float64(time.Hour))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q: want a duration like 36h or 30d", s)
	}
	*d = ageFlag(v)
	return nil
}

// String implements pflag.Value.
func (d *ageFlag) String() string {
	v := time.Duration(*d)
	if v > 0 && v%(24*time.Hour) == 0 {
		return strconv.Itoa(int(v/(24*time.Hour))) + "d"
	}
	return v.String()
}

// Type implements pflag.Value.
func (d *ageFlag) Type() string { return "duration" }

type gcFlags struct {
	run, yes, dry, now bool
	grace, keep        ageFlag
}

func cmdGC(a *app) *cobra.Command {
	f := gcFlags{grace: ageFlag(24 * time.Hour), keep: ageFlag(30 * 24 * time.Hour)}
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free what no version needs any more",
		Long: `Find what no branch, tag, pipeline or memo record needs, and with --run delete it. Without, only say what would be done.

It runs beside writers and readers, and may be interrupted at any time. What it removes from the index is deleted by a
later run, after the grace, so that readers of older versions can finish. Versions that branches were moved away from
are kept for --keep-undo. It refuses to free more than 30 % of the store at once, or far more than the last run did,
unless told --yes.

With --now it waits for nobody: what is removed is deleted at once; commits under way have to start again, and readers
of older versions may fail and have to as well.`,
		Example: `  dvx gc                        # what would be freed?
  dvx gc --run                  # every night
  dvx gc --yes --keep-undo 0d   # also what a branch was moved away from yesterday`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.dry && (f.run || f.yes) {
				return usagef("--dry-run excludes --run and --yes")
			}
			return a.gc(cmd.Context(), f)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.run, "run", false, "do it, within the guards")
	fl.BoolVar(&f.yes, "yes", false, "do it, however much it frees")
	fl.BoolVar(&f.dry, "dry-run", false, "only say what would be done (the default)")
	fl.BoolVar(&f.now, "now", false, "wait for no writer and no reader")
	fl.Var(&f.grace, "grace", "how long removed objects stay for readers of older versions, at least 1h")
	fl.Var(&f.keep, "keep-undo", "how long moves of branches can be undone")
	return cmd
}

func (a *app) gc(ctx context.Context, f gcFlags) error {
	d, ctx, err := a.ownStore(ctx, "gc")
	if err != nil {
		return err
	}
	p := a.progress("gc")
	defer p.done()
	o := gc.Options{
		Now: time.Now, Grace: time.Duration(f.grace), KeepRoots: time.Duration(f.keep),
		DryRun: !f.run && !f.yes, Force: f.yes, Immediate: f.now,
		Progress: func(g gc.Progress) {
			p.show(func() string { return fmt.Sprintf("%s, %s chunks, %s", g.Phase, count(g.Chunks), size(g.Bytes)) })
		},
	}
	if o.KeepRoots == 0 {
		o.KeepRoots = -1
	}
	if o.Grace == 0 {
		return usagef("--grace must be at least %v; --now waits for nobody", gc.GraceMin)
	}
	r, err := gc.Collect(ctx, d, o)
	p.done()
	if errors.Is(err, gc.ErrGuard) {
		return fmt.Errorf("%w; look at what dvx gc says, and repeat with --yes if you mean it", err)
	}
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) error { return printGC(w, r) })
}

func printGC(w io.Writer, r gc.Report) error {
	var b strings.Builder
	verb, expires := "freed", "lost the files"
	if r.DryRun {
		verb, expires = "would free", "would lose the files"
	}
	fmt.Fprintf(&b, "%s of %s chunks are live, in %s packs of %s\n", count(r.LiveChunks), count(r.Chunks), count(int64(r.Packs)), size(r.Bytes))
	fmt.Fprintf(&b, "%s %s: %s packs without live chunks, %s rewritten (%s copied)\n",
		verb, size(r.FreedBytes), count(int64(r.DeadPacks)), count(int64(r.RepackedPacks)), size(r.CopiedBytes))
	if r.Expired > 0 {
		fmt.Fprintf(&b, "by retention %s %s: the messages stay in the log\n", plural(int(r.Expired), "version"), expires)
	}
	fmt.Fprintf(&b, "%s objects of %s that nothing names\n", count(r.Orphans), size(r.OrphanBytes))
	if r.DryRun {
		if r.Guard != "" {
			fmt.Fprintf(&b, "a run would refuse without --yes: %s\n", r.Guard)
		}
		b.WriteString("nothing was changed; dvx gc --run does it\n")
	} else {
		fmt.Fprintf(&b, "deleted %s objects of %s; %s of %s wait for the grace to end\n",
			count(r.Deleted), size(r.DeletedBytes), count(r.Waiting), size(r.WaitingBytes))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
