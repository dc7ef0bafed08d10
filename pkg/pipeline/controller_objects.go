package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
)

// segmentSizeMax bounds a memo or history segment that is read whole.
const segmentSizeMax = 512 << 20

// historySource reads the history segments of a store.
type historySource struct{ store *repo.Direct }

// OpenHistory returns the history of a store as far as it is published.
func OpenHistory(store *repo.Direct) *history.Log { return history.NewLog(historySource{store}) }

// Names implements history.Source.
func (h historySource) Names(ctx context.Context) ([]string, error) {
	root, err := h.store.Root(ctx)
	if err != nil {
		return nil, err
	}
	return root.History, nil
}

// Load implements history.Source.
func (h historySource) Load(ctx context.Context, name string) ([]byte, error) {
	b, _, err := objstore.ReadAll(ctx, h.store.Objects(), name, objstore.Range{}, segmentSizeMax)
	return b, err
}

// memoSource opens the memo segments of a store: as files where objects are
// files, else in memory.
type memoSource struct{ objects objstore.Store }

// OpenMemo returns the memo of a store; [memo.Cache.Sync] with a root's Memo
// opens its segments.
func OpenMemo(store *repo.Direct) *memo.Cache { return memo.NewCache(memoSource{store.Objects()}) }

// Open implements memo.Source.
func (m memoSource) Open(ctx context.Context, name string) (io.ReaderAt, int64, error) {
	f, err := objstore.OpenFile(ctx, m.objects, name)
	if errors.Is(err, errors.ErrUnsupported) {
		b, _, err := objstore.ReadAll(ctx, m.objects, name, objstore.Range{}, segmentSizeMax)
		return bytes.NewReader(b), int64(len(b)), err
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open memo segment %s: %w", name, err), f.Close())
	}
	return f, info.Size(), nil
}

// putSegment stores a segment under a name that was never used.
func putSegment(ctx context.Context, store *repo.Direct, kind string, b []byte) (string, error) {
	root, err := store.Root(ctx)
	if err != nil {
		return "", err
	}
	op, err := store.NewOp()
	if err != nil {
		return "", err
	}
	key := repo.AttachedKey(kind, root.Gen, op)
	_, err = store.Objects().Put(ctx, key, objstore.Bytes(b), objstore.Condition{IfAbsent: true})
	if err != nil {
		return "", fmt.Errorf("store %s segment: %w", kind, err)
	}
	return key, nil
}
