package access

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Editor changes the policy of a store. All fields are required.
type Editor struct {
	Store  repo.Store
	Owner  auth.Key // the owner's key
	Now    func() time.Time
	Random io.Reader
	Author string // who changes it, for the history
}

// Read returns the policy as it is.
func (e Editor) Read(ctx context.Context) (auth.Policy, error) {
	v, err := e.Store.View(ctx)
	if err != nil {
		return auth.Policy{}, fmt.Errorf("access policy: %w", err)
	}
	return load(ctx, e.Store, v.Repos[auth.AccessRepo].Branches[auth.AccessBranch].Commit)
}

// CreateKey makes a key for a principal, who gets the grants too if he had
// none. scope narrows what the key may do; expires may be zero. The key's
// secret is in what is returned and nowhere else in the clear.
func (e Editor) CreateKey(ctx context.Context, principal string, scope []auth.Grant, expires time.Time) (auth.Key, error) {
	if err := auth.CheckPrincipalName(principal); err != nil {
		return auth.Key{}, err
	}
	if principal == auth.Anonymous.Name {
		return auth.Key{}, fmt.Errorf("%s comes in without a key: %w", principal, fs.ErrInvalid)
	}
	k, err := auth.NewKey(e.Random, auth.Principal{Name: principal})
	if err != nil {
		return auth.Key{}, err
	}
	k.Server = base64.StdEncoding.EncodeToString(e.Owner.ServerKey())
	sealer, err := auth.NewSealer(e.Owner)
	if err != nil {
		return auth.Key{}, err
	}
	sealed, err := sealer.Seal(e.Random, k)
	if err != nil {
		return auth.Key{}, err
	}
	entry := auth.SealedKey{
		Access: k.Access, Sealed: sealed, Principal: principal, Scope: scope,
		Created: e.Now().UTC().Truncate(time.Second), Expires: expires.UTC().Truncate(time.Second),
	}
	if expires.IsZero() {
		entry.Expires = time.Time{}
	}
	err = e.change(ctx, "create key "+k.Access+" for "+principal, func(p *auth.Policy) error {
		i, found := slices.BinarySearchFunc(p.Keys, k.Access, byAccess)
		if found {
			return fmt.Errorf("key %s: %w", k.Access, fs.ErrExist)
		}
		p.Keys = slices.Insert(p.Keys, i, entry)
		if _, ok := p.Principals[principal]; !ok {
			p.Principals[principal] = []auth.Grant{}
		}
		return nil
	})
	return k, err
}

func byAccess(k auth.SealedKey, access string) int { return strings.Compare(k.Access, access) }

// RevokeKey removes a key; fs.ErrNotExist if there is none.
func (e Editor) RevokeKey(ctx context.Context, access string) error {
	return e.change(ctx, "revoke key "+access, func(p *auth.Policy) error {
		i, found := slices.BinarySearchFunc(p.Keys, access, byAccess)
		if !found {
			return fmt.Errorf("key %.40q: %w", access, fs.ErrNotExist)
		}
		p.Keys = slices.Delete(p.Keys, i, i+1)
		return nil
	})
}

// Grant gives rights to a principal, who need not be known yet.
func (e Editor) Grant(ctx context.Context, principal string, grants ...auth.Grant) error {
	return e.change(ctx, fmt.Sprintf("grant %v to %s", grants, principal), func(p *auth.Policy) error {
		have := slices.Clone(p.Principals[principal])
		for _, g := range grants {
			if !slices.Contains(have, g) {
				have = append(have, g)
			}
		}
		p.Principals[principal] = have
		return nil
	})
}

// Revoke takes grants from a principal; without grants, all of them, his keys
// and himself. fs.ErrNotExist if he does not have them.
func (e Editor) Revoke(ctx context.Context, principal string, grants ...auth.Grant) error {
	return e.change(ctx, fmt.Sprintf("revoke %v from %s", grants, principal), func(p *auth.Policy) error {
		have, ok := p.Principals[principal]
		if !ok {
			return fmt.Errorf("principal %.80q: %w", principal, fs.ErrNotExist)
		}
		if len(grants) == 0 {
			delete(p.Principals, principal)
			p.Keys = slices.DeleteFunc(p.Keys, func(k auth.SealedKey) bool { return k.Principal == principal })
			return nil
		}
		have = slices.Clone(have)
		for _, g := range grants {
			i := slices.Index(have, g)
			if i < 0 {
				return fmt.Errorf("%s was not granted %v: %w", principal, g, fs.ErrNotExist)
			}
			have = slices.Delete(have, i, i+1)
		}
		p.Principals[principal] = have
		return nil
	})
}

// attemptsMax is how often a change is made anew because of another one.
const attemptsMax = 20

// change commits what edit makes of the policy, on the version that it was
// made from.
func (e Editor) change(ctx context.Context, message string, edit func(*auth.Policy) error) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	op, err := repo.NewOpID(e.Now(), e.Random)
	if err != nil {
		return err
	}
	o := repo.CommitOptions{
		Repo: auth.AccessRepo, Branch: auth.AccessBranch, Op: op, Time: e.Now(), Author: e.Author, Message: message, AllowEmpty: true,
	}
	for n := 1; ; n++ {
		_, err := repo.Commit(ctx, e.Store, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) { return e.draft(ctx, d, edit) })
		if !errors.Is(err, repo.ErrConflict) || n >= attemptsMax {
			return err
		}
	}
}

// draft makes the tree with the changed policy.
func (e Editor) draft(ctx context.Context, d *repo.Draft, edit func(*auth.Policy) error) (tree.Root, error) {
	old, err := load(ctx, e.Store, d.Parent)
	if err != nil {
		return tree.Root{}, err
	}
	p := old.Clone()
	if err := edit(&p); err != nil {
		return tree.Root{}, err
	}
	b, err := auth.EncodePolicy(p)
	if err != nil {
		return tree.Root{}, err
	}
	content, err := chunk.WriteContent(ctx, d, e.Store.Config().Chunker, strings.NewReader(string(b)))
	if err != nil {
		return tree.Root{}, fmt.Errorf("access policy: %w", err)
	}
	return d.Apply(ctx, []tree.Edit{{Op: tree.Put, Path: auth.AccessFile, Entry: tree.Entry{Kind: tree.File, Content: content}}})
}

// prepare makes the repo of the policy if it is not there.
func (e Editor) prepare(ctx context.Context) error {
	v, err := e.Store.View(ctx)
	if err != nil {
		return err
	}
	if _, ok := v.Repos[auth.AccessRepo]; ok {
		return nil
	}
	op, err := repo.NewOpID(e.Now(), e.Random)
	if err != nil {
		return err
	}
	_, err = e.Store.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{
		repo.CreateRepo{Repo: auth.AccessRepo, Branch: auth.AccessBranch, Description: "who may do what in this store; change it with dvx auth"},
	}})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
