package s3repo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// Authorize is a s3proxy.Authorizer that asks the Backend's auth.Authorizer.
// Callers are of type auth.Principal, as [KeyLookup] makes them; who comes
// without a signature is auth.Anonymous. Reading
// asks for auth.Read, making and deleting buckets for auth.Admin, all else for
// auth.Write: on the key, or the directory that the prefix ends in, of the
// branch that it lies in, or, if it lies in none, on the whole repo. Listing buckets needs no right, but shows only those
// that the caller may read.
func (b *Backend) Authorize(ctx context.Context, a s3proxy.Access) error {
	who := caller(a.Principal)
	if a.Right == s3proxy.Anyone {
		if who == auth.Anonymous {
			return auth.ErrUnauthenticated
		}
		return nil
	}
	action, ok := actions[a.Right]
	if !ok {
		return fmt.Errorf("%s needs the unknown right %q: %w", a.Operation, a.Right, auth.ErrDenied)
	}
	key := a.Key
	if strings.HasPrefix(string(a.Operation), "List") { // a prefix: all below the directory that it ends in
		key = key[:strings.LastIndexByte(key, '/')+1]
	}
	on, err := b.resource(auth.With(ctx, who), a.Bucket, key)
	if err != nil {
		return err
	}
	err = b.auth.Authorize(ctx, who, action, on)
	if who == auth.Anonymous && errors.Is(err, auth.ErrDenied) {
		return auth.ErrUnauthenticated // a key might open it
	}
	return err
}

// caller returns who makes a request.
func caller(p any) auth.Principal {
	who, ok := p.(auth.Principal)
	if !ok || who == (auth.Principal{}) {
		return auth.Anonymous
	}
	return who
}

// actions are what the rights of S3 operations are called here.
var actions = map[s3proxy.Right]auth.Action{
	s3proxy.Read: auth.Read, s3proxy.Write: auth.Write, s3proxy.Admin: auth.Admin,
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
		if m, path, ok := k.split(key); ok {
			on.Branch, on.Path = k.branch(m.ref), strings.TrimSuffix(path, "/")
		}
	}
	return on, nil
}

// Keys knows the keys of a store. It may be used concurrently.
type Keys interface {
	// Lookup returns the key with the given public part and whom it
	// authenticates; fs.ErrNotExist if there is none.
	Lookup(access string) (auth.Key, auth.Principal, error)
}

// KeyLookup returns a s3proxy.KeyLookup of keys, whose callers are of type
// auth.Principal.
func KeyLookup(keys Keys) s3proxy.KeyLookup {
	return func(_ context.Context, access string) (s3proxy.Credential, error) {
		k, who, err := keys.Lookup(access)
		if err != nil {
			return s3proxy.Credential{}, err
		}
		return s3proxy.Credential{Secret: k.Secret, Principal: who}, nil
	}
}
