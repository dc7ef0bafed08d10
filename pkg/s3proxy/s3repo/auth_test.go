package s3repo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// rule is what one principal may do.
type rule struct {
	who    string
	action auth.Action
	on     auth.Resource
}

// rules allow what one of them says, and the owner everything.
type rules []rule

func (rs rules) Authorize(_ context.Context, p auth.Principal, a auth.Action, r auth.Resource) error {
	for _, one := range rs {
		if one.who == p.Name && one.action == a && one.on.Repo == r.Repo && (one.on.Branch == "" || one.on.Branch == r.Branch) {
			return nil
		}
	}
	if p == auth.Owner {
		return nil
	}
	return fmt.Errorf("%v may not %s %+v: %w", p, a, r, auth.ErrDenied)
}

// newRuled gives ann the right to read a-repo, and bob that to write one branch.
func newRuled(s repo.Store) *s3repo.Backend {
	return s3repo.New(s, rules{
		{"ann", auth.Read, auth.Resource{Repo: "a-repo"}},
		{"bob", auth.Read, auth.Resource{Repo: "a-repo", Branch: "dev/bob"}},
		{"bob", auth.Write, auth.Resource{Repo: "a-repo", Branch: "dev/bob"}},
	})
}

func TestAuthorize(t *testing.T) {
	s := newStore(t, "a-repo", "b-repo")
	id := s.put("a-repo", "main", map[string]string{"f": "x"})
	s.move(
		repo.CreateBranch{Repo: "a-repo", Branch: "dev/bob"},
		repo.CreateBranch{Repo: "a-repo", Branch: "dev/eve"},
		repo.CreateBranch{Repo: "a-repo", Branch: "bob"},
		repo.CreateTag{Repo: "a-repo", Tag: "v1", Commit: id},
	)
	b := newRuled(s)
	tests := []struct {
		who, op, bucket, key string
		want                 bool
	}{
		{"ann", "ListBuckets", "", "", true},
		{"ann", "GetObject", "a-repo", "main/f", true},
		{"ann", "HeadObject", "a-repo", "v1/f", true},
		{"ann", "ListObjectsV2", "a-repo", "", true},
		{"ann", "GetObject", "main.a-repo", "f", true},
		{"ann", "HeadBucket", "a-repo", "", true},
		{"ann", "GetObject", "b-repo", "main/f", false},
		{"ann", "GetObject", "main.b-repo", "f", false},
		{"ann", "HeadBucket", "no-repo", "", false},
		{"ann", "PutObject", "a-repo", "main/f", false},
		{"ann", "CreateBucket", "a-repo", "", false},
		{"ann", "DeleteBucket", "a-repo", "", false},
		{"ann", "SomethingNew", "a-repo", "main/f", false},
		{"bob", "GetObject", "a-repo", "dev/bob/f", true},
		{"bob", "GetObject", "a-repo", "dev/bob~1/f", true},
		{"bob", "ListObjects", "a-repo", "dev/bob/", true},
		{"bob", "PutObject", "a-repo", "dev/bob/f", true},
		{"bob", "ListObjects", "a-repo", "dev/bob", false}, // may be that of dev/bobby
		{"bob", "ListObjects", "a-repo", "", false},
		{"bob", "GetObject", "a-repo", "dev/eve/f", false},
		{"bob", "GetObject", "a-repo", "v1/f", false},
		{"bob", "GetObject", "a-repo", id.String() + "/f", false},
		{"bob", "GetObject", "a-repo", "bob/f", false},
		{"bob", "GetObject", "bob.a-repo", "dev/bob/f", false},
		{"bob", "GetObject", "b-repo", "dev/bob/f", false},
		{"owner", "GetObject", "b-repo", "any/f", true},
		{"owner", "CreateBucket", "no-repo", "", true},
		{"", "ListBuckets", "", "", false},
		{"", "GetObject", "a-repo", "main/f", false},
	}
	for _, tt := range tests {
		err := b.Authorize(t.Context(), s3proxy.Access{
			Principal: auth.Principal{Name: tt.who}, Operation: s3proxy.Operation(tt.op), Right: rightOf(tt.op), Bucket: tt.bucket, Key: tt.key,
		})
		if (err == nil) != tt.want || err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s %s %s/%s: got %v, want %v", tt.who, tt.op, tt.bucket, tt.key, err, tt.want)
		}
	}
	for _, principal := range []any{nil, "owner", &auth.Owner} {
		if err := b.Authorize(t.Context(), s3proxy.Access{Principal: principal, Operation: "ListBuckets", Right: rightOf("ListBuckets")}); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("principal %#v: got %v, want %v", principal, err, auth.ErrUnauthenticated)
		}
	}
}

// rightOf returns what an operation needs, "" if nobody knows it.
func rightOf(op string) s3proxy.Right {
	for _, row := range s3proxy.Operations() {
		if string(row.Operation) == op {
			return row.Right
		}
	}
	return ""
}

func TestKeyLookup(t *testing.T) {
	k := auth.Key{Access: "ANN", Secret: "hush", Principal: "ann"}
	lookup := s3repo.KeyLookup(auth.Keys{k})
	cred, err := lookup(t.Context(), "ANN")
	if err != nil || cred.Secret != k.Secret || cred.Principal != (auth.Principal{Name: "ann"}) {
		t.Errorf("got %v, %v", cred, err)
	}
	if _, err := lookup(t.Context(), "ann"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}
