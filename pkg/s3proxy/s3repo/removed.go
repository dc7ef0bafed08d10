package s3repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// removedPrefix is where the branch of settings names the versions that clients
// have removed. No bucket has that name.
const removedPrefix = ".removed/"

// removals says which versions of a branch's keys were removed by their IDs. The
// zero value says that none was.
type removals struct {
	tree   *tree.Tree // of the settings; nil if there are none
	repo   string
	branch string
}

// removals returns those of the branch that m shows. Of a tag, a commit or an
// expression nothing can be removed.
func (k *bucket) removals(ctx context.Context, m *mount) (removals, error) {
	branch := k.branch(m.ref)
	if branch == "" || !m.ref.At.IsZero() || len(m.ref.Steps) > 0 {
		return removals{}, nil
	}
	v, err := repo.Look(ctx, k.b.store, systemRepo, settingsBranch)
	if errors.Is(err, repo.ErrRepoNotFound) || errors.Is(err, repo.ErrRefNotFound) {
		return removals{}, nil
	}
	if err != nil {
		return removals{}, err
	}
	t := v.Tree()
	if e, err := t.Find(ctx, removedPrefix+k.name+"/"); e == nil || err != nil {
		return removals{}, err
	}
	return removals{t, k.name, branch}, nil
}

// removedPath is the folder with a file for each version of a path that was
// removed.
func removedPath(repo, branch, path string) string {
	return fmt.Sprintf("%s%s/%x/", removedPrefix, repo, sha256.Sum256([]byte(branch+"\x00"+path)))
}

// of returns the IDs of the versions and markers of a path that were removed.
func (r removals) of(ctx context.Context, path string) (map[string]bool, error) {
	if r.tree == nil {
		return nil, nil
	}
	var gone map[string]bool
	for e, err := range r.tree.Entries(ctx, removedPath(r.repo, r.branch, path), "") {
		if errors.Is(err, tree.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if gone == nil {
			gone = map[string]bool{}
		}
		gone[e.Name] = true
	}
	return gone, nil
}

// removeVersions removes versions and markers of one key by their IDs: they are
// not shown any more, and the newest that is left is what the key holds. Commits
// keep what they have. That there is no such version is no error.
func (w *Writing) removeVersions(ctx context.Context, name s3proxy.ObjectName, what []s3proxy.Deletion) ([]s3proxy.Deleted, error) {
	var out []s3proxy.Deleted
	var err error
	for range triesMax {
		if out, err = w.tryRemoveVersions(ctx, name, what); !errors.Is(err, s3proxy.ErrConflict) {
			break
		}
	}
	return out, err
}

// tryRemoveVersions fails with s3proxy.ErrConflict if the key is written to
// meanwhile.
func (w *Writing) tryRemoveVersions(ctx context.Context, name s3proxy.ObjectName, what []s3proxy.Deletion) ([]s3proxy.Deleted, error) {
	ctx, who := enter(ctx)
	at, err := w.place(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := at.k.refs.Branches[at.branch].CheckMover(who); err != nil {
		return nil, sealWrite(err)
	}
	all, gone, err := w.shown(ctx, at)
	if err != nil {
		return nil, err
	}
	out := make([]s3proxy.Deleted, len(what))
	drop := map[string]bool{}
	for i, d := range what {
		out[i].VersionID = d.VersionID
		j := slices.IndexFunc(all, func(p past) bool { return p.id == d.VersionID })
		switch {
		case !isVersionID(d.VersionID):
			out[i].Err = s3proxy.ErrInvalidVersion
		case j < 0:
			out[i].Err = d.If.Check(nil)
		default:
			out[i].Marker = all[j].entry == nil
			if out[i].Err = all[j].allows(d.If); out[i].Err == nil {
				drop[d.VersionID] = true
			}
		}
	}
	if len(drop) == 0 {
		return out, nil
	}
	if err := w.restore(ctx, at, all, drop); err != nil {
		return nil, err
	}
	return out, w.recordRemoved(ctx, at, gone, drop)
}

// allows asks the condition of a removal.
func (p past) allows(cond s3proxy.Precondition) error {
	if cond.IsZero() {
		return nil
	}
	if p.entry == nil {
		return cond.Check(nil)
	}
	info := p.at.summary("", p.entry)
	return cond.Check(&info)
}

// shown returns the versions and markers of a path that a client sees, from the
// newest to the oldest, and the IDs of those that were removed.
func (w *Writing) shown(ctx context.Context, at place) ([]past, map[string]bool, error) {
	v, err := at.k.version(ctx, at.mount)
	if err != nil {
		return nil, nil, sealWrite(err)
	}
	v.expires = at.k.view.Expires
	r, err := at.k.removals(ctx, at.mount)
	if err != nil {
		return nil, nil, seal(err)
	}
	gone, err := r.of(ctx, at.path)
	if err != nil {
		return nil, nil, seal(err)
	}
	var listed []s3proxy.Version
	by := map[string]past{}
	for p, err := range v.trail(ctx, at.path) {
		if err != nil {
			return nil, nil, seal(err)
		}
		by[p.id] = p
		listed = append(listed, s3proxy.Version{ObjectInfo: s3proxy.ObjectInfo{VersionID: p.id}, DeleteMarker: p.entry == nil})
	}
	var all []past
	for _, v := range settle(listed, gone) {
		if !v.Hidden {
			all = append(all, by[v.VersionID])
		}
	}
	return all, gone, nil
}

// restore makes what is left of all without drop the state of the key, and
// completes drop: where the current version goes and leaves nothing, that is no
// marker of its own; and a marker whose version is restored needs no record, which
// would hide the next one of that version.
func (w *Writing) restore(ctx context.Context, at place, all []past, drop map[string]bool) error {
	was := all[0].entry
	if !drop[all[0].id] {
		return nil
	}
	var next *tree.Entry
	if i := slices.IndexFunc(all, func(p past) bool { return !drop[p.id] }); i >= 0 {
		next = all[i].entry
	}
	if was == nil && next == nil {
		return nil
	}
	edit := repo.OpenEdit{Path: at.path, Check: unchanged(was), Keep: true}
	if next != nil {
		restored := *next
		edit.Entry = &restored
		if strings.HasSuffix(at.path, "/") {
			edit.Entry = &tree.Entry{Kind: tree.Dir, Marker: next.Marker}
		}
	}
	if _, err := w.writer.Write(ctx, repo.OpenWrite{Repo: at.repo, Branch: at.branch, Edits: []repo.OpenEdit{edit}}); err != nil {
		return sealWrite(err)
	}
	if next == nil {
		drop[markerID(was)] = true
	} else {
		drop[markerID(next)] = false
	}
	return nil
}

// unchanged is the check that a path still has what was seen there, nil for
// nothing.
func unchanged(was *tree.Entry) func(*tree.Entry) error {
	return func(there *tree.Entry) error {
		if there != nil && !isStored(there) {
			there = nil
		}
		if was == nil && there == nil {
			return nil
		}
		if was != nil && there != nil && stored(was).attrs.Op == stored(there).attrs.Op && stored(was).content == stored(there).content {
			return nil
		}
		return s3proxy.ErrConflict
	}
}

// recordRemoved adds to the record of what was removed of a path, or takes from
// it what drop says is not.
func (w *Writing) recordRemoved(ctx context.Context, at place, gone, drop map[string]bool) error {
	var edits []repo.OpenEdit
	for id, removed := range drop {
		if removed == gone[id] {
			continue
		}
		edit := repo.OpenEdit{Path: removedPath(at.repo, at.branch, at.path) + id}
		if removed {
			edit.Entry = &tree.Entry{Kind: tree.File}
		}
		edits = append(edits, edit)
	}
	if len(edits) == 0 {
		return nil
	}
	if err := w.ensureSystem(ctx); err != nil {
		return err
	}
	_, err := w.writer.Write(ctx, repo.OpenWrite{Repo: systemRepo, Branch: settingsBranch, Edits: edits})
	return sealWrite(err)
}
