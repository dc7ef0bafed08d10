package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/interop"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

func cmdImport(a *app) *cobra.Command {
	var data, dir string
	var byReference bool
	var flags commitFlags
	cmd := &cobra.Command{
		Use:   "import {DVC.YAML | s3://BUCKET/PREFIX REPO@BRANCH[:/PATH] --by-reference}",
		Short: "Make pipeline specs of a dvc.yaml, or files of the objects of a bucket",
		Long: `Make a pipeline spec of each stage of a dvc.yaml, of foreach and matrix one each, and say what does not carry over.
The specs go to standard output, or with -o to a file each; register them with dvx pipeline apply, in the project's
folder, which is their code. What a stage reads of DVC's own files (those with a .dvc file) belongs into the repo data.

With s3:// and --by-reference, make files of the objects of a bucket, as one version, without copying them: the bucket
is listed and no object is read. Whoever reads such a file, by S3, a checkout or a pipeline, reads the object with his
own credentials for that bucket (the daemon with those that it was started with). An object that was changed or
removed meanwhile is never given out as what was imported. PREFIX is a folder, or one object; files that are at the
paths of others are replaced. Only the owner of a store may do this through a daemon.`,
		Example: `  dvx import dvc.yaml -o . && dvx pipeline apply -f train.yaml -p lr=0.1
  dvx import s3://sensor-data/2026 raw@main:/2026 --by-reference`,
		Args: rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch s3 := place.IsURL(args[0]); {
			case s3 && (!byReference || len(args) != 2):
				return usagef("to make files of the objects of a bucket give REPO@BRANCH and --by-reference; to copy them, use dvxd and any S3 client")
			case s3:
				return a.importReferences(cmd.Context(), args[0], args[1], flags)
			case byReference || len(args) != 1:
				return usagef("--by-reference is for s3://BUCKET/PREFIX")
			}
			got, err := interop.DVC(os.DirFS(filepath.Dir(args[0])), filepath.Base(args[0]), data)
			if err != nil {
				return err
			}
			return a.imported(got, dir)
		},
	}
	cmd.Flags().BoolVar(&byReference, "by-reference", false, "make files of the objects where they are, without copying them")
	flags.add(cmd, putPolicies)
	cmd.Flags().StringVar(&data, "repo", "data", "the repo with the files that no stage makes")
	cmd.Flags().StringVarP(&dir, "output", "o", "", "write each spec to NAME.yaml in this folder")
	return cmd
}

func cmdPipelineImport(a *app) *cobra.Command {
	var dir string
	var images bool
	cmd := &cobra.Command{Use: "import", Short: "Make specs of another system's pipelines", Args: exactArgs(0), RunE: showHelp}
	pachyderm := &cobra.Command{
		Use:   "pachyderm FILE",
		Short: "Make specs of Pachyderm's pipeline specs, and say what does not carry over",
		Long: `Make specs of Pachyderm's pipeline specs (JSON or YAML) and say field by field what does not carry over. The specs go
to standard output, or with -o to a file each. Programs run on the host, where the code of an image has to be put; with
--images they stay in their images, for a daemon that runs them on Kubernetes (dvxd serve --kube).`,
		Example: `  dvx pipeline import pachyderm edges.json -o .
  dvx pipeline import pachyderm edges.json --images >edges.yaml`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			got, err := interop.Pachyderm(b, images)
			if err != nil {
				return err
			}
			return a.imported(got, dir)
		},
	}
	pachyderm.Flags().StringVarP(&dir, "output", "o", "", "write each spec to NAME.yaml in this folder")
	pachyderm.Flags().BoolVar(&images, "images", false, "keep transform.image, for a daemon with --kube")
	cmd.AddCommand(pachyderm)
	return cmd
}

// imported writes specs, and to the error stream what did not carry over.
func (a *app) imported(got interop.Import, dir string) error {
	if a.json {
		return a.print(got, nil)
	}
	for i, s := range got.Specs {
		b, err := spec.Format(s)
		if err != nil {
			return err
		}
		if dir != "" {
			file := filepath.Join(dir, s.Pipeline+".yaml")
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as other files of the project
			if err != nil {
				return err
			}
			if _, err = f.Write(b); err == nil {
				err = f.Close()
			}
			if err != nil {
				return err
			}
			b = fmt.Appendf(nil, "wrote %s\n", file)
		} else if i > 0 {
			b = append([]byte("---\n"), b...)
		}
		if _, err := a.out.Write(b); err != nil {
			return err
		}
	}
	for _, n := range got.Notes {
		of := ""
		if n.Pipeline != "" {
			of = n.Pipeline + ": "
		}
		if _, err := io.WriteString(a.err, printable(fmt.Sprintf("%s%s: %s", of, n.Field, n.Text))+"\n"); err != nil {
			return err
		}
	}
	return nil
}
