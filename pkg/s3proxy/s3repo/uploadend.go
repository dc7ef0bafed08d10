package s3repo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// CompleteUpload implements s3proxy.Uploader. The parts were cut as they came;
// only where they meet something is cut again.
func (w *Writing) CompleteUpload(ctx context.Context, name s3proxy.UploadName, c s3proxy.Completion) (s3proxy.ObjectInfo, error) {
	ctx, _ = enter(ctx)
	found, err := w.upload(ctx, name)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	at, err := w.place(ctx, s3proxy.ObjectName{Bucket: name.Bucket, Key: name.Key})
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	op, err := repo.ParseOpID(name.ID)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	done, err := w.completed(ctx, at, name, found.Started)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	if done != nil {
		_ = w.dropUpload(ctx, name.ID) // else it expires
		return *done, nil
	}
	var contents []chunk.Content
	for _, p := range c.Parts {
		e, err := found.seen.Tree().Find(ctx, partPath(p.Number))
		if err != nil {
			return s3proxy.ObjectInfo{}, seal(err)
		}
		if e == nil || hex.EncodeToString(e.Attrs.MD5) != p.ETag {
			return s3proxy.ObjectInfo{}, fmt.Errorf("part %d of upload %s: %w", p.Number, name.ID, s3proxy.ErrInvalidPart)
		}
		contents = append(contents, e.Content)
	}
	u, err := w.writer.Upload(ctx)
	if err != nil {
		return s3proxy.ObjectInfo{}, sealWrite(err)
	}
	defer func() { _ = u.Close() }()
	content, err := chunk.JoinContents(ctx, found.seen.Chunks, u.Store(), w.store.Config().Chunker, contents)
	if err != nil {
		return s3proxy.ObjectInfo{}, sealWrite(err)
	}
	attrs := encodeAttributes(found.Attributes, c.Checksum, c.Parts)
	attrs.ETag = c.ETag
	info, err := w.write(ctx, u, at, name.Key, op, body{content, &attrs}, c.If)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	// The object is there. An upload that cannot be removed now expires.
	_ = w.dropUpload(ctx, name.ID)
	return info, nil
}

// clockSkew is by how much the clocks of replicas may differ.
const clockSkew = time.Hour

// completed returns the version that an upload has become, nil if it has not: the
// object is written under the upload's ID, and the upload may be left over. A
// client that repeats its request gets the same answer, and what was written
// to the key since stays.
func (w *Writing) completed(ctx context.Context, at place, name s3proxy.UploadName, started time.Time) (*s3proxy.ObjectInfo, error) {
	v, err := at.k.version(ctx, at.mount)
	if err != nil {
		return nil, seal(err)
	}
	of := func(v *version) (*s3proxy.ObjectInfo, error) {
		e, err := v.lookup(ctx, at.path)
		if e == nil || err != nil || versionID(stored(e).attrs.Op) != name.ID {
			return nil, seal(err)
		}
		info := v.describe(name.Key, e)
		return &info, nil
	}
	if info, err := of(v); info != nil || err != nil {
		return info, err
	}
	for c, err := range v.changes(ctx, commit.StepsOptions{Prefix: at.path, Exact: true}) {
		if err != nil {
			return nil, seal(err)
		}
		if c.time.Before(started.Add(-clockSkew)) {
			break
		}
		if info, err := of(v.at(c)); info != nil || err != nil {
			return info, err
		}
	}
	return nil, nil
}

// AbortUpload implements s3proxy.Uploader.
func (w *Writing) AbortUpload(ctx context.Context, name s3proxy.UploadName) error {
	ctx, _ = enter(ctx)
	if _, err := w.upload(ctx, name); err != nil {
		return err
	}
	return w.dropUpload(ctx, name.ID)
}

func (w *Writing) dropUpload(ctx context.Context, id string) error {
	var err error
	for range triesMax {
		err = w.dropBranch(ctx, systemRepo, uploadPrefix+id)
		if !errors.Is(err, s3proxy.ErrConflict) {
			break
		}
	}
	if errors.Is(err, s3proxy.ErrNoSuchBucket) { // another was faster
		return nil
	}
	return err
}

// ExpireUploads ends the uploads that were begun before a time, by their IDs,
// whatever else there is of them.
func (w *Writing) ExpireUploads(ctx context.Context, before time.Time) error {
	v, err := w.store.View(ctx)
	if err != nil {
		return seal(err)
	}
	var failed error
	for branch := range v.Repos[systemRepo].Branches {
		id, ok := strings.CutPrefix(branch, uploadPrefix)
		if op, err := repo.ParseOpID(id); !ok || err != nil {
			continue
		} else if begun, _ := op.Time(); !begun.Before(before) {
			continue
		}
		if err := w.dropUpload(ctx, id); err != nil {
			failed = errors.Join(failed, fmt.Errorf("end upload %s: %w", id, err))
		}
	}
	return failed
}

const (
	// uploadsMax bounds the uploads under way in a store: some 700 bytes of the
	// root each, whose limit is 1 MiB.
	uploadsMax = 800
	// uploadPatience is how old an upload may be that has to make room.
	uploadPatience = 24 * time.Hour
)

// makeRoom fails with s3proxy.ErrBusy if there are as many uploads as there may
// be, none of them old.
func (w *Writing) makeRoom(ctx context.Context, now time.Time) error {
	for _, ended := range []bool{false, true} {
		v, err := w.store.View(ctx)
		if err != nil {
			return seal(err)
		}
		if len(v.Repos[systemRepo].Branches) <= uploadsMax { // one is of the settings
			return nil
		}
		if ended {
			break
		}
		if err := w.ExpireUploads(ctx, now.Add(-uploadPatience)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %d multipart uploads are under way: complete or abort some", s3proxy.ErrBusy, uploadsMax)
}
