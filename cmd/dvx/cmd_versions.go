package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// specVersions adds the verbs for the versions of a pipeline's spec.
func specVersions(a *app) []*cobra.Command {
	return []*cobra.Command{
		cmdSpecLog(a), cmdSpecDiff(a), cmdSpecRollback(a), cmdSpecEdit(a),
		cmdSpecPause(a, "pause", "Start no more jobs of a pipeline until it is resumed", true),
		cmdSpecPause(a, "resume", "Let a paused pipeline run again", false),
		cmdSpecSchema(a), cmdPipelineImport(a),
	}
}

// specVersion is a version of a spec.
type specVersion struct {
	ID      commit.ID          `json:"spec"`
	Time    time.Time          `json:"time"`
	Author  string             `json:"author"`
	Message string             `json:"message,omitempty"`
	Paused  string             `json:"paused,omitempty"`  // by whom
	Changes []spec.FieldChange `json:"changes,omitempty"` // since the one before
	Code    bool               `json:"code,omitempty"`    // the code changed since the one before
	Problem string             `json:"problem,omitempty"` // why it can't be read

	version engine.Version
}

// specVersionsOf returns the versions of a pipeline, newest first, at most so
// many (0: all).
func (a *app) specVersionsOf(ctx context.Context, arg string, limit int) (list []specVersion, r chunk.Reader, err error) {
	name, branch := splitPipeline(arg)
	s, ctx, err := a.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	view, err := s.View(ctx)
	if err != nil {
		return nil, nil, err
	}
	id := view.Repos[name].Specs[branch].Commit
	if id.IsZero() {
		return nil, nil, fmt.Errorf("no pipeline %s on branch %s: %w", name, branch, fs.ErrNotExist)
	}
	if r, err = s.Reader(ctx, repo.Scope{Repo: name, Commit: id}); err != nil {
		return nil, nil, err
	}
	for limit == 0 || len(list) <= limit {
		c, err := commit.Load(ctx, r, id)
		if err != nil {
			return nil, nil, err
		}
		v := specVersion{ID: id, Time: c.Time, Author: c.Author, Message: c.Message}
		v.Paused, _ = pipeline.Paused(c)
		if v.version, err = pipeline.LoadVersion(ctx, r, c.Tree); err != nil {
			v.Problem = err.Error()
		}
		if n := len(list); n > 0 {
			list[n-1].Changes = v.version.Spec.Diff(list[n-1].version.Spec)
			list[n-1].Code = v.version.Code.Content != list[n-1].version.Code.Content
		}
		list = append(list, v)
		if len(c.Parents) == 0 {
			return list, r, nil
		}
		id = c.Parents[0]
	}
	return list[:limit], r, nil
}

func cmdSpecLog(a *app) *cobra.Command {
	var limit uint
	cmd := &cobra.Command{
		Use:     "log PIPELINE[@BRANCH]",
		Short:   "Show the versions of a pipeline's spec, newest first, with what changed",
		Example: "  dvx pipeline log wordcount@staging -n 5",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, _, err := a.specVersionsOf(cmd.Context(), args[0], int(min(limit, 1<<20)))
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				for _, v := range list {
					if err := printVersion(w, v); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many (0: show all)")
	return cmd
}

func printVersion(w io.Writer, v specVersion) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s", v.ID.Short(), when(v.Time), printable(v.Author))
	if v.Message != "" {
		fmt.Fprintf(&b, "  %s", printable(v.Message))
	}
	if v.Paused != "" {
		b.WriteString("  (paused)")
	}
	b.WriteString("\n")
	for _, c := range v.Changes {
		fmt.Fprintf(&b, "  %s\n", printable(c.String()))
	}
	if v.Code {
		b.WriteString("  the code changed\n")
	}
	if v.Problem != "" {
		fmt.Fprintf(&b, "  %s\n", printable(v.Problem))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// findVersion returns the version that the first digits of its ID name.
func findVersion(list []specVersion, prefix string) (specVersion, error) {
	var found []specVersion
	for _, v := range list {
		if len(prefix) >= 6 && strings.HasPrefix(v.ID.String(), prefix) {
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		return specVersion{}, usagef("%q are not the first 6 or more digits of one version; dvx pipeline log shows them", prefix)
	}
	return found[0], nil
}

// specDiff is how two versions differ.
type specDiff struct {
	From    commit.ID          `json:"from"`
	To      commit.ID          `json:"to"`
	Changes []spec.FieldChange `json:"changes"`
	Code    []string           `json:"code,omitempty"` // files of the code that differ
}

func cmdSpecDiff(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff PIPELINE[@BRANCH] [VERSION [VERSION]]",
		Short: "Show how two versions of a pipeline differ",
		Long:  "Show how two versions of a pipeline differ, field by field and file by file of the code: the newest from the one before, or from VERSION, or two from each other.",
		Example: `  dvx pipeline diff wordcount
  dvx pipeline diff wordcount 3f9a01 77b2c4`,
		Args: rangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error { return a.specDiff(cmd.Context(), args) },
	}
}

func (a *app) specDiff(ctx context.Context, args []string) error {
	list, r, err := a.specVersionsOf(ctx, args[0], 0)
	if err != nil {
		return err
	}
	from, to := list[min(1, len(list)-1)], list[0]
	if len(args) > 1 {
		if from, err = findVersion(list, args[1]); err != nil {
			return err
		}
	}
	if len(args) > 2 {
		if to, err = findVersion(list, args[2]); err != nil {
			return err
		}
	}
	d := specDiff{From: from.ID, To: to.ID, Changes: from.version.Spec.Diff(to.version.Spec)}
	for c, err := range tree.Diff(ctx, r, from.version.Code, r, to.version.Code, tree.DiffOptions{Expand: true}) {
		if err != nil {
			return err
		}
		if !strings.HasSuffix(c.Path, "/") {
			d.Code = append(d.Code, c.Path+" "+c.Kind.String())
		}
	}
	return a.print(d, func(w io.Writer) error {
		var b strings.Builder
		for _, c := range d.Changes {
			fmt.Fprintf(&b, "%s\n", printable(c.String()))
		}
		for _, line := range d.Code {
			fmt.Fprintf(&b, "code/%s\n", printable(line))
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "no difference\n")
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// revise makes a version of a pipeline of an earlier or the present one.
func (a *app) revise(ctx context.Context, arg, done string, r pipeline.Revision) error {
	name, branch := splitPipeline(arg)
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	if r.Op, err = opID(""); err != nil {
		return err
	}
	r.Author, r.Time = author(), time.Now()
	before, err := specOwner(ctx, s, name, branch)
	if err != nil {
		return err
	}
	id, err := pipeline.Revise(ctx, s, name, branch, r)
	if err != nil {
		return err
	}
	out := registered{Pipeline: name, Branch: branch, Spec: id.String()}
	after, err := specOwner(ctx, s, name, branch)
	if err != nil {
		return err
	}
	if after != before {
		out.Owner = after
	}
	return a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s@%s: %s, spec %s\n", name, branch, done, id.Short())
		if err == nil && out.Owner != "" {
			_, err = fmt.Fprintf(w, "it runs on the rights of %s from now on, no longer on those of %s\n", printable(out.Owner), printable(before))
		}
		return err
	})
}

// specOwner returns who answers for a pipeline: who made its newest version.
func specOwner(ctx context.Context, s repo.Store, name, branch string) (string, error) {
	view, err := s.View(ctx)
	if err != nil {
		return "", err
	}
	return view.Repos[name].Specs[branch].Owner, nil
}

func cmdSpecRollback(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback PIPELINE[@BRANCH] [VERSION]",
		Short: "Make an earlier version of a pipeline the newest again",
		Long:  "Make an earlier version of a pipeline, spec and code, the newest again: the one before that differs, or VERSION. What it gave is remembered, so nothing that it ran before runs again.",
		Example: `  dvx pipeline rollback wordcount
  dvx pipeline rollback wordcount@staging 3f9a01`,
		Args: rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, _, err := a.specVersionsOf(cmd.Context(), args[0], 0)
			if err != nil {
				return err
			}
			to, ok := versionBefore(list)
			if len(args) > 1 {
				if to, err = findVersion(list, args[1]); err != nil {
					return err
				}
			} else if !ok {
				return usagef("%s has no earlier version that differs", args[0])
			}
			r := pipeline.Revision{To: to.ID, Message: "rollback to " + to.ID.Short()}
			return a.revise(cmd.Context(), args[0], "back to "+to.ID.Short(), r)
		},
	}
}

// versionBefore returns the newest version that holds something else than the
// present one: to pause and to resume makes versions too.
func versionBefore(list []specVersion) (specVersion, bool) {
	now := list[0].version
	for _, v := range list[1:] {
		if v.version.Code.Content != now.Code.Content || len(v.version.Spec.Diff(now.Spec)) > 0 {
			return v, true
		}
	}
	return specVersion{}, false
}

func cmdSpecPause(a *app, verb, short string, pause bool) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " PIPELINE[@BRANCH]",
		Short:   short,
		Example: "  dvx pipeline " + verb + " wordcount@staging",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.revise(cmd.Context(), args[0], verb+"d", pipeline.Revision{Pause: pause, Message: verb})
		},
	}
}

func cmdSpecSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of pipeline specs",
		Example: "  dvx pipeline schema > pipeline.schema.json",
		Args:    exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			b, err := spec.Schema()
			if err == nil {
				_, err = a.out.Write(b)
			}
			return err
		},
	}
}

func cmdSpecEdit(a *app) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:   "edit PIPELINE[@BRANCH]",
		Short: "Change a pipeline's spec in $EDITOR",
		Long: `Open the newest version of a pipeline's spec in $VISUAL or $EDITOR and register what was saved. The code stays as it
is. What is not sound is refused and left in the file that the message names.`,
		Example: "  EDITOR=vi dvx pipeline edit wordcount",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.specEdit(cmd.Context(), args[0], message)
		},
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "what changed and why")
	return cmd
}

func (a *app) specEdit(ctx context.Context, arg, message string) error {
	list, _, err := a.specVersionsOf(ctx, arg, 1)
	if err != nil {
		return err
	}
	now := list[0]
	if now.Problem != "" {
		return fmt.Errorf("%s: %w", now.Problem, fs.ErrInvalid)
	}
	source, err := spec.Format(now.version.Spec)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dvx-edit-")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, now.version.Spec.Pipeline+".yaml")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return err
	}
	if err := a.editor(ctx, file); err != nil {
		return err
	}
	edited, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := spec.Parse(file, edited)
	if err != nil {
		return err // the file stays, so that nothing typed is lost
	}
	name, branch := splitPipeline(arg)
	if s.Pipeline != name {
		return usagef("the spec is of pipeline %s now, not %s; make it with dvx pipeline create -f %s", s.Pipeline, name, file)
	}
	st, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	g := pipeline.Registration{
		Spec: s, Source: edited, Branch: branch, Author: author(), Message: message, Time: time.Now(), Update: true,
		Code: func(context.Context, chunk.Store) (tree.Root, error) { return now.version.Code, nil },
	}
	if g.Op, err = opID(""); err != nil {
		return err
	}
	id, unchanged, err := pipeline.Register(ctx, st, g)
	if err != nil {
		return err
	}
	out := registered{Pipeline: name, Branch: branch, Spec: id.String(), Unchanged: unchanged}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return a.print(out, func(w io.Writer) error {
		verb := "registered"
		if unchanged {
			verb = "unchanged"
		}
		_, err := fmt.Fprintf(w, "%s@%s: %s, spec %s\n", name, branch, verb, id.Short())
		return err
	})
}

// editor lets the user edit a file.
func (a *app) editor(ctx context.Context, file string) error {
	words := strings.Fields(os.Getenv("VISUAL"))
	if len(words) == 0 {
		words = strings.Fields(os.Getenv("EDITOR"))
	}
	if len(words) == 0 {
		return usagef("say with which program to edit: set EDITOR")
	}
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], file)...) //nolint:gosec // the user's own editor
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.err, a.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("editor %s: %w", words[0], err)
	}
	return nil
}
