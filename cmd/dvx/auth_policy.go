package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/access"
	"github.com/dvx-io/dvx/pkg/auth"
)

// ownerKey loads the owner's key, or makes it where none is yet.
func (a *app) ownerKey() (auth.Key, error) {
	file := a.keyFile
	if file == "" {
		var err error
		if file, err = place.KeyFile(); err != nil {
			return auth.Key{}, err
		}
	}
	k, err := auth.LoadOrCreateKey(file, rand.Reader, auth.Owner)
	if err == nil && !k.Who().IsOwner() {
		err = fmt.Errorf("%s is the key of %s; only the owner's key can seal the secrets of others: %w", file, k.Principal, fs.ErrPermission)
	}
	return k, err
}

// policy opens the store's policy for changes.
func (a *app) policy(ctx context.Context) (access.Editor, context.Context, error) {
	owner, err := a.ownerKey()
	if err != nil {
		return access.Editor{}, ctx, err
	}
	s, ctx, err := a.open(ctx)
	return access.Editor{Store: s, Owner: owner, Now: time.Now, Random: rand.Reader, Author: author()}, ctx, err
}

func parseGrants(texts []string) ([]auth.Grant, error) {
	grants := make([]auth.Grant, 0, len(texts))
	for _, text := range texts {
		g, err := auth.ParseGrant(text)
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	return grants, nil
}

func (a *app) authKeyCreate() *cobra.Command {
	var out string
	var scope []string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create PRINCIPAL",
		Short: "Make a key for somebody",
		Long: `Make a key for somebody, and print it or write it to a file that only you can read. The key can do what its
principal was granted, and no more than its own --scope. It is not shown again.`,
		Example: `  dvx auth key create ann --out ann.key
  dvx auth key create backup --scope read:images@main --expires 720h`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			grants, err := parseGrants(scope)
			if err != nil {
				return err
			}
			e, ctx, err := a.policy(cmd.Context())
			if err != nil {
				return err
			}
			var expires time.Time
			if life > 0 {
				expires = time.Now().Add(life)
			}
			k, err := e.CreateKey(ctx, args[0], grants, expires)
			if err != nil {
				return err
			}
			return a.handOver(k, out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the key to this new file, for --key-file")
	cmd.Flags().StringArrayVar(&scope, "scope", nil, "grant to which the key is limited; may be given several times")
	cmd.Flags().DurationVar(&life, "expires", 0, "how long the key is good for (default: until revoked)")
	return cmd
}

// handOver writes a new key to a file, or prints it.
func (a *app) handOver(k auth.Key, out string) error {
	if out != "" {
		if err := auth.SaveKey(out, k); err != nil {
			return fmt.Errorf("%w; key %s was made: revoke it, and create another", err, k.Access)
		}
		return a.print(map[string]string{"access": k.Access, "principal": k.Principal, "file": out}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "key %s for %s is in %s\n", k.Access, k.Principal, out)
			return err
		})
	}
	return a.print(k, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "principal  %s\naccess     %s\nsecret     %s\n", k.Principal, k.Access, k.Secret)
		return err
	})
}

// keyInfo is a key as it is listed: without its secret.
type keyInfo struct {
	Access    string       `json:"access"`
	Principal string       `json:"principal"`
	Scope     []auth.Grant `json:"scope,omitempty"`
	Created   time.Time    `json:"created"`
	Expires   time.Time    `json:"expires,omitzero"`
}

func (a *app) authKeyList() *cobra.Command {
	return &cobra.Command{
		Use: "list [PRINCIPAL]", Aliases: []string{"ls"}, Short: "List keys, without their secrets", Example: "  dvx auth key list", Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, ctx, err := a.policy(cmd.Context())
			if err != nil {
				return err
			}
			p, err := e.Read(ctx)
			if err != nil {
				return err
			}
			keys := []keyInfo{}
			for _, k := range p.Keys {
				if len(args) == 0 || k.Principal == args[0] {
					keys = append(keys, keyInfo{k.Access, k.Principal, k.Scope, k.Created, k.Expires})
				}
			}
			return a.print(keys, func(w io.Writer) error {
				rows := make([][]string, 0, len(keys))
				for _, k := range keys {
					rows = append(rows, []string{k.Access, k.Principal, orDash(grantsText(k.Scope)), when(k.Created), when(k.Expires)})
				}
				return printTable(w, []string{"access", "principal", "scope", "created", "expires"}, rows)
			})
		},
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func grantsText(grants []auth.Grant) string {
	texts := make([]string, len(grants))
	for i, g := range grants {
		texts[i] = g.String()
	}
	return strings.Join(texts, " ")
}

func (a *app) authKeyRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ACCESS", Short: "Revoke a key by its public part", Example: "  dvx auth key revoke 5UJ2V6WQ3S7XK4NYBZTA", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, ctx, err := a.policy(cmd.Context())
			if err != nil {
				return err
			}
			return e.RevokeKey(ctx, args[0])
		},
	}
}

func (a *app) authGrant() *cobra.Command {
	return &cobra.Command{
		Use: "grant PRINCIPAL GRANT...", Short: "Give rights to somebody", Args: minArgs(2),
		Example: "  dvx auth grant ann read:images write:images@staging write:reports@main:/2026",
		RunE: func(cmd *cobra.Command, args []string) error {
			grants, err := parseGrants(args[1:])
			if err != nil {
				return err
			}
			e, ctx, err := a.policy(cmd.Context())
			if err != nil {
				return err
			}
			return e.Grant(ctx, args[0], grants...)
		},
	}
}

func (a *app) authRevoke() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "revoke PRINCIPAL [GRANT...]", Short: "Take rights from somebody; with --all also all keys", Args: minArgs(1),
		Example: `  dvx auth revoke ann write:images@staging
  dvx auth revoke ann --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 1) {
				return usagef("name the grants to take, or say --all")
			}
			grants, err := parseGrants(args[1:])
			if err != nil {
				return err
			}
			e, ctx, err := a.policy(cmd.Context())
			if err != nil {
				return err
			}
			return e.Revoke(ctx, args[0], grants...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "take all rights and keys")
	return cmd
}

func (a *app) authList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List who may do what", Example: "  dvx auth list --json", Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, ctx, err := a.policy(cmd.Context())
			if err != nil {
				return err
			}
			p, err := e.Read(ctx)
			if err != nil {
				return err
			}
			return a.print(p.Principals, func(w io.Writer) error {
				rows := make([][]string, 0, len(p.Principals))
				for _, name := range slices.Sorted(maps.Keys(p.Principals)) {
					n := 0
					for _, k := range p.Keys {
						if k.Principal == name {
							n++
						}
					}
					rows = append(rows, []string{name, count(int64(n)), orDash(grantsText(p.Principals[name]))})
				}
				return printTable(w, []string{"principal", "keys", "grants"}, rows)
			})
		},
	}
}

func (a *app) authAudit() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show the audit log of this machine's daemon, and check that no line was changed",
		Long: `Show who changed what through the daemon of this machine, and what was refused. Each line holds a hash of the one
before under the owner's key; a line that was changed or removed later ends the list with an error.`,
		Example: "  dvx auth audit --json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			owner, err := a.ownerKey()
			if err != nil {
				return err
			}
			if file == "" {
				s, _, err := a.open(cmd.Context())
				if err != nil {
					return err
				}
				if file, err = daemon.AuditFile(s.Config().Store); err != nil {
					return err
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("audit log: %w; the daemon keeps it in its state folder, name it with --file", err)
			}
			events, verr := auth.VerifyAudit(b, owner)
			if err := a.printEvents(events); err != nil {
				return err
			}
			return verr
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the log (default: in the state folder of the store's daemon)")
	return cmd
}

// printEvents prints events; with --json one a line, as they are in the log.
func (a *app) printEvents(events []auth.Event) error {
	if a.json {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		for _, e := range events {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		_, err := a.out.Write(out.Bytes())
		return err
	}
	rows := make([][]string, 0, len(events))
	for _, e := range events {
		rows = append(rows, []string{when(e.Time), e.Principal, orDash(e.Key), e.Edge, e.Operation, orDash(e.Resource), e.Outcome})
	}
	return printTable(a.out, []string{"time", "principal", "key", "edge", "operation", "resource", "outcome"}, rows)
}
