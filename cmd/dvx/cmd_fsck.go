package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/repo"
)

// errIncomplete is the kind of error of a check that could not read all.
var errIncomplete = errors.New("the check is not complete")

type fsckFlags struct {
	quick    bool
	readData string
}

func cmdFsck(a *app) *cobra.Command {
	var f fsckFlags
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check a store for damage",
		Long: `Read the store and report what is damaged; nothing is changed.

It checks the root and its history, the index, and that all packs are there; then, unless told --quick, that
everything which a version needs is stored, and all metadata. With --read-data it reads the packs as well: all of
them, a share chosen anew each time (5%), or one part of several (3/10), so that ten checks read all.

Exit codes: 0 nothing is wrong, 3 damage, 4 no damage found but not everything could be read, 10 no store.`,
		Example: `  dvx fsck
  dvx fsck --read-data
  dvx fsck --read-data=5% --json`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.fsck(cmd.Context(), f) },
	}
	cmd.Flags().BoolVar(&f.quick, "quick", false, "only the root, the index, and whether packs are there")
	cmd.Flags().StringVar(&f.readData, "read-data", "", "read packs too: all, a share like 5%, or a part like 3/10")
	cmd.Flags().Lookup("read-data").NoOptDefVal = "100%"
	return cmd
}

// checkOptions reads the flags.
func (f fsckFlags) options() (gc.CheckOptions, error) {
	o := gc.CheckOptions{Now: time.Now, Level: gc.CheckClosure}
	if f.quick {
		o.Level = gc.CheckIndex
	}
	if f.readData == "" {
		return o, nil
	}
	if f.quick {
		return o, usagef("--quick excludes --read-data")
	}
	o.Level = gc.CheckData
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return o, err
	}
	o.Salt = binary.LittleEndian.Uint64(salt[:])
	if percent, ok := strings.CutSuffix(f.readData, "%"); ok {
		v, err := strconv.ParseFloat(percent, 64)
		if err != nil || v <= 0 || v > 100 {
			return o, usagef("--read-data=%s: want a share like 5%%", f.readData)
		}
		o.Share = v / 100
		return o, nil
	}
	part, parts, ok := strings.Cut(f.readData, "/")
	var err1, err2 error
	o.Part, err1 = strconv.Atoi(part)
	o.Parts, err2 = strconv.Atoi(parts)
	if !ok || err1 != nil || err2 != nil || o.Part < 1 || o.Part > o.Parts {
		return o, usagef("--read-data=%s: want a share like 5%% or a part like 3/10", f.readData)
	}
	return o, nil
}

func (a *app) fsck(ctx context.Context, f fsckFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	if err := a.locateOwn("fsck"); err != nil {
		return err
	}
	ctx = auth.With(ctx, auth.Owner)
	objects, err := place.Objects(ctx, a.store, false, a.place)
	if err != nil {
		return err
	}
	p := a.progress("fsck")
	defer p.done()
	o.Progress = func(g gc.Progress) {
		p.show(func() string { return fmt.Sprintf("%s, %s chunks, %s", g.Phase, count(g.Chunks), size(g.Bytes)) })
	}
	r, err := gc.Check(ctx, objects, repo.Options{Now: time.Now, Rand: rand.Reader}, o)
	p.done()
	if err != nil {
		return err
	}
	if err := a.print(r, func(w io.Writer) error { return printCheck(w, r) }); err != nil {
		return err
	}
	switch {
	case r.Damaged > 0:
		return kindError{"the store is damaged: " + plural(int(r.Damaged), "finding"), chunk.ErrCorrupt}
	case r.Unreadable > 0:
		return kindError{plural(int(r.Unreadable), "thing") + " could not be read: try again", errIncomplete}
	}
	return nil
}

func printCheck(w io.Writer, r gc.CheckReport) error {
	var b strings.Builder
	for _, f := range r.Findings {
		what := []string{string(f.Severity), f.Kind}
		if f.Ref != "" {
			what = append(what, f.Repo+"@"+f.Ref)
		}
		if f.Path != "" {
			what = append(what, shownPath(f.Path))
		}
		for _, s := range []string{f.Object, f.Chunk} {
			if s != "" {
				what = append(what, s)
			}
		}
		fmt.Fprintf(&b, "%s: %s\n", strings.Join(what, " "), f.Detail)
	}
	if n := r.Damaged + r.Unreadable; n > int64(len(r.Findings)) {
		fmt.Fprintf(&b, "and more: %s in all\n", count(n))
	}
	fmt.Fprintf(&b, "generation %d: %s chunks in %s packs, %s of them reached, %s versions",
		r.Gen, count(r.Chunks), count(int64(r.Packs)), count(r.Reached), count(r.Versions))
	if r.Level == gc.CheckData {
		fmt.Fprintf(&b, "; %s packs of %s read in full", count(int64(r.Read)), size(r.ReadSize))
	}
	if r.Retries > 0 {
		fmt.Fprintf(&b, "; %s reads tried again", count(r.Retries))
	}
	b.WriteString("\n")
	if r.Damaged+r.Unreadable == 0 {
		b.WriteString("no damage found\n")
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}
