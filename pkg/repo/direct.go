package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// Options of OpenDirect and Init.
type Options struct {
	Now  func() time.Time // the clock; required
	Rand io.Reader        // for session names, operation IDs and jitter; required, read by one goroutine at a time

	// RetryFor is how long a transaction that loses swaps, or whose outcome is
	// unknown, is tried again. Default 5 min: the time in which a store recovers
	// from what is not an outage.
	RetryFor time.Duration

	// WatchEvery is how often Watch looks at the root. Default 1 s.
	WatchEvery time.Duration

	// Hint makes Watch look at the root at once when it delivers, if not nil: a
	// local store's folder can be watched.
	Hint <-chan struct{}

	// Memory is what this client remembers of the store, nil for nothing: a store
	// that was set back is refused then.
	Memory Memory

	// Yield makes a Writer pause after each swap, for twice as long as the swap
	// took: for stores that are far away, where who swaps all the time would
	// leave others no turn.
	Yield bool

	// After is the timer behind every pause; nil for time.After.
	After func(time.Duration) <-chan time.Time

	// CheckpointBytes is after how many bytes that a session was given it has the
	// root name what is stored of them, so that a commit that breaks off does not
	// upload them again. Default 4 GiB: seconds of work for one swap.
	CheckpointBytes int64

	Pack pack.Options
}

func (o *Options) applyDefaults() error {
	if o.Now == nil || o.Rand == nil {
		return invalid("options without a clock or a source of randomness")
	}
	if o.RetryFor == 0 {
		o.RetryFor = 5 * time.Minute
	}
	if o.WatchEvery == 0 {
		o.WatchEvery = time.Second
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 4 << 30
	}
	if o.CheckpointBytes < 0 || o.RetryFor < 0 || o.WatchEvery < 0 {
		return invalid("options with a negative duration or size")
	}
	if o.After == nil {
		o.After = time.After
	}
	return nil
}

// Direct is a [Store] on the objects themselves: it holds the protocol by
// which any number of processes share a store without a database. Whoever
// can make one holds the store's own credentials; the principal that a context
// carries decides only about protected branches. Close it after use.
type Direct struct {
	objects objstore.Store
	packs   *pack.Store
	config  Config
	o       Options

	swapping chan struct{} // holds a token while no swap of this process is under way

	memory   Memory // once what is there was found to follow it
	looks    revalidation
	swapTook atomic.Int64 // how long the last swap of the root took, in nanoseconds
	open     openTrees
	sound    soundRoots

	randMu sync.Mutex

	mu    sync.Mutex
	last  *loaded       // the newest root seen
	sent  sentRoot      // the root that was sent last
	told  time.Time     // when memory was told of a root
	newer chan struct{} // closed when last changes
}

var _ Store = (*Direct)(nil)

// sentRoot is a root with its bytes, as which it will be read.
type sentRoot struct {
	root *Root
	b    []byte
}

// loaded is a root as it was read or written: never changed.
type loaded struct {
	root    *Root
	version objstore.Version
	sum     Hash // of its bytes
	view    *View

	once  sync.Once
	index *pack.Snapshot
	err   error
}

// InitOptions say what a new store is like.
type InitOptions struct {
	Options
	Params chunk.Params // zero for chunk.DefaultParams
}

// Init makes a store in objects, which must not hold one: fs.ErrExist if it
// does. A store whose making was interrupted is made again.
func Init(ctx context.Context, objects objstore.Store, o InitOptions) (*Direct, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, fmt.Errorf("init store: %w", err)
	}
	if _, err := objects.Stat(ctx, rootObject); !errors.Is(err, objstore.ErrNotFound) {
		if err == nil {
			err = fs.ErrExist
		}
		return nil, fmt.Errorf("init store: %w", err)
	}
	c, err := putConfig(ctx, objects, &o)
	if err != nil {
		return nil, fmt.Errorf("init store: %w", err)
	}
	op, err := NewOpID(o.Now(), o.Rand)
	if err != nil {
		return nil, err
	}
	b, err := EncodeRoot(&Root{
		Format: Format, Store: c.Store, Gen: 1, Op: op, Repos: map[string]Repo{}, Ops: []OpRecord{{Op: op, Gen: 1}},
	})
	if err != nil {
		return nil, err
	}
	for _, key := range []string{rootKey(1, op), rootObject} {
		if err := putNew(ctx, objects, key, b); err != nil {
			return nil, fmt.Errorf("init store: put %s: %w", key, err)
		}
	}
	return OpenDirect(ctx, objects, o.Options)
}

// putNew writes an object that must not be there, with fs.ErrExist if it is
// there with other bytes: with the same it may be the work of this very call,
// whose acknowledgement was lost below.
func putNew(ctx context.Context, objects objstore.Store, key string, b []byte) error {
	_, err := objects.Put(ctx, key, objstore.Bytes(b), objstore.Condition{IfAbsent: true})
	if objstore.OutcomeOf(err) != objstore.OutcomePrecondition {
		return err
	}
	there, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, RootSizeMax)
	if err == nil && !bytes.Equal(there, b) {
		err = fs.ErrExist
	}
	return err
}

// putConfig writes dvx.json, or takes over the one of an interrupted Init.
func putConfig(ctx context.Context, objects objstore.Store, o *InitOptions) (Config, error) {
	if o.Params == (chunk.Params{}) {
		o.Params = chunk.DefaultParams()
	}
	id, err := NewOpID(o.Now(), o.Rand)
	if err != nil {
		return Config{}, err
	}
	c := Config{Format: Format, Store: id.uuid(), Chunker: o.Params, Hash: HashName, Mode: ModePlain}
	b, err := EncodeConfig(c)
	if err != nil {
		return Config{}, err
	}
	_, err = objects.Put(ctx, configObject, objstore.Bytes(b), objstore.Condition{IfAbsent: true})
	if objstore.OutcomeOf(err) != objstore.OutcomePrecondition {
		return c, err
	}
	there, err := readConfig(ctx, objects)
	if err == nil && there.Chunker != c.Chunker {
		err = fmt.Errorf("%s of an unfinished store has other chunker parameters: %w", configObject, fs.ErrExist)
	}
	return there, err
}

func readConfig(ctx context.Context, objects objstore.Store) (Config, error) {
	b, _, err := objstore.ReadAll(ctx, objects, configObject, objstore.Range{}, ConfigSizeMax)
	if errors.Is(err, objstore.ErrNotFound) {
		return Config{}, fmt.Errorf("there is no %s: %w", configObject, ErrNoStore)
	}
	if err != nil {
		return Config{}, err
	}
	return DecodeConfig(b)
}

// OpenDirect opens the store in objects. ErrNoStore if there is none, a
// *FeatureError if a later release wrote it.
func OpenDirect(ctx context.Context, objects objstore.Store, o Options) (*Direct, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	c, err := readConfig(ctx, objects)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	packs, err := pack.New(objects, o.Pack)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	d := &Direct{objects: objects, packs: packs, config: c, o: o, swapping: make(chan struct{}, 1), newer: make(chan struct{})}
	d.swapping <- struct{}{}
	var seen Mark
	if o.Memory != nil {
		seen, _ = o.Memory.Seen(c.Store)
	}
	l, err := d.load(ctx)
	if err == nil && o.Memory != nil {
		if err = seen.check(o.Memory, l); err == nil {
			o.Memory.Remember(l.mark())
			d.memory = o.Memory
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), packs.Close())
	}
	return d, nil
}

// Close releases files and memory. Sessions must be closed before.
func (d *Direct) Close() error {
	if d.memory != nil {
		d.memory.Remember(d.newest().mark())
	}
	return d.packs.Close()
}

// Config implements [Store].
func (d *Direct) Config() Config { return d.config }

// Objects returns the store's objects, for the layers that keep objects of
// their own (memo, history, collection).
func (d *Direct) Objects() objstore.Store { return d.objects }

// Packs returns the store's packs, for the layers that walk all of them.
func (d *Direct) Packs() *pack.Store { return d.packs }

// Root returns the root as it is now. Nobody changes it.
func (d *Direct) Root(ctx context.Context) (*Root, error) {
	l, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	return l.root, nil
}

// View implements [Store].
func (d *Direct) View(ctx context.Context) (*View, error) {
	l, err := d.revalidate(ctx)
	if err != nil {
		return nil, err
	}
	return l.view, nil
}

// load reads the root, unless it is the one that was read last.
func (d *Direct) load(ctx context.Context) (*loaded, error) {
	info, err := d.objects.Stat(ctx, rootObject)
	if err == nil && info.Version != "" {
		d.mu.Lock()
		last := d.last
		d.mu.Unlock()
		if last != nil && last.version == info.Version {
			return last, nil
		}
	}
	b, info, err := objstore.ReadAll(ctx, d.objects, rootObject, objstore.Range{}, RootSizeMax)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("there is no object %s: %w", rootObject, ErrNoStore)
	}
	if err != nil {
		return nil, fmt.Errorf("read root: %w", err)
	}
	d.mu.Lock()
	sent := d.sent
	d.mu.Unlock()
	if sent.root != nil && bytes.Equal(sent.b, b) { // it was checked when it was encoded
		return d.remember(sent.root, b, info.Version), nil
	}
	r, err := DecodeRoot(b)
	if err != nil {
		return nil, err
	}
	if r.Store != d.config.Store {
		return nil, fmt.Errorf("root is of store %s, %s of store %s: %w", r.Store, configObject, d.config.Store, chunk.ErrCorrupt)
	}
	return d.remember(r, b, info.Version), nil
}

// remember keeps a root that was read or written.
func (d *Direct) remember(r *Root, b []byte, v objstore.Version) *loaded {
	l := &loaded{root: r, version: v, sum: HashRoot(b), view: r.View()}
	if d.memory != nil && d.telling(r) {
		d.memory.Remember(l.mark())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.last; last != nil && last.root.Gen == r.Gen && last.version == v {
		return last
	}
	if d.last == nil || d.last.root.Gen <= r.Gen {
		d.last = l
		close(d.newer)
		d.newer = make(chan struct{})
	}
	return l
}

// tellEvery is how often a Memory is told of roots that move open commits only:
// there are a hundred a second. Of the others it is told at once, and of the
// newest by Close: after a kill it may lack what such roots moved last.
const tellEvery = time.Second

// telling reports whether the Memory is to be told of a root now.
func (d *Direct) telling(r *Root) bool {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	since := now.Sub(d.told)
	if n := len(r.Ops); n > 0 && r.Ops[n-1].Open && since >= 0 && since < tellEvery {
		return false
	}
	d.told = now
	return true
}

func (l *loaded) mark() Mark {
	return Mark{Store: l.root.Store, Gen: l.root.Gen, Op: l.root.Op, Sum: l.sum}
}

// snapshot opens the index of l, once.
func (d *Direct) snapshot(ctx context.Context, l *loaded) (*pack.Snapshot, error) {
	l.once.Do(func() { l.index, l.err = d.packs.Snapshot(ctx, l.root.segmentKeys()) })
	if l.err != nil {
		// Do not keep what may have been the fault of this caller's context.
		return d.packs.Snapshot(ctx, l.root.segmentKeys())
	}
	return l.index, nil
}

func (r *Root) segmentKeys() []string {
	keys := make([]string, len(r.Segments))
	for i, s := range r.Segments {
		keys[i] = s.Key
	}
	return keys
}

// Watch implements [Store]. It looks at the root every WatchEvery, and when
// Hint says so; what this process does or sees itself, it knows at once.
func (d *Direct) Watch(ctx context.Context, after uint64) (uint64, error) {
	for {
		d.mu.Lock()
		newer := d.newer
		d.mu.Unlock()
		l, err := d.load(ctx)
		if err != nil {
			return 0, err
		}
		if l.root.Gen > after {
			return l.root.Gen, nil
		}
		select {
		case <-ctx.Done():
			return l.root.Gen, ctx.Err()
		case <-newer:
		case <-d.o.Hint:
		case <-d.o.After(d.o.WatchEvery):
		}
	}
}

// random fills b.
func (d *Direct) random(b []byte) error {
	d.randMu.Lock()
	defer d.randMu.Unlock()
	_, err := io.ReadFull(d.o.Rand, b)
	return err
}

// NewOp returns a fresh operation ID from the store's clock and randomness.
func (d *Direct) NewOp() (OpID, error) {
	d.randMu.Lock()
	defer d.randMu.Unlock()
	return NewOpID(d.o.Now(), d.o.Rand)
}
