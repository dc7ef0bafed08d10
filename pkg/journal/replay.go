package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/dgraph-io/badger/v4"
)

// pageBytes is how much Replay reads at a time.
const pageBytes = 1 << 20

// Replay yields the records that the journal holds when it is called, in order.
// Those that are trimmed meanwhile may be left out. After the first error, it
// stops. Nothing is locked while it yields, and a record's data is the caller's.
func (j *Journal) Replay(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		leave, err := j.enter()
		if err != nil {
			yield(Record{}, fmt.Errorf("replay journal: %w", err))
			return
		}
		m := j.current()
		leave()
		for next := m.trimmed + 1; next <= m.high; {
			page, err := j.page(ctx, next, m.high)
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
				next = r.Seq + 1
			}
			switch {
			case err != nil:
				yield(Record{}, fmt.Errorf("replay journal: %w", err))
				return
			case len(page) == 0:
				return // all of the rest was trimmed
			}
		}
	}
}

// page reads records from next on, up to last, skipping what is trimmed.
func (j *Journal) page(ctx context.Context, next, last Seq) (page []Record, err error) {
	leave, err := j.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	next = max(next, j.current().trimmed+1)
	size := 0
	err = scan(j.db, next, func(r Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Seq > last || size >= pageBytes {
			return errStop
		}
		if trimmed := j.current().trimmed; r.Seq != next && next > trimmed {
			return fmt.Errorf("record %d is missing: %w", next, ErrDamaged)
		}
		page = append(page, r)
		size += len(r.Data)
		next = r.Seq + 1
		return nil
	})
	if err == nil && size < pageBytes && next <= last && next > j.current().trimmed {
		err = fmt.Errorf("records from %d to %d are missing: %w", next, last, ErrDamaged)
	}
	return page, err
}

// errStop ends a scan without an error.
var errStop = errors.New("stop")

// scan calls f for each record from first on, in order, with data of its own.
func scan(db *badger.DB, first Seq, f func(Record) error) (err error) {
	defer recovered("read database", &err)
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{}) // no prefetching: its goroutines could not be guarded
		defer it.Close()
		for it.Seek(encodeKey(first)); it.Valid(); it.Next() {
			seq, err := decodeKey(it.Item().Key())
			if err != nil {
				return err
			}
			b, err := it.Item().ValueCopy(nil)
			if err != nil {
				return fmt.Errorf("read record %d: %w", seq, err)
			}
			r, err := decodeRecord(b)
			if err == nil && r.Seq != seq {
				err = fmt.Errorf("it is record %d: %w", r.Seq, ErrDamaged)
			}
			if err != nil {
				return fmt.Errorf("read record %d: %w", seq, err)
			}
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// Trim drops the records up to and including upTo, of which nothing is needed
// any more. When it returns nil, they stay dropped; an error leaves the choice
// open, and it may be called again. Space is freed later. A number that was
// never given fails with fs.ErrInvalid; one that is trimmed does nothing.
func (j *Journal) Trim(ctx context.Context, upTo Seq) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("trim journal: %w", err)
	}
	leave, err := j.enter()
	if err != nil {
		return err
	}
	defer leave()
	select {
	case <-j.trims:
		defer func() { j.trims <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("trim journal: %w", ctx.Err())
	}
	m := j.current()
	if upTo > m.high {
		return fmt.Errorf("trim journal: up to %d, the last is %d: %w", upTo, m.high, fs.ErrInvalid)
	}
	if upTo > m.trimmed {
		err = j.setMarks(func(m *marks) { m.trimmed = upTo })
	}
	if err == nil {
		err = j.remove(ctx)
	}
	if err != nil {
		return fmt.Errorf("trim journal: %w", err)
	}
	return nil
}

// remove deletes what is trimmed. If it does not come to its end, the next one
// goes on.
func (j *Journal) remove(ctx context.Context) error {
	if err := j.failure(); err != nil {
		return err
	}
	upTo := j.current().trimmed
	w := j.newWriter()
	defer w.discard()
	for seq := j.gone + 1; seq <= upTo; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.remove(encodeKey(seq)); err != nil {
			return j.fail(err)
		}
	}
	if err := w.commit(); err != nil {
		return j.fail(err)
	}
	j.gone = upTo
	return nil
}
