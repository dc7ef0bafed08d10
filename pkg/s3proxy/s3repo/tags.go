package s3repo

import (
	"context"
	"errors"
	"fmt"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// SetTags implements s3proxy.Writer. Of the versions only the current one can
// be changed. Its content, and when it was modified, stay.
func (w *Writing) SetTags(ctx context.Context, name s3proxy.ObjectName, tags map[string]string) (string, error) {
	var version string
	var err error
	for range triesMax {
		version, err = w.trySetTags(ctx, name, tags)
		if !errors.Is(err, s3proxy.ErrConflict) {
			break
		}
	}
	return version, err
}

// trySetTags tags what is there now. It fails with s3proxy.ErrConflict if that
// is replaced meanwhile.
func (w *Writing) trySetTags(ctx context.Context, name s3proxy.ObjectName, tags map[string]string) (string, error) {
	ctx, _ = enter(ctx)
	opened, err := w.Open(ctx, s3proxy.ObjectName{Bucket: name.Bucket, Key: name.Key})
	if err != nil {
		return "", err
	}
	current := opened.(*object)
	if id := name.VersionID; id != "" && id != current.info.VersionID {
		if _, err := w.Open(ctx, name); err != nil {
			return "", err
		}
		return "", fmt.Errorf("tag %.300q: version %.100q is not the current one: %w", name.Key, id, s3proxy.ErrReadOnly)
	}
	at, err := w.place(ctx, name)
	if err != nil {
		return "", err
	}
	e := &tree.Entry{Kind: current.kind, Content: current.content, Attrs: current.tagged(tags)}
	if e.Kind == tree.Dir {
		e = &tree.Entry{Kind: tree.Dir, Marker: &tree.Marker{Content: e.Content, Attrs: e.Attrs}}
	}
	written, err := w.writer.Write(ctx, repo.OpenWrite{Repo: at.repo, Branch: at.branch, Edits: []repo.OpenEdit{{
		Path: at.path, Entry: e, Check: current.stays, Keep: true,
	}}})
	if err != nil {
		return "", sealWrite(err)
	}
	return written.Op.String(), nil
}

// tagged returns the attributes of the object with other tags.
func (o *object) tagged(tags map[string]string) tree.Attrs {
	given := o.info.Attributes
	given.Tags = tags
	a := encodeAttributes(given, o.info.Checksum, o.info.Parts)
	a.ContentType, a.Meta = o.attrs.ContentType, o.attrs.Meta // not what its name and kind stand for
	a.MD5, a.ETag, a.Time = o.attrs.MD5, o.attrs.ETag, o.info.LastModified
	return a
}

// stays is the check of a write that no other comes before since the object was
// opened.
func (o *object) stays(there *tree.Entry) error {
	if there != nil {
		if now := stored(there); now.attrs.Op == o.attrs.Op && now.content == o.content {
			return nil
		}
	}
	return fmt.Errorf("key %.300q was written to meanwhile: %w", o.info.Key, s3proxy.ErrConflict)
}
