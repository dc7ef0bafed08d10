package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
	"github.com/dvx-io/dvx/pkg/repo"
)

// TestPowerLossOfCommits cuts the power under whole commits on a local folder,
// after random changes of its files, with none, half or all of what was not
// synced kept, names of files too. Each commit that was acknowledged is there,
// whole; the one under way is there or not.
func TestPowerLossOfCommits(t *testing.T) {
	first, end := seedRange(t, seeds(8, 1))
	cuts := make([]int, end-first)
	err := workers(int(end-first), func(i int) error {
		seed := first + uint64(i)
		n, err := powerLoss(t, seed, vfs.MemOptions{})
		cuts[i] = n
		if err != nil {
			return fmt.Errorf("DVX_SEED=%d: %w", seed, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range cuts {
		total += n
	}
	figure(t, "%d histories of commits on a folder, %d power cuts: nothing acknowledged is lost", len(cuts), total)
}

// TestPowerLossOfCommitsCanFail: on a file system that forgets to sync, commits
// are lost.
func TestPowerLossOfCommitsCanFail(t *testing.T) {
	for name, o := range map[string]vfs.MemOptions{"files": {IgnoreSync: true}, "folders": {IgnoreSyncDir: true}} {
		lost := false
		for seed := uint64(1); seed <= 5 && !lost; seed++ {
			_, err := powerLoss(t, seed, o)
			lost = err != nil
		}
		if !lost {
			t.Errorf("%s that are not synced: nothing was lost", name)
		}
	}
}

// powerLoss runs the history of a seed and returns the number of cuts.
func powerLoss(t testing.TB, seed uint64, o vfs.MemOptions) (cuts int, err error) {
	const (
		commits = 4
		every   = 5 // changes per cut, about
	)
	ctx := owner(t)
	rng, crashes := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	acked := map[string]string{}
	var violation error
	var m *vfs.Mem
	var mu sync.Mutex // packs are written in the background
	made := false
	cut := func(percent int) {
		cuts++
		if err := afterCut(ctx, m.CrashClone(percent, crashes, vfs.MemOptions{}), made, acked); err != nil && violation == nil {
			violation = fmt.Errorf("cut %d, %d %% kept: %w", cuts, percent, err)
		}
	}
	o.After = func(vfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if violation == nil && crashes.IntN(every) == 0 {
			cut([]int{0, 50, 100}[crashes.IntN(3)])
		}
	}
	m = vfs.NewMem(o)
	if err := disk.CreateFS(m); err != nil {
		return cuts, err
	}
	objects, err := disk.OpenFS(ctx, m, disk.Options{})
	if err != nil {
		return cuts, err
	}
	d, err := repo.Init(ctx, objects, repo.InitOptions{Options: options(seed), Params: params()})
	if err != nil {
		return cuts, err
	}
	defer d.Close()
	op, err := d.NewOp()
	if err == nil {
		_, err = d.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.CreateRepo{Repo: "r"}}})
	}
	if err != nil {
		return cuts, err
	}
	mu.Lock()
	made = true
	mu.Unlock()
	for i := range commits {
		path, text := fmt.Sprintf("d%d/f%d", rng.IntN(2), i), noise(rng.Uint64(), rng.IntN(6000))
		if _, err := put(ctx, d, opOf(i+1), "main", path, text); err != nil {
			return cuts, err
		}
		mu.Lock()
		acked["r@main:/"+path] = text
		mu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	if violation == nil {
		cut(0)
	}
	return cuts, violation
}

// afterCut opens what a power cut left and looks for what was acknowledged.
func afterCut(ctx context.Context, m *vfs.Mem, made bool, acked map[string]string) error {
	if !made {
		if err := disk.CreateFS(m); err != nil {
			return err
		}
	}
	objects, err := disk.OpenFS(ctx, m, disk.Options{})
	if err != nil {
		return err
	}
	if !made { // it may be there by half; making it again must do
		d, err := repo.Init(ctx, objects, repo.InitOptions{Options: options(7), Params: params()})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the store again: %w", err)
		}
		if err == nil {
			return d.Close()
		}
	}
	return holdsAll(ctx, objects, acked)
}
