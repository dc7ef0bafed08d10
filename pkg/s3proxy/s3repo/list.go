package s3repo

import (
	"context"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// List implements s3proxy.Backend. It reads what leads to the page and what is
// on it, and with delimiter "/" nothing below the common prefixes. A prefix
// that leads into no ref lists nothing.
func (b *Backend) List(ctx context.Context, name string, q s3proxy.ListQuery) (s3proxy.ListPage, error) {
	ctx, _ = enter(ctx)
	k, err := b.bucket(ctx, name)
	if err != nil || q.MaxKeys <= 0 {
		return s3proxy.ListPage{}, err
	}
	return k.list(ctx, q)
}

// list makes a page of the bucket as it is in its view.
func (k *bucket) list(ctx context.Context, q s3proxy.ListQuery) (page s3proxy.ListPage, err error) {
	l := &lister{k: k, q: q, mounts: k.mounts(q.Prefix), versions: map[*mount]*version{}}
	if q.Delimiter == "/" {
		page, err = fill(q.MaxKeys, l.level(ctx))
	} else {
		page, err = s3proxy.Paginate(q, func(from string) iter.Seq2[s3proxy.ObjectInfo, error] {
			return l.walk(ctx, from)
		})
	}
	if err != nil {
		return s3proxy.ListPage{}, seal(err)
	}
	return page, nil
}

// lister makes one page.
type lister struct {
	k        *bucket
	q        s3proxy.ListQuery
	mounts   []*mount
	versions map[*mount]*version
}

// version opens the version of m, once; nil if there is none.
func (l *lister) version(ctx context.Context, m *mount) (*version, error) {
	if v, ok := l.versions[m]; ok {
		return v, nil
	}
	v, err := l.k.version(ctx, m)
	if err != nil && !isAbsent(err) {
		return nil, err
	}
	l.versions[m] = v
	return v, nil
}

// walk yields all objects with the query's prefix from the key from on.
func (l *lister) walk(ctx context.Context, from string) iter.Seq2[s3proxy.ObjectInfo, error] {
	return func(yield func(s3proxy.ObjectInfo, error) bool) {
		for _, m := range l.mounts {
			after, ok := within(m, before(from))
			if !ok {
				continue
			}
			for info, err := range l.objects(ctx, m, after) {
				if !yield(info, err) || err != nil {
					return
				}
			}
		}
	}
}

// objects yields the objects of one mount whose paths are greater than after.
func (l *lister) objects(ctx context.Context, m *mount, after string) iter.Seq2[s3proxy.ObjectInfo, error] {
	return func(yield func(s3proxy.ObjectInfo, error) bool) {
		v, err := l.version(ctx, m)
		if err != nil {
			yield(s3proxy.ObjectInfo{}, err)
			return
		}
		if v == nil {
			return
		}
		prefix := ""
		if len(l.q.Prefix) > len(m.prefix) { // it leads into the mount
			prefix = l.q.Prefix[len(m.prefix):]
		}
		for e, err := range v.tree.Walk(ctx, tree.WalkOptions{Prefix: prefix, After: after, Dirs: true}) {
			ok := false
			if err == nil {
				ok, err = v.isObject(ctx, &e.Entry)
			}
			if err != nil {
				yield(s3proxy.ObjectInfo{}, err)
				return
			}
			if ok && !yield(v.summary(m.prefix+e.Path, &e.Entry), nil) {
				return
			}
		}
	}
}

// item is an entry of a page: an object, or a common prefix.
type item struct {
	object s3proxy.ObjectInfo
	common string
}

// fill makes a page of at most n items, and looks whether there is one more.
func fill(n int, items iter.Seq2[item, error]) (s3proxy.ListPage, error) {
	var page s3proxy.ListPage
	for it, err := range items {
		switch {
		case err != nil:
			return s3proxy.ListPage{}, err
		case len(page.Objects)+len(page.CommonPrefixes) == n:
			page.Truncated = true
			return page, nil
		case it.common != "":
			page.CommonPrefixes = append(page.CommonPrefixes, it.common)
		default:
			page.Objects = append(page.Objects, it.object)
		}
	}
	return page, nil
}

// level yields the entries of a query with delimiter "/".
func (l *lister) level(ctx context.Context) iter.Seq2[item, error] {
	after := l.q.StartAfter
	if common := rollUp(l.q.Prefix, after); common != "" {
		after = common + pastAll
	}
	if len(l.mounts) == 1 && strings.HasPrefix(l.q.Prefix, l.mounts[0].prefix) {
		return l.entries(ctx, l.mounts[0], after)
	}
	return l.names(after)
}

// names yields the first components of refs behind the query's prefix.
func (l *lister) names(after string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		last := after
		for _, m := range l.mounts {
			if common := rollUp(l.q.Prefix, m.prefix); common > last {
				if last = common; !yield(item{common: common}, nil) {
					return
				}
			}
		}
	}
}

// entries yields what the directory that the query's prefix leads into holds.
func (l *lister) entries(ctx context.Context, m *mount, after string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		inner, ok := within(m, after)
		if !ok {
			return
		}
		v, err := l.version(ctx, m)
		if err != nil {
			yield(item{}, err)
			return
		}
		if v == nil {
			return
		}
		o := tree.WalkOptions{Prefix: l.q.Prefix[len(m.prefix):], After: inner, Dirs: true, Shallow: true}
		for e, err := range v.tree.Walk(ctx, o) {
			it, ok := item{common: rollUp(l.q.Prefix, m.prefix+e.Path)}, true
			if err == nil && it.common == "" { // a directory is then the prefix itself
				it.object = v.summary(m.prefix+e.Path, &e.Entry)
				ok, err = v.isObject(ctx, &e.Entry)
			}
			if err != nil {
				yield(item{}, err)
				return
			}
			if ok && !yield(it, nil) {
				return
			}
		}
	}
}

// rollUp returns the common prefix by "/" that key belongs to, or "".
func rollUp(prefix, key string) string {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return ""
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return ""
	}
	return key[:len(prefix)+i+1]
}

// pastAll behind a prefix makes what is greater than all paths that begin with
// it: no path holds this byte.
const pastAll = "\xff"

// before returns what is less than key, and not less than any path that is.
func before(key string) string {
	if key == "" {
		return ""
	}
	n := len(key) - 1
	if key[n] == 0 {
		return key[:n]
	}
	return key[:n] + string([]byte{key[n] - 1}) + pastAll
}

// within turns a key after which to start into the path after which to start
// in m. It fails if all keys of m come before.
func within(m *mount, after string) (string, bool) {
	if inner, ok := strings.CutPrefix(after, m.prefix); ok {
		return inner, true
	}
	return "", after < m.prefix
}
