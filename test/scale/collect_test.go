//go:build scale

package scale

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/repo"
)

// garbageVariable names the folder of the store that TestMakeGarbage makes.
const garbageVariable = "DVX_SCALE_GARBAGE"

// TestMakeGarbage makes a store of a million files, of whose chunks one in a
// hundred is dead: a version that the branch was set back from.
func TestMakeGarbage(t *testing.T) {
	dir := os.Getenv(garbageVariable)
	if dir == "" {
		t.Skip("it is run by TestCollect")
	}
	d := newStore(t, dir)
	keep := commitFiles(t, d, path, files, 1, 0)
	drop := commitFiles(t, d, path, files, 100, 1)
	op, err := d.NewOp()
	if err == nil {
		_, err = d.Move(asOwner(t), repo.Txn{Op: op, Ops: []repo.Op{
			repo.MoveBranch{Repo: "data", Branch: "main", Expect: drop.ID, To: keep.ID, Force: true},
		}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCollect frees one chunk in a hundred of a million, and checks the store.
func TestCollect(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestMakeGarbage$")
	cmd.Env = append(os.Environ(), garbageVariable+"="+dir, "GOGC=50")
	measure(t, cmd)
	for _, args := range [][]string{
		{"gc", "--json", "--keep-undo", "0d"},
		{"gc", "--json", "--keep-undo", "0d", "--yes", "--now"},
	} {
		m := run(t, dir, args...)
		var r gc.Report
		if err := json.Unmarshal([]byte(m.out), &r); err != nil {
			t.Fatal(err, m.out)
		}
		t.Logf("%v: %v in all, marked %d of %d chunks in %v, freed %d packs, %d rewritten, %d MiB resident",
			args, m.took.Round(time.Millisecond), r.LiveChunks, r.Chunks, r.Marking.Round(time.Millisecond), r.DeadPacks, r.RepackedPacks, m.rss>>20)
		if r.Chunks < files || r.DeadPacks+r.RepackedPacks == 0 {
			t.Errorf("the store is not what was asked for: %+v", r)
		}
		if r.Marking > 5*time.Second {
			t.Errorf("the mark took %v", r.Marking)
		}
		if m.rss > 512<<20 {
			t.Errorf("%d MiB resident", m.rss>>20)
		}
	}
	for _, args := range [][]string{{"fsck", "--quick"}, {"fsck"}, {"fsck", "--read-data"}} {
		m := run(t, dir, args...)
		t.Logf("%v: %v, %d MiB resident", args, m.took.Round(time.Millisecond), m.rss>>20)
		if m.rss > 512<<20 {
			t.Errorf("%d MiB resident", m.rss>>20)
		}
	}
}
