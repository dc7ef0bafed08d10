package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// Seq is the number of a record, from 1; 0 stands for none.
type Seq uint64

// seqMax leaves room for every batch.
const seqMax = math.MaxUint64 / 2

// Record is one entry of a journal.
type Record struct {
	Seq  Seq
	Data []byte // at most RecordBytesMax; may be empty
}

// Kinds of errors.
var (
	// ErrLocked is the error for a folder whose journal another process, or this
	// one, has open.
	ErrLocked = errors.New("journal is in use")
	// ErrFailed is the error of every write after one whose outcome is unknown.
	// The process should end: the next Open finds out what is there.
	ErrFailed = errors.New("journal failed to write before; restart to recover it")
	// ErrDamaged is the error of Replay for records that are not what was written
	// since they were checked by Open; the next Open sets them aside.
	ErrDamaged = errors.New("damaged")
)

// Options of Open.
type Options struct {
	Now  func() time.Time // the clock, which names what is set aside; required
	Log  *slog.Logger     // gets Badger's messages; nil: they are dropped
	Seen Seq              // the highest number that the caller knows to have been given; 0: none
}

// Recovery says what Open found.
type Recovery struct {
	StateLost bool   // acknowledged records are gone; the journal is empty
	Moved     string // where the lost state was set aside
	Reason    string // what was wrong with it, for people

	High    Seq // the last number given, also to records that are gone
	Trimmed Seq // the last number dropped; the journal holds those above it, up to High
}

// Journal is a list of records in a folder.
type Journal struct {
	db    *badger.DB
	dbDir *dirSync
	lock  vfs.File

	queue   chan *batch
	closing chan struct{} // closed by Close
	stopped chan struct{} // closed when no writer runs any more

	trims chan struct{} // a token: one Trim at a time
	gone  Seq           // records up to here are deleted; owned by the token's holder

	use    sync.RWMutex // held to read by whoever touches db, to write by Close
	closed bool         // guarded by use

	mu     sync.Mutex // guards what follows
	marks  *marksFile
	failed error
}

// Open opens the journal in dir, making it if need be. It fails with ErrLocked
// if the journal is open already. Lost state is no error: see Recovery. The
// caller closes the journal.
func Open(dir string, o Options) (*Journal, Recovery, error) {
	if o.Now == nil {
		return nil, Recovery{}, fmt.Errorf("open journal %s: no clock: %w", dir, fs.ErrInvalid)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open journal: %w", err)
	}
	s, rec, err := recoverState(dir, o)
	if err != nil {
		_ = lock.Close()
		return nil, Recovery{}, fmt.Errorf("open journal %s: %w", dir, err)
	}
	j := &Journal{
		db: s.db, dbDir: s.dbDir, marks: s.marks, gone: s.gone, lock: lock,
		queue:   make(chan *batch),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		trims:   make(chan struct{}, 1),
	}
	j.trims <- struct{}{}
	go j.writeBatches()
	return j, rec, nil
}

// Close ends the journal; what is being written is finished, and later calls
// fail with fs.ErrClosed. A second Close does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	select {
	case <-j.closing:
	default:
		close(j.closing)
	}
	j.mu.Unlock()
	<-j.stopped
	j.use.Lock()
	defer j.use.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	err := errors.Join(closeBadger(j.db), j.dbDir.close(), j.marks.close(), j.lock.Close())
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// enter keeps the database open until the function that it returns is called.
func (j *Journal) enter() (leave func(), err error) {
	j.use.RLock()
	if j.closed {
		j.use.RUnlock()
		return nil, fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	return j.use.RUnlock, nil
}

// current returns the marks.
func (j *Journal) current() marks {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.marks.at
}

// setMarks changes the marks durably. A failure is for good.
func (j *Journal) setMarks(change func(*marks)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return j.failed
	}
	next := j.marks.at
	change(&next)
	if err := j.marks.write(next); err != nil {
		return j.failLocked(err)
	}
	return nil
}

// fail records that a write's outcome is unknown.
func (j *Journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failLocked(err)
}

func (j *Journal) failLocked(err error) error {
	if j.failed == nil {
		j.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return j.failed
}

// failure returns why no write is possible any more, or nil.
func (j *Journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// checkRecords refuses records beyond the limits.
func checkRecords(ctx context.Context, records [][]byte) error {
	for i, r := range records {
		if len(r) > RecordBytesMax {
			return fmt.Errorf("append to journal: record %d of %d has %d bytes, at most %d: %w",
				i+1, len(records), len(r), RecordBytesMax, fs.ErrInvalid)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}
