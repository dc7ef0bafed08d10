package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// The pauses between attempts: full jitter below a bound that doubles. Who was
// only slower than another waits for lostShare swaps at most: the store is not
// overloaded then, and a longer pause would leave the root to those who have
// just won, for as long as they write.
const (
	pauseMin  = 50 * time.Millisecond
	pauseMax  = 5 * time.Second
	lostShare = 24
)

// swap moves the root by t: it applies t to the root as it is, again whenever
// another was faster, until the outcome is certain or RetryFor is over.
// prepare makes the Env for a base; it is called for each.
//
// Outcomes: nil, applied. ErrUnknown, may have been or may still be. Any other
// error: not applied, nor will be.
func (d *Direct) swap(ctx context.Context, t Txn, prepare func(context.Context, *loaded) (Env, error)) (Result, *loaded, error) {
	select {
	case <-d.swapping:
		defer func() { d.swapping <- struct{}{} }()
	case <-ctx.Done():
		return Result{}, nil, ctx.Err()
	}
	p := pauser{d: d, start: d.o.Now()}
	for {
		base, err := d.load(ctx)
		if err != nil {
			if objstore.OutcomeOf(err) == objstore.OutcomeThrottled && p.pause(ctx) == nil {
				continue
			}
			return Result{}, nil, err
		}
		env, err := prepare(ctx, base)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return Result{}, nil, err
		}
		next, res, err := Apply(base.root, t, env)
		if errors.Is(err, ErrConflict) {
			return d.findReplay(ctx, base, t, err)
		}
		if err != nil {
			return Result{}, nil, err
		}
		if res.Replay {
			return res, base, nil
		}
		res, at, err := d.tryRoot(ctx, base, next, &p)
		if err != nil || at != nil {
			return res, at, err
		}
		p.boundMax = d.lostMax()
		if err := p.pause(ctx); err != nil { // another was faster: nothing of ours can land any more
			return Result{}, nil, fmt.Errorf("transaction %v: others were faster each time: %w", t.Op, err)
		}
	}
}

// lostMax bounds the pause after a swap that another was faster with.
func (d *Direct) lostMax() time.Duration {
	return max(pauseMin, lostShare*time.Duration(d.swapTook.Load()))
}

// tryRoot makes next the root after base (steps C6 and C7 of the protocol). It
// returns neither a root nor an error if another transaction was faster.
func (d *Direct) tryRoot(ctx context.Context, base *loaded, next *Root, p *pauser) (Result, *loaded, error) {
	b, err := EncodeRoot(next)
	if err != nil {
		return Result{}, nil, err
	}
	made := next
	if b, next, err = d.putCopy(ctx, next, b, p); err != nil {
		return Result{}, nil, err
	}
	d.mu.Lock()
	d.sent = sentRoot{next, b}
	d.mu.Unlock()
	unknown := error(nil) // why an attempt may have been applied, or may be later
	for {
		sent := d.o.Now()
		info, err := d.objects.Put(ctx, rootObject, objstore.Bytes(b), objstore.Condition{IfVersion: base.version})
		d.swapTook.Store(int64(d.o.Now().Sub(sent)))
		switch objstore.OutcomeOf(err) {
		case objstore.OutcomeOK:
			res := resultOf(next)
			res.Replay = next != made
			return res, d.remember(next, b, info.Version), nil
		case objstore.OutcomeThrottled:
		case objstore.OutcomeFailed, objstore.OutcomeNotFound:
			if unknown == nil {
				return Result{}, nil, fmt.Errorf("swap root: %w", err)
			}
		default:
			unknown = err
		}
		if objstore.DiskFailure(err) != nil {
			// A folder that could not be synced shows what it may lose, and a second
			// sync would call it safe: reading the root back proves nothing.
			return Result{}, nil, fmt.Errorf("transaction %v: %w: %w", next.Op, ErrUnknown, err)
		}
		now, found, lerr := d.seek(ctx, next.Op, base)
		switch {
		case lerr == nil && found != nil:
			return resultOf(found), now, nil
		case lerr == nil && now.root.Gen > base.root.Gen:
			return Result{}, nil, nil
		}
		// The root is where it was, or can't be read: what was sent may still
		// arrive. The same bytes on the same condition may be sent again.
		if perr := p.pause(ctx); perr != nil {
			if unknown == nil {
				return Result{}, nil, fmt.Errorf("swap root: %w", errors.Join(err, perr))
			}
			return Result{}, nil, fmt.Errorf("transaction %v: %w: %w", next.Op, ErrUnknown, errors.Join(unknown, lerr, perr))
		}
	}
}

func resultOf(r *Root) Result {
	rec := r.Ops[len(r.Ops)-1]
	return Result{Gen: rec.Gen, Moved: rec.Moved}
}

// putCopy writes the copy of a root that is kept for good. If an earlier
// attempt of the same operation on the same base left one, that attempt is
// carried on: its bytes are returned in place of b.
func (d *Direct) putCopy(ctx context.Context, next *Root, b []byte, p *pauser) ([]byte, *Root, error) {
	key := rootKey(next.Gen, next.Op)
	for {
		_, err := d.objects.Put(ctx, key, objstore.Bytes(b), objstore.Condition{IfAbsent: true})
		switch objstore.OutcomeOf(err) {
		case objstore.OutcomeOK:
			return b, next, nil
		case objstore.OutcomePrecondition:
			return d.carryOn(ctx, key, next, b)
		case objstore.OutcomeThrottled, objstore.OutcomeUnknown:
			if cause := objstore.DiskFailure(err); cause != nil { // nothing depends on the copy yet
				return nil, nil, fmt.Errorf("put %s: %w", key, cause)
			}
			if perr := p.pause(ctx); perr != nil {
				return nil, nil, fmt.Errorf("put %s: %w", key, errors.Join(err, perr))
			}
		default:
			return nil, nil, fmt.Errorf("put %s: %w", key, err)
		}
	}
}

func (d *Direct) carryOn(ctx context.Context, key string, next *Root, b []byte) ([]byte, *Root, error) {
	there, _, err := objstore.ReadAll(ctx, d.objects, key, objstore.Range{}, RootSizeMax)
	if err != nil {
		return nil, nil, err
	}
	if bytes.Equal(there, b) {
		return b, next, nil
	}
	r, err := DecodeRoot(there)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is in the way, repeat with a new operation ID: %w", key, err)
	}
	if r.Gen != next.Gen || r.Op != next.Op || r.Prev != next.Prev {
		return nil, nil, fmt.Errorf("%s is of another base, repeat with a new operation ID: %w", key, ErrConflict)
	}
	return there, r, nil
}

// seek reads the root and looks for the operation op in what came after base.
// found is the root that op made, or nil.
func (d *Direct) seek(ctx context.Context, op OpID, base *loaded) (now *loaded, found *Root, err error) {
	if now, err = d.load(ctx); err != nil {
		return nil, nil, err
	}
	for r := now.root; ; {
		if rec, ok := r.FindOp(op); ok {
			return now, &Root{Ops: []OpRecord{rec}}, nil
		}
		first := r.unbroken()
		if first >= len(r.Ops) || r.Ops[first].Gen <= base.root.Gen+1 {
			return now, nil, nil
		}
		// More operations came after base than a root remembers: go on with
		// the oldest root that this one knows.
		if r, err = d.rootCopy(ctx, r.Ops[first].Gen, r.Ops[first].Op); err != nil {
			return nil, nil, err
		}
	}
}

// pauser waits between attempts, until RetryFor is over.
type pauser struct {
	d      *Direct
	start  time.Time
	waited time.Duration
	n      int

	boundMax time.Duration // of the next pause; 0: pauseMax
}

var errDeadline = errors.New("no success within the time for retries")

func (p *pauser) pause(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limit := p.d.o.RetryFor
	if p.waited >= limit || p.d.o.Now().Sub(p.start) >= limit {
		return fmt.Errorf("%w (%v)", errDeadline, limit)
	}
	var b [8]byte
	if err := p.d.random(b[:]); err != nil {
		return err
	}
	bound := min(pauseMax, pauseMin<<min(p.n, 10))
	if p.boundMax > 0 {
		bound, p.boundMax = min(bound, p.boundMax), 0
	}
	wait := time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(bound))
	p.n++
	p.waited += max(wait, time.Millisecond)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.d.o.After(wait):
		return nil
	}
}

// Poison makes sure that an attempt of the operation op whose outcome is
// unknown can't take effect any more: it moves the root by a transaction that
// changes nothing. applied says whether op has taken effect before.
func (d *Direct) Poison(ctx context.Context, op OpID) (res Result, applied bool, err error) {
	base, err := d.load(ctx)
	if err != nil {
		return Result{}, false, err
	}
	abort, err := d.NewOp()
	if err != nil {
		return Result{}, false, err
	}
	if _, _, err := d.swap(ctx, Txn{Op: abort}, func(context.Context, *loaded) (Env, error) { return d.env(ctx) }); err != nil {
		return Result{}, false, fmt.Errorf("poison transaction %v: %w", op, err)
	}
	_, found, err := d.seek(ctx, op, base)
	if err != nil || found == nil {
		return Result{}, false, err
	}
	res = resultOf(found)
	res.Replay = true
	return res, true, nil
}
