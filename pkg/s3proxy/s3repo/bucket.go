package s3repo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// bucketNameMax is S3's oldest limit on the length of a bucket's name: a bucket
// REF.REPO may take it, so that a whole commit ID fits in.
const bucketNameMax = 255

// bucket is what the name of a bucket means in one view: a repo with all its
// refs, or one of them.
type bucket struct {
	b    *Backend
	view *repo.View // of this repo alone
	name string     // of the repo
	refs repo.Repo  // without specs, which are nobody's data
	only *mount     // of a bucket REF.REPO
}

// mount is a ref with the prefix that its files have in a bucket.
type mount struct {
	prefix string // "", or what was written for the ref and "/"
	ref    repo.Ref
}

// bucket finds a bucket in the view of the moment, or fails with
// s3proxy.ErrNoSuchBucket.
func (b *Backend) bucket(ctx context.Context, name string) (*bucket, error) {
	v, err := b.store.View(ctx)
	if err != nil {
		return nil, seal(err)
	}
	k := b.bucketIn(v, name)
	if k == nil {
		return nil, noBucket(name)
	}
	if k.only == nil || k.named(k.only.ref.Name) {
		return k, nil
	}
	if _, err := k.find(ctx, k.only.ref); err != nil {
		if isAbsent(err) {
			return nil, noBucket(name)
		}
		return nil, seal(err)
	}
	return k, nil
}

// bucketIn returns the bucket of a name in v, nil if there is none. Whether there
// is the commit that a bucket COMMIT.REPO names is not looked at.
func (b *Backend) bucketIn(v *repo.View, name string) *bucket {
	ref, of := splitBucket(name)
	r, ok := v.Repos[of]
	if !ok || isSystem(of) || ref == "" && name != of { // .REPO would be a second name of REPO
		return nil
	}
	r.Specs = nil
	k := &bucket{b: b, view: &repo.View{Gen: v.Gen, Repos: map[string]repo.Repo{of: r}, Open: v.Open, Expires: v.Expires}, name: of, refs: r}
	if ref == "" {
		return k
	}
	if len(name) > bucketNameMax || strings.ContainsAny(ref, "/~^{:") {
		return nil
	}
	if k.only, ok = k.mount(ref, ""); !ok {
		return nil
	}
	return k
}

// splitBucket splits the name of a bucket into ref and repo; ref is "" for all.
func splitBucket(name string) (ref, of string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}

func noBucket(name string) error {
	return fmt.Errorf("bucket %.300q: %w", name, s3proxy.ErrNoSuchBucket)
}

// named reports whether there is a branch or tag of that name.
func (k *bucket) named(name string) bool {
	_, branch := k.refs.Branches[name]
	_, tag := k.refs.Tags[name]
	return branch || tag
}

// mount returns the mount at prefix of the ref that text spells: it may be a
// branch, a tag, or a commit that is yet to be found.
func (k *bucket) mount(text, prefix string) (*mount, bool) {
	ref, err := repo.ParseRef(k.name + "@" + text)
	if err != nil || ref.HasPath || !k.named(ref.Name) && !isCommit(ref.Name) {
		return nil, false
	}
	return &mount{prefix: prefix, ref: ref}, true
}

// isCommit reports whether name can be a commit's ID or the beginning of one.
func isCommit(name string) bool {
	return len(name) >= repo.PrefixSizeMin && len(name) <= 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// split splits a key into the ref that it lies in, by the longest name that
// matches, and the path there. It fails if the key leads into no ref.
func (k *bucket) split(key string) (m *mount, path string, ok bool) {
	if k.only != nil {
		return k.only, key, true
	}
	for i := 0; i < len(key); i++ {
		if key[i] != '/' {
			continue
		}
		text := key[:i]
		base, expr := cutExpression(text)
		if k.named(base) {
			if found, valid := k.mount(text, key[:i+1]); valid {
				m, path, ok = found, key[i+1:], true
			}
		}
		if expr { // a name that goes on behind an expression is none
			break
		}
	}
	if ok {
		return m, path, true
	}
	text, path, ok := strings.Cut(key, "/")
	if base, _ := cutExpression(text); !ok || !isCommit(base) {
		return nil, "", false
	}
	m, ok = k.mount(text, text+"/")
	return m, path, ok
}

// cutExpression returns the name in a ref expression, and whether more follows.
func cutExpression(text string) (name string, more bool) {
	i := strings.IndexAny(text, "{~^")
	if i < 0 {
		return text, false
	}
	return text[:i], true
}

// mounts returns, in the order of their keys, the mounts that may hold keys
// beginning with prefix: the one that prefix leads into, listed or not, or
// else all branches and tags that begin with it.
func (k *bucket) mounts(prefix string) []*mount {
	if m, _, ok := k.split(prefix); ok {
		return []*mount{m}
	}
	var all []*mount
	add := func(name string) {
		if strings.HasPrefix(name+"/", prefix) {
			all = append(all, &mount{prefix: name + "/", ref: repo.Ref{Repo: k.name, Name: name}})
		}
	}
	for name := range k.refs.Branches {
		add(name)
	}
	for name := range k.refs.Tags {
		if _, hidden := k.refs.Branches[name]; !hidden {
			add(name)
		}
	}
	slices.SortFunc(all, func(a, b *mount) int { return strings.Compare(a.prefix, b.prefix) })
	return all
}
