package s3repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Store is what a [Writing] needs beside its repo.Writer: a repo.Store that
// names operations. repo.Direct is one.
type Store interface {
	repo.Store
	// NewOp returns a fresh operation ID.
	NewOp() (repo.OpID, error)
}

// Writing is a [Backend] that takes writes: into the open commits of branches,
// through a repo.Writer.
type Writing struct {
	*Backend
	store  Store
	writer *repo.Writer
	in     *intake
}

// WritingOptions configure a [Writing]. The zero value works.
type WritingOptions struct {
	// Spool is the folder for bodies that wait for their turn to be stored, in
	// files that go with the process. Default: the system's for temporary files.
	Spool string
}

var (
	_ s3proxy.Writer    = (*Writing)(nil)
	_ s3proxy.Uploader  = (*Writing)(nil)
	_ s3proxy.Versioner = (*Writing)(nil)
	_ s3proxy.Settings  = (*Writing)(nil)
)

// NewWriting returns a Writing over s and w, a writer of the same store. Both
// stay the caller's.
func NewWriting(s Store, w *repo.Writer, a auth.Authorizer, o WritingOptions) *Writing {
	return &Writing{Backend: New(s, a), store: s, writer: w, in: newIntake(o.Spool, s.Config().Chunker)}
}

// place is where a key is written: a path on a branch.
type place struct {
	k            *bucket
	mount        *mount
	repo, branch string
	path         string
}

// place finds where a key is written. It fails with s3proxy.ErrReadOnly for a
// key that lies in a tag, a commit or an expression.
func (w *Writing) place(ctx context.Context, name s3proxy.ObjectName) (place, error) {
	k, err := w.bucket(ctx, name.Bucket)
	if err != nil {
		return place{}, err
	}
	m, path, ok := k.split(name.Key)
	if !ok {
		return place{}, fmt.Errorf("key %.300q: keys of %s begin with the name of a branch and /: %w", name.Key, k.name, fs.ErrInvalid)
	}
	branch := k.branch(m.ref)
	if branch == "" || !m.ref.At.IsZero() || len(m.ref.Steps) > 0 {
		return place{}, fmt.Errorf("write %.300q: it is of a fixed version: %w", name.Key, s3proxy.ErrReadOnly)
	}
	if err := tree.CheckPath(path); err != nil {
		return place{}, fmt.Errorf("key %.300q: %w", name.Key, err)
	}
	return place{k: k, mount: m, repo: k.name, branch: branch, path: path}, nil
}

// Put implements s3proxy.Writer.
func (w *Writing) Put(ctx context.Context, name s3proxy.ObjectName, content *s3proxy.Content, o s3proxy.PutOptions) (s3proxy.ObjectInfo, error) {
	ctx, _ = enter(ctx)
	at, err := w.place(ctx, name)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	u, c, err := w.in.store(ctx, w.writer, content)
	if err != nil {
		return s3proxy.ObjectInfo{}, sealWrite(err)
	}
	defer func() { _ = u.Close() }() // what was not published is collected
	attrs := encodeAttributes(o.Attributes, content.Checksum(), nil)
	sum := content.MD5()
	attrs.MD5 = sum[:]
	return w.write(ctx, u, at, name.Key, repo.OpID{}, body{c, &attrs}, o.If)
}

// Copy implements s3proxy.Writer. It shares the content.
func (w *Writing) Copy(ctx context.Context, from s3proxy.Object, name s3proxy.ObjectName, o s3proxy.PutOptions) (s3proxy.ObjectInfo, error) {
	ctx, _ = enter(ctx)
	source, ok := from.(*object)
	if !ok {
		return s3proxy.ObjectInfo{}, fmt.Errorf("copy to %q: the source is of another backend: %w", name.Key, fs.ErrInvalid)
	}
	at, err := w.place(ctx, name)
	if err != nil {
		return s3proxy.ObjectInfo{}, err
	}
	u, err := w.writer.Upload(ctx)
	if err != nil {
		return s3proxy.ObjectInfo{}, sealWrite(err)
	}
	defer func() { _ = u.Close() }()
	sum := source.info.Checksum
	if o.Checksum.Algorithm != "" {
		sum = o.Checksum
	}
	attrs := encodeAttributes(o.Attributes, sum, source.info.Parts)
	attrs.MD5, attrs.ETag = source.attrs.MD5, source.attrs.ETag
	return w.write(ctx, u, at, name.Key, repo.OpID{}, body{source.content, &attrs}, o.If)
}

// write makes an object of a body that is stored, and describes it. op is that of
// the version, a fresh one if zero.
func (w *Writing) write(ctx context.Context, u *repo.Upload, at place, key string, op repo.OpID, b body, cond s3proxy.Precondition) (s3proxy.ObjectInfo, error) {
	e := tree.Entry{Kind: tree.File, Content: b.content, Attrs: *b.attrs}
	if at.path[len(at.path)-1] == '/' {
		e = tree.Entry{Kind: tree.Dir, Marker: &tree.Marker{Content: b.content, Attrs: *b.attrs}}
	}
	written, err := u.Write(ctx, repo.OpenWrite{Repo: at.repo, Branch: at.branch, Op: op, Edits: []repo.OpenEdit{{
		Path: at.path, Entry: &e, Check: precondition(cond), Keep: true,
	}}})
	if err != nil {
		return s3proxy.ObjectInfo{}, sealWrite(err)
	}
	attrs := &e.Attrs
	if e.Marker != nil {
		attrs = &e.Marker.Attrs
	}
	attrs.Time, attrs.Op = written.Time, tree.OpID(written.Op)
	v := &version{}
	return v.describe(key, &e), nil
}

// precondition returns the check of a condition, nil if it holds always.
func precondition(cond s3proxy.Precondition) func(*tree.Entry) error {
	if cond.IsZero() {
		return nil
	}
	return func(there *tree.Entry) error {
		if there == nil {
			return cond.Check(nil)
		}
		v := &version{}
		info := v.summary("", there)
		return cond.Check(&info)
	}
}

// sealWrite is seal for writes, whose failures tell a client more.
func sealWrite(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, repo.ErrRepoNotFound), errors.Is(err, repo.ErrRefNotFound):
		return fmt.Errorf("%w: %s", s3proxy.ErrNoSuchBucket, err.Error())
	case errors.Is(err, repo.ErrConflict):
		return fmt.Errorf("%w: %s", s3proxy.ErrConflict, err.Error())
	case errors.Is(err, repo.ErrUnknown):
		return fmt.Errorf("%w: %s", s3proxy.ErrBusy, err.Error())
	case s3proxy.IsShown(err):
		return err
	}
	for _, kind := range []error{
		repo.ErrProtected, fs.ErrInvalid, fs.ErrExist,
		s3proxy.ErrNoSuchKey, s3proxy.ErrNoSuchVersion, s3proxy.ErrReadOnly, s3proxy.ErrConflict,
	} {
		if errors.Is(err, kind) {
			return err
		}
	}
	return seal(err)
}
