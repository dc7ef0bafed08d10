package s3repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// settingMax bounds a setting that is read: more than the proxy lets in.
const settingMax = 1 << 20

func settingPath(bucket string, s s3proxy.Setting) string {
	return fmt.Sprintf("%s/%s.xml", bucket, s)
}

// Setting implements s3proxy.Settings.
func (w *Writing) Setting(ctx context.Context, bucket string, s s3proxy.Setting) ([]byte, error) {
	ctx, _ = enter(ctx)
	if _, err := w.bucket(ctx, bucket); err != nil {
		return nil, err
	}
	v, err := repo.Look(ctx, w.store, systemRepo, settingsBranch)
	if errors.Is(err, repo.ErrRepoNotFound) || errors.Is(err, repo.ErrRefNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, seal(err)
	}
	return readSystem(ctx, v, settingPath(bucket, s), settingMax)
}

// SetSetting implements s3proxy.Settings.
func (w *Writing) SetSetting(ctx context.Context, bucket string, s s3proxy.Setting, doc []byte) error {
	ctx, _ = enter(ctx)
	if _, err := w.bucket(ctx, bucket); err != nil {
		return err
	}
	if err := w.ensureSystem(ctx); err != nil {
		return err
	}
	if doc != nil {
		_, err := w.putSystem(ctx, settingsBranch, settingPath(bucket, s), bytes.NewReader(doc), nil)
		return err
	}
	_, err := w.writer.Write(ctx, repo.OpenWrite{
		Repo: systemRepo, Branch: settingsBranch, Edits: []repo.OpenEdit{{Path: settingPath(bucket, s)}},
	})
	return sealWrite(err)
}
