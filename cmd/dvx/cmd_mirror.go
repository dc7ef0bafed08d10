package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/interop/mirror"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/worktree"
)

func cmdMirror(a *app) *cobra.Command {
	var follow bool
	var parallel int
	cmd := &cobra.Command{
		Use:   "mirror REF PLACE",
		Short: "Keep a version as plain files in a folder or bucket",
		Long: `Bring PLACE, a folder or s3://BUCKET/PREFIX, to the version that REF names: plain files, for whoever has no dvx.
The first time PLACE must be empty; after that only what changed is written and deleted. A run that was cut short is
made good by the next one. In a bucket a symbolic link is an object that holds its target.`,
		Example: `  dvx mirror images@main /srv/images
  dvx mirror images@main s3://public/images --follow`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			sink, done, err := openSink(ctx, args[1], a.place)
			if err != nil {
				return err
			}
			defer done()
			var gen uint64
			for {
				if err := a.mirrorOnce(ctx, s, sink, mirror.Options{Ref: args[0], Parallel: parallel}); err != nil || !follow {
					return err
				}
				if gen, err = s.Watch(ctx, gen); err != nil {
					return err
				}
			}
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on, each time the branch moves, until interrupted")
	cmd.Flags().IntVar(&parallel, "parallel", 8, "files at once")
	return cmd
}

// openSink opens the place that a mirror is kept in.
func openSink(ctx context.Context, at string, o place.Options) (mirror.Sink, func(), error) {
	if place.IsURL(at) {
		b, err := place.Bucket(ctx, at, o)
		if err != nil {
			return nil, nil, err
		}
		return mirror.NewBucket(b), func() {}, nil
	}
	f, err := mirror.OpenFolder(at)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}

// mirrorOnce brings the sink to where the ref is now, and says what it did if
// that was anything.
func (a *app) mirrorOnce(ctx context.Context, s repo.Store, sink mirror.Sink, o mirror.Options) error {
	p := a.progress("mirror")
	var files, bytes atomic.Int64
	o.Done = func(n int64) { p.update(worktree.Progress{Files: files.Add(1), Bytes: bytes.Add(n)}) }
	res, err := mirror.Run(ctx, s, sink, o)
	p.done()
	if err != nil {
		return err
	}
	return a.print(res, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s files put (%s), %s deleted\n", shortCommit(res.Commit), count(res.Put), size(res.Bytes), count(res.Deleted))
		return err
	})
}
