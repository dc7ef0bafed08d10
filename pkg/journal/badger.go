package journal

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// memTableBytes is the size of Badger's table in memory and of the log before
// it. Badger holds the largest value, and so its threshold of 1 MiB, to 15 % of
// this; it must never become smaller, since logs of the old size are read into
// tables of the new.
const memTableBytes = 8 << 20

// badgerOptions are for a journal: few small values, synced, soon deleted, and
// read once. Memory stays at a few tables of 8 MiB, no cache.
func badgerOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(badgerLog{log}).
		WithSyncWrites(true).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithVerifyValueChecksum(true).
		WithDetectConflicts(false). // one goroutine writes each key once
		WithValueThreshold(1 << 20).
		WithValueLogFileSize(1 << 20). // never used; its file is mapped all the same
		WithMemTableSize(memTableBytes).
		WithNumMemtables(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(6).
		WithBaseTableSize(memTableBytes). // what building one takes at once
		WithBaseLevelSize(memTableBytes).
		WithNumCompactors(2). // fewer Badger does not do
		WithNumGoroutines(1).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithMetricsEnabled(false)
}

// openBadger opens the database. Badger's errors keep no chain, and files that
// are no longer what it wrote may also make it panic, which is an error here.
func openBadger(dir string, log *slog.Logger) (db *badger.DB, err error) {
	defer recovered("open database", &err)
	db, err = badger.Open(badgerOptions(dir, log))
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// closeBadger closes the database.
func closeBadger(db *badger.DB) (err error) {
	defer recovered("close database", &err)
	return db.Close()
}

// recovered makes a panic of Badger an error. It is deferred.
func recovered(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: panic: %v", what, r)
	}
}

// badgerLog gives Badger's messages to slog: what it calls errors and warnings
// as warnings, since whoever called it returns the errors that matter.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(format string, args ...any) { l.log.Warn("badger: " + text(format, args)) }

func (l badgerLog) Warningf(format string, args ...any) { l.log.Warn("badger: " + text(format, args)) }

func (l badgerLog) Infof(format string, args ...any) { l.log.Debug("badger: " + text(format, args)) }

func (l badgerLog) Debugf(format string, args ...any) { l.log.Debug("badger: " + text(format, args)) }

func text(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
