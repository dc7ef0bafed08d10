package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func cmdAuth(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Say who may do what, and make and revoke keys",
		Long: `Say who may do what in a store, and make and revoke the keys by which people and programs come in through a
daemon. The same key opens gRPC (dvx --server) and S3. Rights are kept in the store, in the repo dvx-access, and
every daemon on it follows a change within seconds.

A grant is LEVEL:REPO[@REF][:/PATH]. Levels: read; run (read, and pipelines and jobs); write (read, and commit);
admin (all). REPO and REF may end with *. The principal "anonymous" is whoever reads over S3 without a signature.`,
		Example: `  dvx auth grant ann read:images write:images@staging
  dvx auth key create ann --out ann.key
  dvx auth grant anonymous read:public@main
  dvx auth list`,
		Args: cobra.NoArgs, RunE: showHelp,
	}
	keys := &cobra.Command{
		Use: "key", Short: "Create, list and revoke keys", Args: cobra.NoArgs, RunE: showHelp,
		Example: "  dvx auth key create ann --scope read:images@main --out ann.key",
	}
	keys.AddCommand(a.authKeyCreate(), a.authKeyList(), a.authKeyRevoke())
	cmd.AddCommand(a.authEnv(), keys, a.authGrant(), a.authRevoke(), a.authList(), a.authAudit())
	return cmd
}

func (a *app) authEnv() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print a key as environment variables for S3 clients",
		Long:  "Print the owner's key, or that of --key-file, as environment variables for S3 clients, to be read by a shell. The key is a secret.",
		Example: `  eval "$(dvx auth env)"
  aws --endpoint-url http://127.0.0.1:7778 s3 ls s3://images/main/`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			k, err := a.key()
			if err != nil {
				return err
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
