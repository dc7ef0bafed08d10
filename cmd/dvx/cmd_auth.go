package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
)

func cmdAuth(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "auth", Short: "Show the key that opens a daemon", Args: cobra.NoArgs, RunE: showHelp}
	env := &cobra.Command{
		Use:   "env",
		Short: "Print the owner's key as environment variables for S3 clients",
		Long:  "Print the owner's key as environment variables for S3 clients, to be read by a shell. The key is a secret.",
		Example: `  eval "$(dvx auth env)"
  aws --endpoint-url http://127.0.0.1:7778 s3 ls s3://images/main/`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			file := a.keyFile
			if file == "" {
				var err error
				if file, err = place.KeyFile(); err != nil {
					return err
				}
			}
			k, err := auth.LoadKey(file)
			if err != nil {
				return fmt.Errorf("%w; the daemon makes it when it starts", err)
			}
			vars := map[string]string{"AWS_ACCESS_KEY_ID": k.Access, "AWS_SECRET_ACCESS_KEY": k.Secret, "AWS_DEFAULT_REGION": "us-east-1"}
			return a.print(vars, func(w io.Writer) error {
				for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"} {
					if _, err := fmt.Fprintf(w, "export %s=%s\n", name, vars[name]); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.AddCommand(env)
	return cmd
}

func cmdVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  dvx version --json", Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			v := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				v = info.Main.Version
			}
			return a.print(map[string]string{"version": v}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "dvx", v)
				return err
			})
		},
	}
}
