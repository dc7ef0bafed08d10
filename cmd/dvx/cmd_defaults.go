package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

func cmdDefaults(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaults",
		Short: "Show or set what the specs of all pipelines inherit",
		Long: `The defaults of a store are a spec without a name and an input. A spec inherits each field that it does not have
itself, when it is registered (dvx pipeline create, update, apply): a pipeline that is there changes with its next version.
dvx pipeline inspect --effective shows a spec with what it inherited. Whoever administers the store sets the defaults, and
every user of it can read them. They are versions like any other: ` + "`dvx log " + auth.DefaultsRepo + "`" + ` shows who changed them.`,
		Args: cobra.NoArgs, RunE: showHelp,
	}
	var file, message string
	set := &cobra.Command{
		Use: "set -f FILE", Short: "Set the defaults to what a file says, YAML or JSON; {} for none", Args: exactArgs(0),
		Example: "  echo '{datum: {tries: 3, timeout: 1h}}' | dvx defaults set -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("name the file with -f; - is standard input")
			}
			return a.setDefaults(cmd.Context(), file, message)
		},
	}
	set.Flags().StringVarP(&file, "file", "f", "", "file with the defaults; - is standard input")
	set.Flags().StringVarP(&message, "message", "m", "", "what changed and why")
	cmd.AddCommand(set, &cobra.Command{
		Use: "show", Short: "Show the defaults", Example: "  dvx defaults show", Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.showDefaults(cmd.Context()) },
	})
	return cmd
}

// defaultsSource reads the document of the store's defaults, {} if there is
// none.
func defaultsSource(ctx context.Context, s repo.Store) ([]byte, error) {
	f, _, err := repo.GetFile(ctx, s, auth.DefaultsRepo+"@"+auth.DefaultsBranch+":/"+auth.DefaultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte("{}\n"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the store's defaults: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, spec.SizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the store's defaults: %w", err)
	}
	return b, nil
}

// storeDefaults reads what specs inherit.
func storeDefaults(ctx context.Context, s repo.Store) (spec.Defaults, error) {
	b, err := defaultsSource(ctx, s)
	if err != nil {
		return spec.Defaults{}, err
	}
	d, err := spec.ParseDefaults(auth.DefaultsRepo+":/"+auth.DefaultsFile, b)
	if err != nil {
		return d, fmt.Errorf("%w; mend them with dvx defaults set", err)
	}
	return d, nil
}

func (a *app) showDefaults(ctx context.Context) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	b, err := defaultsSource(ctx, s)
	if err != nil {
		return err
	}
	if a.json {
		d, err := spec.ParseDefaults(auth.DefaultsFile, b)
		if err != nil {
			return err
		}
		return a.print(d.Fields(), nil)
	}
	_, err = a.out.Write(b)
	return err
}

func (a *app) setDefaults(ctx context.Context, file, message string) error {
	in, _, _, err := a.openInput(file)
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, spec.SizeMax+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if _, err := spec.ParseDefaults(file, b); err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	view, err := s.View(ctx)
	if err != nil {
		return err
	}
	if _, ok := view.Repos[auth.DefaultsRepo]; !ok {
		op, err := opID("")
		if err != nil {
			return err
		}
		make := repo.CreateRepo{Repo: auth.DefaultsRepo, Branch: auth.DefaultsBranch, Description: "what specs inherit; change it with dvx defaults"}
		if _, err := s.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{make}}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	o := repo.CommitOptions{Repo: auth.DefaultsRepo, Branch: auth.DefaultsBranch, Author: author(), Message: message, Time: time.Now()}
	if o.Op, err = opID(""); err != nil {
		return err
	}
	res, err := repo.PutFile(ctx, s, o, auth.DefaultsFile, tree.Entry{Kind: tree.File}, bytes.NewReader(b))
	if err != nil {
		return err
	}
	return a.print(map[string]string{"commit": res.ID.String()}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "defaults set, version %s; pipelines inherit them with their next version\n", res.ID.Short())
		return err
	})
}
