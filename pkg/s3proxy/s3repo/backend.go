package s3repo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Backend serves the repos of a store. Make one with [New].
type Backend struct {
	store  repo.Store
	auth   auth.Authorizer
	finder finder
	nodes  *tree.Cache
	loaded commits

	histories histories
	room      *room
}

// nodesMax bounds the directory nodes that a Backend keeps decoded, in bytes:
// those that lead to some ten thousand directories, or hold a million names.
const nodesMax = 64 << 20

var (
	_ s3proxy.Backend   = (*Backend)(nil)
	_ s3proxy.Versioner = (*Backend)(nil)
)

// New returns a Backend over s, which stays the caller's. a decides which
// repos a caller sees listed, and what [Backend.Authorize] allows.
func New(s repo.Store, a auth.Authorizer) *Backend {
	return &Backend{store: s, auth: a, nodes: tree.NewCache(nodesMax), room: newRoom()}
}

// madeAs is the description of a repo that was made as a bucket.
func madeAs(bucket string) string { return "made as S3 bucket " + bucket }

// ListBuckets implements s3proxy.Backend: of the repos that the caller may read
// the buckets REPO, and BRANCH.REPO of each branch but main. That one would be a
// second name of what CreateBucket REPO makes, and a client that lists what it
// made would find more than that; so a repo that was made as main.REPO, and still
// says so, has that name in place of REPO.
func (b *Backend) ListBuckets(ctx context.Context) ([]s3proxy.BucketInfo, error) {
	ctx, who := enter(ctx)
	v, err := b.store.View(ctx)
	if err != nil {
		return nil, seal(err)
	}
	var all []s3proxy.BucketInfo
	for _, name := range slices.Sorted(maps.Keys(v.Repos)) {
		sees, err := auth.Sees(ctx, b.auth, who, name)
		if err != nil {
			return nil, seal(err)
		}
		if !sees || isSystem(name) {
			continue
		}
		shown := name
		if main := repo.DefaultBranch + "." + name; v.Repos[name].Description == madeAs(main) && b.bucketIn(v, main) != nil {
			shown = main
		}
		all = append(all, s3proxy.BucketInfo{Name: shown, Created: v.Repos[name].Created})
		for branch := range v.Repos[name].Branches {
			if bucket := branch + "." + name; branch != repo.DefaultBranch && b.bucketIn(v, bucket) != nil {
				all = append(all, s3proxy.BucketInfo{Name: bucket, Created: v.Repos[name].Created})
			}
		}
	}
	slices.SortFunc(all, func(a, b s3proxy.BucketInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// StatBucket implements s3proxy.Backend. A bucket REF.REPO is as old as its
// repo.
func (b *Backend) StatBucket(ctx context.Context, name string) (s3proxy.BucketInfo, error) {
	ctx, _ = enter(ctx)
	k, err := b.bucket(ctx, name)
	if err != nil {
		return s3proxy.BucketInfo{}, err
	}
	return s3proxy.BucketInfo{Name: name, Created: k.refs.Created}, nil
}

// enter hands the caller of a request on to the layers below.
func enter(ctx context.Context) (context.Context, auth.Principal) {
	who := caller(s3proxy.PrincipalFrom(ctx))
	return auth.With(ctx, who), who
}

// seal takes the kinds from an error of the store, but for those that mean the
// same to a client: that a chunk does not exist is no answer to whether a key
// does.
func seal(err error) error {
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded, auth.ErrDenied, auth.ErrUnauthenticated} {
		if errors.Is(err, kind) {
			return err
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, repo.ErrExpired):
		return fmt.Errorf("%w: %s", s3proxy.ErrNoSuchKey, err.Error())
	case errors.Is(err, chunk.ErrReference):
		return fmt.Errorf("%w: %s", s3proxy.ErrInvalidState, err.Error())
	case errors.Is(err, objstore.ErrThrottled):
		return fmt.Errorf("%w: %s", s3proxy.ErrBusy, err.Error())
	}
	return fmt.Errorf("read store: %s", err.Error())
}
