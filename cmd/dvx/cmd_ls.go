package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// pathInfo is an entry as --json prints it, one object a line.
type pathInfo struct {
	Path    string    `json:"path"`
	Kind    string    `json:"kind"` // file, link, dir
	Exec    bool      `json:"exec,omitempty"`
	Size    int64     `json:"size"`
	ID      string    `json:"id,omitempty"` // content ID; none for an empty file
	Changed time.Time `json:"changed,omitzero"`
}

func cmdLs(a *app) *cobra.Command {
	var recursive, long bool
	cmd := &cobra.Command{
		Use:   "ls [REF[:/PATH]]",
		Short: "List a directory of a version",
		Long:  "List a directory of a version. With --json, one JSON object a line.",
		Example: `  dvx ls images@main:/2026
  dvx ls -lR images@v1.0`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.ls(cmd, args, recursive, long) },
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "all files below, with their whole paths")
	cmd.Flags().BoolVarP(&long, "long", "l", false, "with kind, size and content ID")
	return cmd
}

func (a *app) ls(cmd *cobra.Command, args []string, recursive, long bool) error {
	expr, err := refOrHere(args)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	v, res, err := repo.LookRef(ctx, s, expr)
	if err != nil || res.ID.IsZero() && v.Open == nil {
		return err
	}
	t := v.Tree()
	w := bufio.NewWriter(a.out)
	show := a.entryPrinter(w, long)
	e, err := t.Lookup(ctx, res.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", expr, err)
	}
	switch {
	case e.Kind != tree.Dir:
		err = show(res.Path, e)
	case recursive:
		prefix := ""
		if res.Path != "" {
			prefix = strings.TrimSuffix(res.Path, "/") + "/"
		}
		for p, werr := range t.Walk(ctx, tree.WalkOptions{Prefix: prefix}) {
			if err = werr; err == nil {
				err = show(p.Path, p.Entry)
			}
			if err != nil {
				break
			}
		}
	default:
		for e, werr := range t.Entries(ctx, strings.TrimSuffix(res.Path, "/"), "") {
			if err = werr; err == nil {
				err = show(e.Name, e)
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// entryPrinter returns the function that writes one entry.
func (a *app) entryPrinter(w io.Writer, long bool) func(string, tree.Entry) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(path string, e tree.Entry) error {
		i := pathInfo{Path: path, Kind: "file", Exec: e.Exec, Changed: e.Attrs.Time}
		n, id := sizeAndID(e)
		i.Size, i.ID = *n, id
		name := shownPath(path)
		switch e.Kind {
		case tree.Dir:
			i.Kind = "dir"
			name = shownPath(strings.TrimSuffix(path, "/") + "/")
		case tree.Symlink:
			i.Kind = "link"
		case tree.File:
		}
		if a.json {
			return enc.Encode(i)
		}
		if !long {
			_, err := fmt.Fprintln(w, name)
			return err
		}
		kind := i.Kind
		if i.Exec {
			kind = "exec"
		}
		_, err := fmt.Fprintf(w, "%-4s %12d  %-12.12s  %s\n", kind, i.Size, i.ID, name)
		return err
	}
}
