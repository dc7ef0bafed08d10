package s3repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// Delete implements s3proxy.Writer. What is removed stays in the commits that
// have it, whether the key is removed or a version of it.
func (w *Writing) Delete(ctx context.Context, bucket string, what []s3proxy.Deletion) ([]s3proxy.Deleted, error) {
	ctx, _ = enter(ctx)
	if _, err := w.bucket(ctx, bucket); err != nil {
		return nil, err
	}
	out := make([]s3proxy.Deleted, len(what))
	group := map[string][]int{}    // by branch: what can be removed together
	versions := map[string][]int{} // by key
	places := make([]place, len(what))
	for i, d := range what {
		var err error
		out[i].VersionID = d.VersionID
		places[i], err = w.place(ctx, s3proxy.ObjectName{Bucket: bucket, Key: d.Key})
		switch {
		case errors.Is(err, fs.ErrInvalid): // no object can have that key
			out[i].Err = d.If.Check(nil)
		case err != nil:
			out[i].Err = err
		case d.VersionID != "":
			versions[d.Key] = append(versions[d.Key], i)
		default:
			if out[i] = w.checkDeletion(ctx, bucket, d); out[i].Marker {
				key := repo.OpenKey(places[i].repo, places[i].branch)
				group[key] = append(group[key], i)
			}
		}
	}
	for _, members := range group {
		w.deleteGroup(ctx, what, places, members, out)
	}
	for key, members := range versions {
		w.deleteVersions(ctx, s3proxy.ObjectName{Bucket: bucket, Key: key}, what, members, out)
	}
	return out, nil
}

// checkDeletion says what the removal of a key would make: a marker, an error, or
// nothing, if there is nothing to remove.
func (w *Writing) checkDeletion(ctx context.Context, bucket string, d s3proxy.Deletion) s3proxy.Deleted {
	o, err := w.Open(ctx, s3proxy.ObjectName{Bucket: bucket, Key: d.Key})
	if errors.Is(err, s3proxy.ErrNoSuchKey) {
		return s3proxy.Deleted{Err: d.If.Check(nil)}
	}
	if err != nil {
		return s3proxy.Deleted{Err: err}
	}
	return s3proxy.Deleted{Marker: true, VersionID: o.(*object).markerID()}
}

// deleteGroup removes keys of one branch: together, but for those that have a
// condition of their own.
func (w *Writing) deleteGroup(ctx context.Context, what []s3proxy.Deletion, places []place, members []int, out []s3proxy.Deleted) {
	var together repo.OpenWrite
	var of []int
	for _, i := range members {
		t := repo.OpenWrite{Repo: places[i].repo, Branch: places[i].branch, Edits: []repo.OpenEdit{{Path: places[i].path, Keep: true}}}
		if what[i].If.IsZero() {
			together.Repo, together.Branch = t.Repo, t.Branch
			together.Edits, of = append(together.Edits, t.Edits...), append(of, i)
			continue
		}
		t.Edits[0].Check = precondition(what[i].If)
		if _, err := w.writer.Write(ctx, t); err != nil {
			out[i] = s3proxy.Deleted{Err: sealWrite(err)}
		}
	}
	if len(of) == 0 {
		return
	}
	if _, err := w.writer.Write(ctx, together); err != nil {
		for _, i := range of {
			out[i] = s3proxy.Deleted{Err: sealWrite(err)}
		}
	}
}

// deleteVersions removes versions of one key.
func (w *Writing) deleteVersions(ctx context.Context, name s3proxy.ObjectName, what []s3proxy.Deletion, members []int, out []s3proxy.Deleted) {
	var wanted []s3proxy.Deletion
	for _, i := range members {
		wanted = append(wanted, what[i])
	}
	done, err := w.removeVersions(ctx, name, wanted)
	for n, i := range members {
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = done[n]
	}
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
