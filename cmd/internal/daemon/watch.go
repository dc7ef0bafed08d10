package daemon

import (
	"context"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// watched opens the store's objects, and for a folder a channel that tells
// when its root may have moved. The hints only make the daemon faster: where
// the system has no watches left, it looks by itself.
func watched(ctx context.Context, o Options) (objstore.Store, <-chan struct{}, error) {
	objects, err := place.Objects(ctx, o.Store, false, o.Place)
	if err != nil || place.IsURL(o.Store) {
		return objects, nil, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		o.Log.Debug("no file watching; the root is polled", "error", err)
		return objects, nil, nil
	}
	if err := w.Add(o.Store); err != nil {
		o.Log.Debug("no file watching; the root is polled", "error", err)
		return objects, nil, w.Close()
	}
	hints := make(chan struct{}, 1)
	go func() {
		defer func() { _ = w.Close() }()
		for {
			select {
			case <-ctx.Done():
				return
			case _, open := <-w.Errors:
				if !open {
					return
				}
			case e, open := <-w.Events:
				if !open {
					return
				}
				if filepath.Base(e.Name) != "root" {
					continue
				}
				select {
				case hints <- struct{}{}:
				default: // one is waiting already
				}
			}
		}
	}()
	return objects, hints, nil
}
