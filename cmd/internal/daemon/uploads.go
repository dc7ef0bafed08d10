package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

const (
	// uploadLife is how long a multipart upload may be under way: the life of
	// the longest presigned URL. Its parts take room until it ends.
	uploadLife = 7 * 24 * time.Hour
	// uploadsEvery is how often old ones are looked for.
	uploadsEvery = time.Hour
)

// expireUploads ends uploads that nobody will complete, until ctx ends.
func expireUploads(ctx context.Context, b *s3repo.Writing, log *slog.Logger) error {
	tick := time.NewTicker(uploadsEvery)
	defer tick.Stop()
	for {
		if err := b.ExpireUploads(ctx, time.Now().Add(-uploadLife)); err != nil && ctx.Err() == nil {
			log.Warn("end old multipart uploads", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
