package s3repo

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// Authorize is a s3proxy.Authorizer that asks the Backend's auth.Authorizer.
// Callers must be of type auth.Principal, as [KeyLookup] makes them. Reading
// asks for auth.Read, making and deleting buckets for auth.Admin, all else for
// auth.Write: on the branch that the key or prefix lies in, or, if it lies in
// none, on the whole repo. Listing buckets needs no right, but shows only those
// that the caller may read.
func (b *Backend) Authorize(ctx context.Context, a s3proxy.Access) error {
	who, ok := a.Principal.(auth.Principal)
	if !ok || who == (auth.Principal{}) {
		return auth.ErrUnauthenticated
	}
	if a.Operation == "ListBuckets" {
		return nil
	}
	on, err := b.resource(auth.With(ctx, who), a.Bucket, a.Key)
	if err != nil {
		return err
	}
	return b.auth.Authorize(ctx, who, actionOf(a.Operation), on)
}

// actionOf returns the right that an operation needs. One that is not known
// here needs the right to write.
func actionOf(op s3proxy.Operation) auth.Action {
	switch op {
	case "CreateBucket", "DeleteBucket":
		return auth.Admin
	}
	for _, verb := range []string{"Get", "Head", "List"} {
		if strings.HasPrefix(string(op), verb) {
			return auth.Read
		}
	}
	return auth.Write
}

// resource returns what a bucket and a key or prefix are of, whether they
// exist or not.
func (b *Backend) resource(ctx context.Context, name, key string) (auth.Resource, error) {
	v, err := b.store.View(ctx)
	if err != nil {
		return auth.Resource{}, seal(err)
	}
	_, of := splitBucket(name)
	on := auth.Resource{Repo: of}
	if k := b.bucketIn(v, name); k != nil {
		if m, _, ok := k.split(key); ok {
			on.Branch = k.branch(m.ref)
		}
	}
	return on, nil
}

// KeyLookup returns a s3proxy.KeyLookup of keys, whose callers are of type
// auth.Principal.
func KeyLookup(keys auth.Keys) s3proxy.KeyLookup {
	return func(_ context.Context, access string) (s3proxy.Credential, error) {
		k, ok := keys.ByAccess(access)
		if !ok {
			return s3proxy.Credential{}, fmt.Errorf("access key %.40q: %w", access, fs.ErrNotExist)
		}
		return s3proxy.Credential{Secret: k.Secret, Principal: k.Who()}, nil
	}
}
