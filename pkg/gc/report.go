package gc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Report says what a collection found and did, or with Options.DryRun would
// do. Sizes are in bytes.
type Report struct {
	Session  string        `json:"session,omitempty"` // names the folder of its records; empty for a dry run
	DryRun   bool          `json:"dryRun"`
	Gen      uint64        `json:"gen"`   // of the root that it looked at or made
	Floor    uint64        `json:"floor"` // sessions that began below it publish no more
	Started  time.Time     `json:"started"`
	Marking  time.Duration `json:"marking"` // time that the first mark took, nanoseconds
	Took     time.Duration `json:"took"`    // nanoseconds
	Attempts int           `json:"attempts"`

	Chunks     int64 `json:"chunks"` // index entries
	LiveChunks int64 `json:"liveChunks"`
	Packs      int   `json:"packs"`
	Bytes      int64 `json:"bytes"` // of all packs in the index

	DeadPacks     int   `json:"deadPacks"`     // left the index without live chunks
	RepackedPacks int   `json:"repackedPacks"` // left the index after their live chunks were copied
	CopiedBytes   int64 `json:"copiedBytes"`
	FreedBytes    int64 `json:"freedBytes"` // by which the packs in the index shrink

	Expired int64 `json:"expired"` // versions whose files retention gave up

	Orphans     int64 `json:"orphans"` // objects that no root names
	OrphanBytes int64 `json:"orphanBytes"`

	Waiting      int64 `json:"waiting"` // objects that are still within the grace
	WaitingBytes int64 `json:"waitingBytes"`
	Deleted      int64 `json:"deleted"` // objects deleted by this run
	DeletedBytes int64 `json:"deletedBytes"`

	OldRoots int64 `json:"oldRoots"` // copies of roots past their time

	Guard string `json:"guard,omitempty"` // of a dry run: why a run would refuse unless forced
}

// FolderPrefix is where collections keep their lists and reports.
const FolderPrefix = "gc/"

func reportKey(session string) string { return FolderPrefix + session + "/report.json" }

// lastReport returns the report of the newest collection that wrote one.
func lastReport(ctx context.Context, objects objstore.Store) (Report, bool, error) {
	newest := ""
	for info, err := range objects.List(ctx, FolderPrefix, "") {
		if err != nil {
			return Report{}, false, fmt.Errorf("list reports: %w", err)
		}
		if strings.HasSuffix(info.Key, "/report.json") {
			newest = info.Key
		}
	}
	if newest == "" {
		return Report{}, false, nil
	}
	b, _, err := objstore.ReadAll(ctx, objects, newest, objstore.Range{}, 1<<20)
	if err != nil {
		return Report{}, false, fmt.Errorf("last report: %w", err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, false, nil //nolint:nilerr // for people: an unreadable one stops nothing
	}
	return r, true, nil
}

// saveReport writes the report beside the lists.
func saveReport(ctx context.Context, objects objstore.Store, r Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := objects.Put(ctx, reportKey(r.Session), objstore.Bytes(append(b, '\n')), objstore.Condition{}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
