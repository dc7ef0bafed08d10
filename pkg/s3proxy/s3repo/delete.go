package s3repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Delete implements s3proxy.Writer. What is removed stays in the versions that
// have it: no version can be removed for good. Naming the current version
// removes the object like naming none.
func (w *Writing) Delete(ctx context.Context, bucket string, what []s3proxy.Deletion) ([]s3proxy.Deleted, error) {
	ctx, _ = enter(ctx)
	if _, err := w.bucket(ctx, bucket); err != nil {
		return nil, err
	}
	out := make([]s3proxy.Deleted, len(what))
	group := map[string][]int{} // by branch: what can be removed together
	places := make([]place, len(what))
	for i, d := range what {
		var err error
		places[i], err = w.place(ctx, s3proxy.ObjectName{Bucket: bucket, Key: d.Key})
		switch {
		case errors.Is(err, fs.ErrInvalid): // no object can have that key
			err = cmp.Or(d.If.Check(nil), noKey(d.Key))
		case err == nil:
			err = w.checkDeletion(ctx, bucket, d)
		}
		switch {
		case errors.Is(err, s3proxy.ErrNoSuchKey), errors.Is(err, s3proxy.ErrNoSuchVersion):
			out[i] = s3proxy.Deleted{VersionID: d.VersionID}
		case err != nil:
			out[i].Err = err
		default:
			out[i] = s3proxy.Deleted{VersionID: d.VersionID}
			if d.VersionID == "" {
				out[i] = s3proxy.Deleted{Marker: true, VersionID: markerPrefix + openState}
			}
			key := repo.OpenKey(places[i].repo, places[i].branch)
			group[key] = append(group[key], i)
		}
	}
	for _, members := range group {
		w.deleteGroup(ctx, what, places, members, out)
	}
	return out, nil
}

// checkDeletion fails with s3proxy.ErrNoSuchKey or ErrNoSuchVersion if there is
// nothing to remove, and with ErrReadOnly for a version that is not current.
func (w *Writing) checkDeletion(ctx context.Context, bucket string, d s3proxy.Deletion) error {
	o, err := w.Open(ctx, s3proxy.ObjectName{Bucket: bucket, Key: d.Key})
	if errors.Is(err, s3proxy.ErrNoSuchKey) && d.If.IsZero() {
		return err
	}
	if errors.Is(err, s3proxy.ErrNoSuchKey) {
		return d.If.Check(nil)
	}
	if err != nil {
		return err
	}
	if d.VersionID != "" && d.VersionID != o.Info().VersionID {
		return notCurrent(d)
	}
	return nil
}

// deleteGroup removes keys of one branch: together, but for those that have a
// condition of their own or name a version.
func (w *Writing) deleteGroup(ctx context.Context, what []s3proxy.Deletion, places []place, members []int, out []s3proxy.Deleted) {
	var together repo.OpenWrite
	var of []int
	for _, i := range members {
		t := repo.OpenWrite{Repo: places[i].repo, Branch: places[i].branch, Edits: []repo.OpenEdit{{Path: places[i].path, Keep: true}}}
		if what[i].If.IsZero() && what[i].VersionID == "" {
			together.Repo, together.Branch = t.Repo, t.Branch
			together.Edits, of = append(together.Edits, t.Edits...), append(of, i)
			continue
		}
		t.Edits[0].Check = removable(what[i])
		if _, err := w.writer.Write(ctx, t); !errors.Is(err, s3proxy.ErrNoSuchVersion) { // nothing is left to remove
			out[i].Err = sealWrite(err)
		}
	}
	if len(of) == 0 {
		return
	}
	if _, err := w.writer.Write(ctx, together); err != nil {
		for _, i := range of {
			out[i].Err = sealWrite(err)
		}
	}
}

// removable returns the check of a removal: what is there is the version that it
// names, if any, and as its condition wants it.
func removable(d s3proxy.Deletion) func(*tree.Entry) error {
	cond := precondition(d.If)
	return func(there *tree.Entry) error {
		if d.VersionID != "" {
			if there == nil {
				return s3proxy.ErrNoSuchVersion
			}
			if versionID(stored(there).attrs.Op) != d.VersionID {
				return notCurrent(d)
			}
		}
		if cond == nil {
			return nil
		}
		return cond(there)
	}
}

func notCurrent(d s3proxy.Deletion) error {
	return fmt.Errorf("remove version %.100q of %.300q: versions are kept: %w", d.VersionID, d.Key, s3proxy.ErrReadOnly)
}

// CreateBucket implements s3proxy.Writer: a repo with the branch main, or, for
// REF.REPO, that branch, empty, and its repo if need be.
func (w *Writing) CreateBucket(ctx context.Context, name string) error {
	ctx, _ = enter(ctx)
	ref, of := splitBucket(name)
	if isSystem(of) {
		return fmt.Errorf("bucket %q: the name is reserved: %w", name, s3proxy.ErrReadOnly)
	}
	v, err := w.store.View(ctx)
	if err != nil {
		return seal(err)
	}
	if _, ok := v.Repos[of]; ok && ref != "" {
		return w.move(ctx, repo.CreateBranch{Repo: of, Branch: ref})
	}
	return w.move(ctx, repo.CreateRepo{Repo: of, Branch: ref, Description: madeAs(name)})
}

func (w *Writing) move(ctx context.Context, ops ...repo.Op) error {
	op, err := w.store.NewOp()
	if err != nil {
		return seal(err)
	}
	_, err = w.store.Move(ctx, repo.Txn{Op: op, Ops: ops})
	return sealWrite(err)
}

// triesMax is how often a change is tried of what others write to.
const triesMax = 8

// DeleteBucket implements s3proxy.Writer. A bucket without keys can be deleted,
// whatever it held in the past: a branch, with its repo if it has no other, or
// a repo.
func (w *Writing) DeleteBucket(ctx context.Context, name string) error {
	ctx, _ = enter(ctx)
	var err error
	for range triesMax {
		if err = w.tryDeleteBucket(ctx, name); !errors.Is(err, s3proxy.ErrConflict) {
			return err
		}
	}
	return err
}

// tryDeleteBucket looks at a bucket and deletes it as it was then. It fails with
// s3proxy.ErrConflict if somebody has written to it since.
func (w *Writing) tryDeleteBucket(ctx context.Context, name string) error {
	k, err := w.bucket(ctx, name)
	if err != nil {
		return err
	}
	page, err := k.list(ctx, s3proxy.ListQuery{MaxKeys: 1})
	if err != nil {
		return err
	}
	if len(page.Objects) > 0 {
		return fmt.Errorf("delete bucket %q: %w", name, s3proxy.ErrBucketNotEmpty)
	}
	if k.only == nil || len(k.refs.Branches) == 1 && len(k.refs.Tags) == 0 {
		return w.move(ctx, repo.DeleteRepo{Repo: k.name, Seen: k.view.Gen})
	}
	branch := k.branch(k.only.ref)
	if branch == "" {
		return fmt.Errorf("delete bucket %q: it is a fixed version: %w", name, s3proxy.ErrReadOnly)
	}
	return w.move(ctx, repo.DeleteBranch{Repo: k.name, Branch: branch, Expect: k.refs.Branches[branch].Commit})
}

// dropBranch removes a branch with what is not sealed of it.
func (w *Writing) dropBranch(ctx context.Context, name, branch string) error {
	at, err := w.writer.Seal(ctx, name, branch)
	if err != nil {
		return sealWrite(err)
	}
	return w.move(ctx, repo.DeleteBranch{Repo: name, Branch: branch, Expect: at})
}
