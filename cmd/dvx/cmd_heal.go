package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// ownObjects opens the objects of the store, whatever state it is in.
func (a *app) ownObjects(ctx context.Context, verb string) (objstore.Store, context.Context, error) {
	ctx = auth.With(ctx, auth.Owner)
	if err := a.locateOwn(verb); err != nil {
		return nil, ctx, err
	}
	objects, err := place.Objects(ctx, a.store, false, a.place)
	return objects, ctx, err
}

func storeOptions() repo.Options { return repo.Options{Now: time.Now, Rand: rand.Reader} }

// did says what was done, or that nothing was.
func did(b *strings.Builder, dry bool, done string) {
	if dry {
		b.WriteString("nothing was changed; --yes does it\n")
	} else {
		b.WriteString(done + "\n")
	}
}

func cmdRebuildIndex(a *app) *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "rebuild-index",
		Short: "Make a damaged index again from the packs",
		Long: `Make again what damaged or lost index segments held, from the ends of the packs. Sound segments stay, unless --all
is given. Nothing is deleted. Without --yes only say what would be done.`,
		Example: `  dvx fsck --quick; dvx rebuild-index
  dvx rebuild-index --yes`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, ctx, err := a.ownStore(cmd.Context(), "rebuild-index")
			if err != nil {
				return err
			}
			r, err := gc.RebuildIndex(ctx, d, gc.RebuildOptions{Now: time.Now, All: all, DryRun: !yes})
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) error {
				var b strings.Builder
				fmt.Fprintf(&b, "%s replaced; looked into %s, indexed %s of them, copied from %s\n",
					plural(len(r.Replaced), "index segment"), plural(r.Looked, "pack"), count(int64(r.Packs)), count(int64(r.Copied)))
				if r.Missing > 0 {
					fmt.Fprintf(&b, "%s of chunks that versions need are still lost: see dvx fsck\n", count(r.Missing))
				}
				for _, key := range r.Unreadable {
					fmt.Fprintf(&b, "can't read the end of %s\n", key)
				}
				did(&b, r.DryRun, "done")
				_, err := io.WriteString(w, b.String())
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "make the whole index again, not only what is damaged")
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}

func cmdHeal(a *app) *cobra.Command {
	var from string
	var readData, yes bool
	cmd := &cobra.Command{
		Use:   "heal --from DIR|STORE",
		Short: "Store again what was lost, from files or another store",
		Long: `Find the chunks that are absent or damaged and take them from a folder of files, under whatever names, or from
another store: a backup, a mirror. Only what has exactly the lost content is taken. Metadata comes from stores only.
Nothing is deleted; the next dvx gc drops the damaged copies. Without --yes only say what would be done.`,
		Example: `  dvx heal --from /backup/store --read-data
  dvx heal --from s3://mirror/dvx --yes
  dvx heal --from ~/originals --yes`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usagef("give --from, a folder or a store")
			}
			objects, ctx, err := a.ownObjects(cmd.Context(), "heal")
			if err != nil {
				return err
			}
			p := a.progress("heal")
			defer p.done()
			o := gc.HealOptions{Now: time.Now, ReadData: readData, DryRun: !yes, Progress: func(g gc.Progress) {
				p.show(func() string { return fmt.Sprintf("%s, %s chunks, %s", g.Phase, count(g.Chunks), size(g.Bytes)) })
			}}
			if o.Store, err = a.healSource(ctx, from); err != nil {
				return err
			}
			if o.Store == nil {
				o.Files = os.DirFS(from)
			}
			r, err := gc.Heal(ctx, objects, storeOptions(), o)
			p.done()
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) error { return printHeal(w, r) }); err != nil {
				return err
			}
			if r.Left > 0 {
				return kindError{plural(r.Left, "chunk") + " could not be healed", chunk.ErrCorrupt}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "folder of files, or another store (a folder or s3://BUCKET/PREFIX)")
	cmd.Flags().BoolVar(&readData, "read-data", false, "read all packs to find what is damaged")
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}

// healSource opens the other store; nil if from is a folder of files.
func (a *app) healSource(ctx context.Context, from string) (chunk.Reader, error) {
	if !place.IsURL(from) {
		if _, err := os.Stat(from); err != nil {
			return nil, err
		}
		if _, err := os.Stat(from + "/dvx.json"); err != nil {
			return nil, nil //nolint:nilerr // not a store: its files are looked at
		}
	}
	d, err := place.Open(ctx, from, a.place)
	if err != nil {
		return nil, err
	}
	return d.ReadAny(ctx)
}

func printHeal(w io.Writer, r gc.HealReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s lost, %s found (%s read), %s left; %s of damaged packs saved\n",
		plural(r.Lost, "chunk"), count(int64(r.Found)), plural(r.Files, "file"), count(int64(r.Left)), plural(r.Rescued, "sound chunk"))
	did(&b, r.DryRun, "the next dvx gc drops the damaged copies")
	_, err := io.WriteString(w, b.String())
	return err
}

func cmdRepair(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Make branches without what is lost for good",
		Long: `For each branch whose newest version has lost files make a branch repair/<time>/<branch>, in which a file
NAME.dvx-lost stands in the place of each and says what was lost. The damaged branches stay as they are. All packs are
read. Try dvx heal first. Without --yes only say which files are lost.`,
		Example: `  dvx repair
  dvx repair --yes`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, ctx, err := a.ownStore(cmd.Context(), "repair")
			if err != nil {
				return err
			}
			all, err := gc.Repair(ctx, d, gc.CheckOptions{Now: time.Now, Level: gc.CheckData}, !yes)
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) error {
				var b strings.Builder
				for _, r := range all {
					fmt.Fprintf(&b, "%s@%s: %s lost, the rest is in %s\n", r.Repo, r.From, plural(len(r.Lost), "path"), r.Branch)
					for _, p := range r.Lost {
						fmt.Fprintf(&b, "  %s\n", shownPath(p))
					}
				}
				if len(all) == 0 {
					b.WriteString("no branch has lost files\n")
				} else {
					did(&b, !yes, "done")
				}
				_, err := io.WriteString(w, printable(b.String()))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}

func cmdRecover(a *app) *cobra.Command {
	var key string
	var yes bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Make a lost or damaged root again from its copies",
		Long: `List the newest copies of the store's root and, with --yes, make the root again from the newest that is sound, or
from the one that --root names. What came after that copy is lost: look at the list first. Writers at work have to
start again. A store with a sound root is refused.`,
		Example: `  dvx recover
  dvx recover --yes && dvx fsck`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			objects, ctx, err := a.ownObjects(cmd.Context(), "recover")
			if err != nil {
				return err
			}
			copies, err := gc.RootCopies(ctx, objects)
			if err != nil {
				return err
			}
			for i := 0; key == "" && i < len(copies); i++ {
				if copies[i].Problem == "" {
					key = copies[i].Key
				}
			}
			if key == "" {
				return kindError{"no copy of a root can serve", repo.ErrNoStore}
			}
			out := struct {
				Copies []gc.RootCopy `json:"copies"`
				From   string        `json:"from"`
				Gen    uint64        `json:"gen,omitempty"` // of the root that was made
			}{copies, key, 0}
			if yes {
				r, err := repo.Recover(ctx, objects, key, storeOptions())
				if err != nil {
					return err
				}
				out.Gen = r.Gen
			}
			return a.print(out, func(w io.Writer) error { return printRecover(w, copies, key, !yes) })
		},
	}
	cmd.Flags().StringVar(&key, "root", "", "the copy to use, as the list names it")
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}

func printRecover(w io.Writer, copies []gc.RootCopy, key string, dry bool) error {
	var rows [][]string
	for _, c := range copies {
		problem := c.Problem
		if problem == "" {
			problem = "sound"
		}
		rows = append(rows, []string{c.Key, count(int64(c.Gen)), when(c.Time), count(int64(c.Repos)), problem}) //nolint:gosec // at most 2^53
	}
	if err := printTable(w, []string{"copy", "generation", "written", "repos", "state"}, rows); err != nil {
		return err
	}
	var b strings.Builder
	verb := "made from"
	if dry {
		verb = "would be made from"
	}
	fmt.Fprintf(&b, "the root %s %s\n", verb, key)
	did(&b, dry, "run dvx fsck now")
	_, err := io.WriteString(w, b.String())
	return err
}
