package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dgraph-io/badger/v4"
)

// batchBytesMax is when a batch takes no further callers: enough that a sync is
// shared by all who wait, little enough to be held twice.
const batchBytesMax = 4 << 20

// batch is what one caller appends.
type batch struct {
	records [][]byte
	last    Seq
	err     error
	done    chan struct{}
}

// Append adds records in order, next to each other, and returns the number of
// the last one when all are durable; without records, the last number given.
// Concurrent callers share syncs. A record above RecordBytesMax fails with
// fs.ErrInvalid before anything is written. The end of ctx ends only the wait
// for a turn: once writing began, Append returns what came of it. A crash before
// it returns may keep none of the records, the first few, or all. Append keeps
// no reference to records.
func (j *Journal) Append(ctx context.Context, records [][]byte) (last Seq, err error) {
	if err := checkRecords(ctx, records); err != nil {
		return 0, err
	}
	b := &batch{records: records, done: make(chan struct{})}
	select {
	case j.queue <- b:
		<-b.done
		return b.last, b.err
	case <-ctx.Done():
		return 0, fmt.Errorf("append to journal: %w", ctx.Err())
	case <-j.closing:
		return 0, fmt.Errorf("append to journal: %w", fs.ErrClosed)
	}
}

// writeBatches serves the queue until Close.
func (j *Journal) writeBatches() {
	defer close(j.stopped)
	for {
		select {
		case b := <-j.queue:
			j.write(j.gather(b))
		case <-j.closing:
			return
		}
	}
}

// gather adds to b those who wait already.
func (j *Journal) gather(b *batch) []*batch {
	batches, size := []*batch{b}, b.size()
	for size < batchBytesMax {
		select {
		case b := <-j.queue:
			batches = append(batches, b)
			size += b.size()
		default:
			return batches
		}
	}
	return batches
}

func (b *batch) size() int {
	n := 0
	for _, r := range b.records {
		n += len(r)
	}
	return n
}

// write makes batches durable and tells their callers.
func (j *Journal) write(batches []*batch) {
	last, err := j.current().high, j.failure()
	if err == nil {
		last, err = j.writeRecords(last, batches)
	}
	if err == nil && last > j.current().high {
		err = j.setMarks(func(m *marks) { m.high = last })
	}
	for _, b := range batches {
		if err != nil {
			b.last, b.err = 0, fmt.Errorf("append to journal: %w", err)
		}
		close(b.done)
	}
}

// writeRecords gives out numbers above last, and returns the last one when all
// records are synced.
func (j *Journal) writeRecords(last Seq, batches []*batch) (Seq, error) {
	w := j.newWriter()
	defer w.discard()
	for _, b := range batches {
		for _, data := range b.records {
			if last >= seqMax {
				return 0, j.fail(errors.New("out of numbers"))
			}
			last++
			if err := w.set(encodeKey(last), encodeRecord(Record{last, data})); err != nil {
				return 0, j.fail(err)
			}
		}
		b.last = last
	}
	if err := w.commit(); err != nil {
		return 0, j.fail(err)
	}
	if err := j.dbDir.sync(); err != nil {
		return 0, j.fail(err)
	}
	return last, nil
}

// writer spreads writes over as few of Badger's transactions as possible, each
// synced before the next.
type writer struct {
	db      *badger.DB
	txn     *badger.Txn
	pending bool
}

func (j *Journal) newWriter() *writer {
	return &writer{db: j.db, txn: j.db.NewTransaction(true)}
}

func (w *writer) set(key, value []byte) error {
	return w.do(func() error { return w.txn.Set(key, value) })
}

func (w *writer) remove(key []byte) error {
	return w.do(func() error { return w.txn.Delete(key) })
}

// do makes one change, in a new transaction if the present one is full.
func (w *writer) do(change func() error) error {
	err := change()
	if errors.Is(err, badger.ErrTxnTooBig) && w.pending {
		if err := w.commit(); err != nil {
			return err
		}
		w.txn = w.db.NewTransaction(true)
		err = change()
	}
	if err != nil {
		return fmt.Errorf("write to database: %w", err)
	}
	w.pending = true
	return nil
}

func (w *writer) commit() error {
	w.pending = false
	if err := w.txn.Commit(); err != nil {
		return fmt.Errorf("commit to database: %w", err)
	}
	return nil
}

func (w *writer) discard() { w.txn.Discard() }
