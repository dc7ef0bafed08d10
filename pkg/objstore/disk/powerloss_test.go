package disk_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

var seedsFlag = flag.Int("seeds", 0, "number of seeds of the power loss test; four times DVX_SEEDS if 0, else 300")

// seedCount is how many seeds to try.
func seedCount() int {
	if *seedsFlag > 0 {
		return *seedsFlag
	}
	if n, err := strconv.Atoi(os.Getenv("DVX_SEEDS")); err == nil && n > 0 {
		return 4 * n
	}
	return 300
}

// firstSeed is DVX_SEED, or 1.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv("DVX_SEED")
	if s == "" {
		return 1
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("DVX_SEED: %v", err)
	}
	return seed
}

// history is what a scenario did up to a crash point. The bytes of a key are
// known from its name and number, so that a torn object shows itself.
type history struct {
	acked   map[string]bool // packs whose Put returned nil
	deleted map[string]bool // packs whose Delete returned nil
	pack    string          // the one being put, or ""
	gone    string          // the one being deleted, or ""
	root    int             // number of the root whose Put returned nil; -1 before the first
	next    int             // number of the root being put, or root
}

func packBody(key string) []byte {
	return []byte(strings.Repeat(key+"|", 1+len(key)*int(key[len(key)-1])/4))
}

func rootBody(n int) []byte { return []byte(strings.Repeat(fmt.Sprintf("root %d|", n), 1+n*97)) }

// scenario runs random operations on a store over m, keeping h up to date.
func scenario(ctx context.Context, m *vfs.Mem, rng *rand.Rand, h *history) error {
	if err := disk.CreateFS(m); err != nil {
		return err
	}
	s, err := disk.OpenFS(ctx, m, disk.Options{})
	if err != nil {
		return err
	}
	var version objstore.Version
	var packs []string
	for i := range 12 {
		switch n := rng.IntN(10); {
		case n < 6:
			h.pack = fmt.Sprintf("packs/%x-%d/%d", rng.IntN(3), rng.IntN(2), i)
			if _, err := s.Put(ctx, h.pack, objstore.Bytes(packBody(h.pack)), objstore.Condition{IfAbsent: true}); err != nil {
				return err
			}
			h.acked[h.pack] = true
			packs = append(packs, h.pack)
			h.pack = ""
		case n < 9 || len(packs) == 0:
			c := objstore.Condition{IfVersion: version, IfAbsent: version == ""}
			h.next = h.root + 1
			info, err := s.Put(ctx, "root", objstore.Bytes(rootBody(h.next)), c)
			if err != nil {
				return err
			}
			h.root, version = h.next, info.Version
		default:
			h.gone = packs[rng.IntN(len(packs))]
			delete(h.acked, h.gone)
			if err := s.Delete(ctx, h.gone); err != nil {
				return err
			}
			h.deleted[h.gone] = true
			h.gone = ""
		}
	}
	return nil
}

// verify checks a store that lost its power against the history.
func verify(ctx context.Context, m *vfs.Mem, h *history) error {
	s, err := disk.OpenFS(ctx, m, disk.Options{})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && len(h.acked) == 0 && h.root < 0 {
			return nil // died before the store was made
		}
		return fmt.Errorf("open: %w", err)
	}
	seen := map[string]bool{}
	for info, err := range s.List(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		seen[info.Key] = true
		b, _, err := objstore.ReadAll(ctx, s, info.Key, objstore.Range{}, 1<<20)
		if err != nil {
			return err
		}
		switch {
		case info.Key == "root":
			if string(b) != string(rootBody(h.next)) && (h.root < 0 || string(b) != string(rootBody(h.root))) {
				return fmt.Errorf("root is %.20q of %d bytes, want number %d or %d", b, len(b), h.root, h.next)
			}
		case string(b) != string(packBody(info.Key)):
			return fmt.Errorf("%s is torn: %d bytes of %d", info.Key, len(b), len(packBody(info.Key)))
		case h.deleted[info.Key]:
			return fmt.Errorf("%s is back after its deletion", info.Key)
		}
	}
	for key := range h.acked {
		if !seen[key] {
			return fmt.Errorf("%s was acknowledged and is lost", key)
		}
	}
	if h.root >= 0 && !seen["root"] {
		return errors.New("the root is lost")
	}
	return repeat(ctx, s, h)
}

// repeat repeats the pack that was under way: it must succeed or be there.
func repeat(ctx context.Context, s *disk.Store, h *history) error {
	if h.pack == "" {
		return nil
	}
	_, err := s.Put(ctx, h.pack, objstore.Bytes(packBody(h.pack)), objstore.Condition{IfAbsent: true})
	if err != nil && !errors.Is(err, objstore.ErrPrecondition) {
		return fmt.Errorf("repeat: %w", err)
	}
	b, _, err := objstore.ReadAll(ctx, s, h.pack, objstore.Range{}, 1<<20)
	if err != nil || string(b) != string(packBody(h.pack)) {
		return fmt.Errorf("repeated %s: %d bytes, %w", h.pack, len(b), err)
	}
	return nil
}

// powerLoss runs the scenario of a seed and cuts the power after every change.
// It returns the number of cuts and the first violation.
func powerLoss(ctx context.Context, seed uint64, o vfs.MemOptions) (cuts int, err error) {
	rng, crashes := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	h := &history{acked: map[string]bool{}, deleted: map[string]bool{}, root: -1, next: -1}
	var m *vfs.Mem
	var violation error
	o.After = func(op vfs.Op) {
		percent := []int{0, 50, 100}[crashes.IntN(3)]
		cuts++
		if err := verify(ctx, m.CrashClone(percent, crashes, vfs.MemOptions{}), h); err != nil && violation == nil {
			violation = fmt.Errorf("seed %d, power lost after change %d (%s %s), %d %% kept: %w", seed, op.N, op.Kind, op.Name, percent, err)
		}
	}
	m = vfs.NewMem(o)
	if err := scenario(ctx, m, rng, h); err != nil {
		return cuts, err
	}
	// All that was acknowledged must be there with nothing un-synced kept.
	if err := verify(ctx, m.CrashClone(0, crashes, vfs.MemOptions{}), h); err != nil && violation == nil {
		violation = fmt.Errorf("seed %d, power lost at the end: %w", seed, err)
	}
	return cuts, violation
}

func TestPowerLoss(t *testing.T) {
	first, cuts := firstSeed(t), 0
	count := seedCount()
	for seed := first; seed < first+uint64(count); seed++ {
		n, err := powerLoss(t.Context(), seed, vfs.MemOptions{})
		cuts += n
		if err != nil {
			t.Fatalf("%v\nrepeat: DVX_SEED=%d go test ./pkg/objstore/disk -run TestPowerLoss -seeds 1", err, seed)
		}
	}
	t.Logf("%d seeds, %d power cuts", count, cuts)
}

// TestPowerLossTestCanFail breaks the file system under the store: the test
// above must see it.
func TestPowerLossTestCanFail(t *testing.T) {
	for name, o := range map[string]vfs.MemOptions{
		"files not synced":   {IgnoreSync: true},
		"folders not synced": {IgnoreSyncDir: true},
	} {
		found := false
		for seed := uint64(1); seed <= 20 && !found; seed++ {
			_, err := powerLoss(t.Context(), seed, o)
			found = err != nil
		}
		if !found {
			t.Errorf("%s: no violation found", name)
		}
	}
}

// TestErrorAtEveryChange makes each change fail in turn, with each error that a
// disk gives, and checks what is said and what is left.
func TestErrorAtEveryChange(t *testing.T) {
	for _, c := range []objstore.Condition{{IfAbsent: true}, {}, {IfVersion: "set below"}} {
		for _, errno := range ioErrors {
			for fail := 1; ; fail++ {
				if done := errorAtChange(t, c, errno, fail); done {
					break
				}
			}
		}
	}
}

func errorAtChange(t *testing.T, c objstore.Condition, errno error, fail int) (done bool) {
	t.Helper()
	armed, count, removal := false, 0, false
	syncs := map[string]int{}
	m := vfs.NewMem(vfs.MemOptions{Before: func(op vfs.Op) error {
		if !armed {
			return nil
		}
		if op.Kind == vfs.OpSync {
			syncs[op.Name]++
		}
		if count++; count == fail {
			removal = op.Kind == vfs.OpRemove
			return errno
		}
		return nil
	}})
	s := openMem(t, m)
	key := "packs/new/1"
	if c.IfVersion != "" {
		key = "root"
		info, err := s.Put(t.Context(), key, objstore.Bytes([]byte("old")), objstore.Condition{})
		if err != nil {
			t.Fatal(err)
		}
		c.IfVersion = info.Version
	}
	armed = true
	_, err := s.Put(t.Context(), key, objstore.Bytes([]byte("new")), c)
	armed = false
	for name, n := range syncs {
		if n > 1 {
			t.Fatalf("%s was synced %d times", name, n)
		}
	}
	b, _, getErr := objstore.ReadAll(t.Context(), s, key, objstore.Range{}, 10)
	isNew := getErr == nil && string(b) == "new"
	where := fmt.Sprintf("%+v, %v at change %d", c, errno, fail)
	switch {
	case count < fail:
		if err != nil || !isNew {
			t.Fatalf("%s: never reached, yet %v, %q", where, err, b)
		}
		return true
	case err == nil:
		if !isNew { // the removal of the temporary file may fail
			t.Fatalf("%s: acknowledged, but %q, %v", where, b, getErr)
		}
	case !errors.Is(err, errno):
		t.Fatalf("%s: %v hides the cause", where, err)
	case isNew && objstore.OutcomeOf(err) != objstore.OutcomeUnknown:
		t.Fatalf("%s: applied, but said to have failed: %v", where, err)
	case !isNew && objstore.OutcomeOf(err) == objstore.OutcomePrecondition:
		t.Fatalf("%s: %v", where, err)
	}
	for _, name := range m.Names() {
		if strings.HasPrefix(name, "tmp/") && !removal {
			t.Fatalf("%s: left %s", where, name)
		}
	}
	if _, err := s.Put(t.Context(), "packs/new/2", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true}); err != nil {
		t.Fatalf("%s: the store does not work afterwards: %v", where, err)
	}
	return false
}
