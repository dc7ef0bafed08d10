package s3repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// removal is a removal of versions and markers of one key by their IDs: they are
// not shown any more, and the newest that is left is what the key holds. It
// records first what goes, and then, as long as the key holds something that it
// has removed, writes what is left. What it has written it looks at again: a
// removal that came between has recorded that this goes too, and may have looked
// before it was there. So the last of several to look sees what all have recorded.
// What else the key holds though a record names it is left alone: another removal
// is about to end, or the branch was moved to what has it.
type removal struct {
	w        *Writing
	name     s3proxy.ObjectName
	drop     map[string]bool // what is to go
	restored map[string]bool // what this removal has made the latest
}

// removeTries is how often a removal looks at its key. It does so once more for
// each write of others to that key which comes between.
const removeTries = 64

// removeVersions removes versions and markers of one key. Commits keep what they
// have. That there is no such version is no error.
func (w *Writing) removeVersions(ctx context.Context, name s3proxy.ObjectName, what []s3proxy.Deletion) ([]s3proxy.Deleted, error) {
	ctx, who := enter(ctx)
	now, err := w.shown(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := now.k.refs.Branches[now.branch].CheckMover(who); err != nil {
		return nil, sealWrite(err)
	}
	out, drop := now.choose(what)
	r := removal{w, name, drop, map[string]bool{}}
	for range removeTries {
		more, err := r.step(ctx, now)
		if err == nil && !more {
			return out, nil
		}
		if err != nil && !errors.Is(err, s3proxy.ErrConflict) {
			return nil, err
		}
		if now, err = w.shown(ctx, name); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("remove versions of %.300q: others write to it all the time, try again: %w", name.Key, s3proxy.ErrConflict)
}

// shown is what a client sees of a key: the first is what the branch holds.
type shown struct {
	place
	all  []past            // from the newest to the oldest
	list []s3proxy.Version // the same with what is hidden
	gone map[string]bool   // the IDs on record
}

// shown looks at a key. Of a history longer than changesMax it fails with
// s3proxy.ErrBusy.
func (w *Writing) shown(ctx context.Context, name s3proxy.ObjectName) (shown, error) {
	at, err := w.place(ctx, name)
	if err != nil {
		return shown{}, err
	}
	v, err := at.k.version(ctx, at.mount)
	if err != nil {
		return shown{}, sealWrite(err)
	}
	v.expires = at.k.view.Expires
	r, err := at.k.removals(ctx, at.mount) // after the branch: see removal
	if err != nil {
		return shown{}, seal(err)
	}
	gone, err := r.of(ctx, at.path)
	if err != nil {
		return shown{}, seal(err)
	}
	var listed []s3proxy.Version
	by := map[string]past{}
	for p, err := range v.trail(ctx, at.path) {
		if err != nil {
			return shown{}, seal(err)
		}
		if len(listed) == changesMax {
			return shown{}, fmt.Errorf("%w: %.300q was written more than %d times", s3proxy.ErrBusy, name.Key, changesMax)
		}
		if _, known := by[p.id]; !known {
			by[p.id] = p
		}
		listed = append(listed, s3proxy.Version{ObjectInfo: s3proxy.ObjectInfo{VersionID: p.id}, DeleteMarker: p.entry == nil})
	}
	now := shown{place: at, list: settle(listed, gone), gone: gone}
	for _, v := range now.list {
		if !v.Hidden {
			now.all = append(now.all, by[v.VersionID])
		}
	}
	return now, nil
}

// choose answers what is asked to be removed, and returns the IDs of what is.
func (s shown) choose(what []s3proxy.Deletion) ([]s3proxy.Deleted, map[string]bool) {
	out := make([]s3proxy.Deleted, len(what))
	drop := map[string]bool{}
	for i, d := range what {
		out[i].VersionID = d.VersionID
		j := slices.IndexFunc(s.all, func(p past) bool { return p.id == d.VersionID })
		switch {
		case !isVersionID(d.VersionID):
			out[i].Err = s3proxy.ErrInvalidVersion
		case j < 0 && isCommit(d.VersionID) && len(d.VersionID) != opDigits:
			out[i].Err = fmt.Errorf("%.100q is the ID of a commit, which keeps what it has: %w", d.VersionID, s3proxy.ErrInvalidVersion)
		case j < 0:
			out[i].Err = d.If.Check(nil)
			drop[d.VersionID] = s.gone[d.VersionID] && out[i].Err == nil // it may have been cut off
		default:
			out[i].Marker = s.all[j].entry == nil
			if out[i].Err = s.all[j].allows(d.If); out[i].Err == nil {
				drop[d.VersionID] = true
			}
		}
	}
	return out, drop
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

// step makes the next write of a removal, and tells whether the key must be looked
// at again. It fails with s3proxy.ErrConflict if the key is written to meanwhile.
func (r *removal) step(ctx context.Context, now shown) (more bool, err error) {
	if len(now.all) == 0 {
		return false, nil
	}
	top := now.all[0]
	if now.gone[top.id] && (r.restored[top.id] || top.entry == nil && r.covered(now)) {
		r.drop[top.id] = true
	}
	var next past // what is left, with no ID if nothing is
	if i := slices.IndexFunc(now.all, func(p past) bool { return !r.drop[p.id] }); i >= 0 {
		next = now.all[i]
	}
	if ids := r.unrecorded(now, next); len(ids) > 0 {
		return true, r.w.record(ctx, now.place, ids, true)
	}
	if !r.drop[top.id] || top.entry == nil && next.entry == nil {
		return false, nil
	}
	if err := r.restore(ctx, now, next); err != nil {
		return false, err
	}
	return next.id != "", nil
}

// covered tells whether under what others have removed there is first a marker that
// this removal is of.
func (r *removal) covered(now shown) bool {
	i := slices.IndexFunc(now.list[1:], func(v s3proxy.Version) bool { return !v.Hidden || r.drop[v.VersionID] })
	return i >= 0 && now.list[1+i].DeleteMarker && r.drop[now.list[1+i].VersionID]
}

// unrecorded returns the IDs that are to be on record before next becomes what the
// key holds. Where the latest version goes and leaves nothing, that is no marker of
// its own; and a marker whose version is restored needs no record, which would
// hide the next one of that version.
func (r *removal) unrecorded(now shown, next past) []string {
	top := now.all[0]
	if top.entry != nil && r.drop[top.id] && next.entry == nil {
		r.drop[markerID(top.entry)] = true
	}
	var ids []string
	for _, p := range now.all {
		undone := p.id == top.id && next.entry != nil && p.id == markerPrefix+next.id
		if r.drop[p.id] && !now.gone[p.id] && !undone {
			ids = append(ids, p.id)
		}
	}
	if top.entry != nil && r.drop[top.id] && next.entry == nil && !now.gone[markerID(top.entry)] {
		ids = append(ids, markerID(top.entry))
	}
	return ids
}

// restore makes next what the key holds.
func (r *removal) restore(ctx context.Context, now shown, next past) error {
	edit := repo.OpenEdit{Path: now.path, Check: unchanged(now.all[0].entry), Keep: true}
	if next.entry != nil {
		edit.Entry = next.again(now.path)
	}
	if _, err := r.w.writer.Write(ctx, repo.OpenWrite{Repo: now.repo, Branch: now.branch, Edits: []repo.OpenEdit{edit}}); err != nil {
		return sealWrite(err)
	}
	if next.entry == nil {
		return nil
	}
	r.restored[next.id] = true
	marker := markerPrefix + next.id
	delete(r.drop, marker)
	if now.gone[marker] {
		return r.w.record(ctx, now.place, []string{marker}, false)
	}
	return nil
}

// again is a version as it is written to its path once more: with its ID and its
// time, which what did not come through this interface has not in its attributes.
func (p past) again(path string) *tree.Entry {
	e := *p.entry
	attrs := *stored(p.entry).attrs
	attrs.Time = p.at.modified(attrs.Time)
	if op, err := repo.ParseOpID(p.id); err == nil {
		attrs.Op = tree.OpID(op)
	}
	if !strings.HasSuffix(path, "/") {
		e.Attrs = attrs
		return &e
	}
	return &tree.Entry{Kind: tree.Dir, Marker: &tree.Marker{Content: e.Marker.Content, Attrs: attrs}}
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
