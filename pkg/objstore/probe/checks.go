package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// readAfterWrite creates and replaces an object and reads each value at once.
func (p *prober) readAfterWrite(ctx context.Context) error {
	key := p.key("read")
	if err := p.wantAbsent(ctx, key, "a key that was never written exists"); err != nil {
		return err
	}
	for i := range p.rounds {
		body := fmt.Sprintf("value %d", i)
		info, err := p.put(ctx, key, body, objstore.Condition{})
		if err != nil {
			return err
		}
		stat, err := p.s.Stat(ctx, key)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return defect("an object that was just written is not found")
		case err != nil:
			return err
		case stat.Version == "" || stat.Version != info.Version || stat.Size != int64(len(body)):
			return defect("after a write that answered version %q, stat tells of version %q and %d bytes (want %d)",
				info.Version, stat.Version, stat.Size, len(body))
		}
		if err := p.want(ctx, key, body); err != nil {
			return err
		}
	}
	return nil
}

// ifAbsent checks creation without competition.
func (p *prober) ifAbsent(ctx context.Context) error {
	key := p.key("absent")
	if _, err := p.put(ctx, key, "first", objstore.Condition{IfAbsent: true}); err != nil {
		if errors.Is(err, objstore.ErrPrecondition) {
			return defect("creating an absent key was refused: is the condition inverted?")
		}
		return err
	}
	_, err := p.put(ctx, key, "second", objstore.Condition{IfAbsent: true})
	if err := refused(err, "creating a key that exists (does the store ignore If-None-Match?)"); err != nil {
		return err
	}
	return p.want(ctx, key, "first")
}

// damage checks that a body which is not the one that was sent is refused, if
// the store, or what it wraps, is a [Damager].
func (p *prober) damage(ctx context.Context) error {
	var d Damager
	for s := p.s; d == nil; {
		switch t := s.(type) {
		case Damager:
			d = t
		case interface{ Unwrap() objstore.Store }:
			s = t.Unwrap()
		default:
			return nil
		}
	}
	key := p.key("damaged")
	err := d.PutDamaged(ctx, key)
	switch objstore.OutcomeOf(err) {
	case objstore.OutcomeOK:
		return defect("a body that was damaged on its way was accepted")
	case objstore.OutcomeFailed:
		return p.wantAbsent(ctx, key, "a body that was damaged on its way was kept, although it was refused")
	default:
		return fmt.Errorf("send a damaged body: %w", err)
	}
}

// ifVersion checks replacement without competition, and on an absent key.
func (p *prober) ifVersion(ctx context.Context) error {
	key := p.key("version")
	v1, err := p.put(ctx, key, "first", objstore.Condition{})
	if err != nil {
		return err
	}
	v2, err := p.put(ctx, key, "second", objstore.Condition{IfVersion: v1.Version})
	if errors.Is(err, objstore.ErrPrecondition) {
		return defect("replacing the current version was refused: is the condition inverted?")
	}
	if err != nil {
		return err
	}
	if v1.Version == v2.Version {
		return defect("two values of one key have the version %q", v1.Version)
	}
	_, err = p.put(ctx, key, "third", objstore.Condition{IfVersion: v1.Version})
	if err := refused(err, "replacing a version that is gone (does the store ignore If-Match?)"); err != nil {
		return err
	}
	if err := p.want(ctx, key, "second"); err != nil {
		return err
	}
	never := p.key("never")
	_, err = p.put(ctx, never, "x", objstore.Condition{IfVersion: v2.Version})
	if err := refused(err, "replacing a version of a key that does not exist"); err != nil {
		return err
	}
	return p.wantAbsent(ctx, never, "a refused replacement of an absent key made it")
}

// ranges checks ranged reads.
func (p *prober) ranges(ctx context.Context) error {
	key := p.key("ranges")
	const body = "0123456789"
	if _, err := p.put(ctx, key, body, objstore.Condition{IfAbsent: true}); err != nil {
		return err
	}
	for _, r := range []struct {
		r    objstore.Range
		want string
	}{
		{objstore.Range{Offset: 2, Length: 3}, "234"},
		{objstore.Range{Offset: 7}, "789"},
		{objstore.Range{Offset: 8, Length: 9}, "89"},
		{objstore.Range{Offset: -4}, "6789"},
		{objstore.Range{Offset: -20}, body},
	} {
		b, info, err := objstore.ReadAll(ctx, p.s, key, r.r, 100)
		switch {
		case err != nil:
			return fmt.Errorf("read range %+v: %w", r.r, err)
		case string(b) != r.want || info.Size != int64(len(body)):
			return defect("range %+v of %q gave %q of %d bytes, want %q", r.r, body, b, info.Size, r.want)
		}
	}
	rc, _, err := p.s.Get(ctx, key, objstore.Range{Offset: 10})
	if err == nil {
		rc.Close()
		return defect("a range beyond the end was not refused")
	}
	if !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("a range beyond the end: %w", err)
	}
	return nil
}

// list checks that listing sees what was just written and deleted, in order.
func (p *prober) list(ctx context.Context) error {
	var want []string
	for _, name := range []string{"list/b", "list/a-1", "list/a/1", "list/c"} {
		key := p.key(name)
		if _, err := p.put(ctx, key, name, objstore.Condition{IfAbsent: true}); err != nil {
			return err
		}
		want = append(want, key)
	}
	slices.Sort(want)
	if err := p.wantList(ctx, "", want); err != nil {
		return err
	}
	if err := p.wantList(ctx, want[1], want[2:]); err != nil {
		return err
	}
	if err := p.s.Delete(ctx, want[0]); err != nil {
		return err
	}
	return p.wantList(ctx, "", want[1:])
}

func (p *prober) wantList(ctx context.Context, after string, want []string) error {
	var got []string
	for info, err := range p.s.List(ctx, p.prefix+"/list/", after) {
		if err != nil {
			return err
		}
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		return defect("list after %q gave %q, want %q", after, got, want)
	}
	return nil
}

func (p *prober) raceIfAbsent(ctx context.Context) error {
	for round := range p.rounds {
		key := p.key(fmt.Sprintf("race/%d", round))
		if _, err := p.race(ctx, key, round, objstore.Condition{IfAbsent: true}); err != nil {
			return err
		}
	}
	return nil
}

func (p *prober) raceIfVersion(ctx context.Context) error {
	key := p.key("race/root")
	info, err := p.put(ctx, key, "base", objstore.Condition{IfAbsent: true})
	if err != nil {
		return err
	}
	for round := range p.rounds {
		info, err = p.race(ctx, key, round, objstore.Condition{IfVersion: info.Version})
		if err != nil {
			return err
		}
	}
	return nil
}

// race lets all racers put different bodies under one condition and checks
// that exactly one did, and that its body is there. A racer that is told to
// slow down has lost; one that never learns its outcome may have won.
func (p *prober) race(ctx context.Context, key string, round int, c objstore.Condition) (objstore.Info, error) {
	body := func(racer int) string { return fmt.Sprintf("round %d racer %d of %s", round, racer, key) }
	infos, errs := make([]objstore.Info, p.racers), make([]error, p.racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range p.racers {
		wg.Go(func() {
			<-start
			infos[i], errs[i] = p.put(ctx, key, body(i), c)
		})
	}
	close(start)
	wg.Wait()
	var winners []int
	for i, err := range errs {
		switch objstore.OutcomeOf(err) {
		case objstore.OutcomeOK:
			winners = append(winners, i)
		case objstore.OutcomePrecondition, objstore.OutcomeThrottled:
		default:
			return objstore.Info{}, err
		}
	}
	switch {
	case len(winners) == 0:
		return objstore.Info{}, p.nobody(errs)
	case len(winners) > 1:
		return objstore.Info{}, defect("%d of %d writers were told that they alone had written (round %d)", len(winners), p.racers, round+1)
	}
	return infos[winners[0]], p.want(ctx, key, body(winners[0]))
}

// readWhileReplaced checks that a reader gets the version that belongs to the
// bytes which it gets. A compare-and-swap from a pair that does not belong
// together would take back what somebody else wrote.
func (p *prober) readWhileReplaced(ctx context.Context) error {
	const readers, swapsPerRound = 2, 4
	key := p.key("race/read")
	body := func(n int) string { return fmt.Sprintf("value %d of %s", n, key) }
	info, err := p.put(ctx, key, body(0), objstore.Condition{IfAbsent: true})
	if err != nil {
		return err
	}
	versions := map[string]objstore.Version{body(0): info.Version}
	read := make([][]pair, readers)
	errs := make([]error, readers)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() { read[i], errs[i] = p.readUntil(ctx, key, done) })
	}
	for n := 1; n <= p.rounds*swapsPerRound && err == nil; n++ {
		if info, err = p.put(ctx, key, body(n), objstore.Condition{IfVersion: info.Version}); err == nil {
			versions[body(n)] = info.Version
		}
	}
	close(done)
	wg.Wait()
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	for _, got := range slices.Concat(read...) {
		if want, ok := versions[got.body]; !ok || want != got.version {
			return defect("a reader got %.60q with the version %q of other bytes", got.body, got.version)
		}
	}
	return nil
}

// pair is what a reader got.
type pair struct {
	body    string
	version objstore.Version
}

// readUntil reads a key again and again and returns the different pairs.
func (p *prober) readUntil(ctx context.Context, key string, done <-chan struct{}) ([]pair, error) {
	var got []pair
	for {
		b, info, err := objstore.ReadAll(ctx, p.s, key, objstore.Range{}, 1<<20)
		if err != nil {
			return nil, err
		}
		if now := (pair{string(b), info.Version}); len(got) == 0 || got[len(got)-1] != now {
			got = append(got, now)
		}
		select {
		case <-done:
			return got, nil
		default:
		}
	}
}

// nobody explains a race without a winner: throttled writers may all have lost.
func (p *prober) nobody(errs []error) error {
	for _, err := range errs {
		if objstore.OutcomeOf(err) == objstore.OutcomeThrottled {
			return fmt.Errorf("no writer got through: %w", err)
		}
	}
	return defect("all of %d racing writers were refused", p.racers)
}

// deleteAll checks that deleted objects are gone; deleting twice is no error.
func (p *prober) deleteAll(ctx context.Context) error {
	key := p.key("read")
	for range 2 {
		if err := p.s.Delete(ctx, key); err != nil {
			return err
		}
	}
	return p.wantAbsent(ctx, key, "an object is there after its deletion")
}
