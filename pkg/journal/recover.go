package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// Names below a journal's folder.
const (
	lockName  = "lock"  // locked while the journal is open
	liveName  = "live"  // the state: what is set aside in one step
	nextName  = "next"  // what becomes live
	marksName = "marks" // in live: the marks
	dbName    = "db"    // in live: Badger's folder
	lostName  = "lost"  // how the names of what was set aside begin
)

// lostMax is how many set-aside states a folder may hold before Open refuses to
// add another: a disk that loses state again and again needs a person.
const lostMax = 1000

// lockFolder makes dir if need be and locks it until the file is closed, or the
// process ends.
func lockFolder(dir string) (vfs.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	root, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of %s: %w", dir, err)
	}
	ok, err := f.Lock(false)
	if err == nil && !ok {
		err = fmt.Errorf("%s: %w: stop the process that has it, or name another folder", dir, ErrLocked)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// state is an open journal's files.
type state struct {
	db    *badger.DB
	dbDir *dirSync
	marks *marksFile
	gone  Seq // records up to here are deleted
}

func (s *state) close() {
	if s.db != nil {
		_ = closeBadger(s.db)
	}
	if s.dbDir != nil {
		_ = s.dbDir.close()
	}
	if s.marks != nil {
		_ = s.marks.close()
	}
}

// recoverState opens the state in dir, or sets it aside and makes another.
func recoverState(dir string, o Options) (*state, Recovery, error) {
	live := filepath.Join(dir, liveName)
	_, err := os.Lstat(live)
	if errors.Is(err, fs.ErrNotExist) {
		s, err := create(dir, o.Seen, o)
		return s, Recovery{High: o.Seen, Trimmed: o.Seen}, err
	} else if err != nil {
		return nil, Recovery{}, fmt.Errorf("look at state: %w", err)
	}
	s, known, err := load(live, o)
	if err == nil {
		return s, Recovery{High: s.marks.at.high, Trimmed: s.marks.at.trimmed}, nil
	}
	base := max(known, o.Seen)
	rec := Recovery{StateLost: true, Reason: err.Error(), High: base, Trimmed: base}
	if rec.Moved, err = setAside(dir, o); err != nil {
		return nil, Recovery{}, fmt.Errorf("lost state (%s): %w", rec.Reason, err)
	}
	s, err = create(dir, base, o)
	if err != nil {
		// What keeps a fresh journal from opening may be all that is wrong with the
		// old one.
		_ = os.RemoveAll(live)
		_ = os.Rename(rec.Moved, live)
		return nil, Recovery{}, fmt.Errorf("lost state (%s), and cannot begin anew: %w", rec.Reason, err)
	}
	return s, rec, nil
}

// create makes an empty state whose records are numbered above base.
func create(dir string, base Seq, o Options) (*state, error) {
	// The marks come first, and under their final name at once: a crash from here
	// on leaves an empty journal.
	next, live := filepath.Join(dir, nextName), filepath.Join(dir, liveName)
	if err := os.RemoveAll(next); err != nil {
		return nil, fmt.Errorf("make state: %w", err)
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return nil, fmt.Errorf("make state: %w", err)
	}
	m, err := createMarks(filepath.Join(next, marksName), marks{high: base, trimmed: base})
	if err != nil {
		return nil, err
	}
	err = errors.Join(m.close(), syncFolder(next))
	if err == nil {
		err = os.Rename(next, live)
	}
	if err == nil {
		err = errors.Join(syncFolder(dir), syncFolder(filepath.Dir(dir)))
	}
	if err != nil {
		return nil, fmt.Errorf("make state: %w", err)
	}
	s, _, err := load(live, o)
	return s, err
}

// load opens the state in live and checks that it holds what its marks say. It
// also returns the highest number it came to know.
func load(live string, o Options) (_ *state, known Seq, err error) {
	s := &state{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.marks, err = openMarks(filepath.Join(live, marksName)); err != nil {
		return nil, 0, err
	}
	m := s.marks.at
	if m.high < o.Seen {
		return nil, m.high, fmt.Errorf("the state is older than what is known of it: it ends at %d, and %d was given", m.high, o.Seen)
	}
	if err := s.open(live, o); err != nil {
		return nil, m.high, err
	}
	last, err := s.check()
	if err != nil {
		return nil, max(last, m.high), err
	}
	if last > m.high { // written, never acknowledged, and as good as the others
		m.high = last
		err = s.marks.write(m)
	}
	return s, m.high, err
}

// open opens the database below live.
func (s *state) open(live string, o Options) (err error) {
	db := filepath.Join(live, dbName)
	if err := inspect(db, o.Log); err != nil {
		return err
	}
	if s.db, err = openBadger(db, o.Log); err != nil {
		return err
	}
	if s.dbDir, err = openDir(db); err != nil {
		return err
	}
	return errors.Join(s.dbDir.sync(), syncFolder(live))
}

// check reads all records, and returns the last number.
func (s *state) check() (last Seq, err error) {
	m := s.marks.at
	last, s.gone = m.trimmed, m.trimmed
	err = scan(s.db, 0, func(r Record) error {
		switch {
		case r.Seq <= m.trimmed:
			s.gone = min(s.gone, r.Seq-1) // it was to be deleted
		case r.Seq != last+1:
			return fmt.Errorf("record %d is missing", last+1)
		default:
			last = r.Seq
		}
		return nil
	})
	if err == nil && last < m.high {
		err = fmt.Errorf("the records end at %d, but %d were acknowledged", last, m.high)
	}
	return last, err
}

// setAside renames the state, and returns its new name.
func setAside(dir string, o Options) (string, error) {
	stamp := lostName + "-" + o.Now().UTC().Format("20060102T150405Z")
	for n := range lostMax {
		name := filepath.Join(dir, stamp)
		if n > 0 {
			name += fmt.Sprintf("-%d", n)
		}
		_, err := os.Lstat(name)
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set state aside: %w", err)
		}
		if err := os.Rename(filepath.Join(dir, liveName), name); err != nil {
			return "", fmt.Errorf("set state aside: %w", err)
		}
		return name, syncFolder(dir)
	}
	return "", fmt.Errorf("set state aside: %s has too many already; remove some", dir)
}

// dirSync is an open folder.
type dirSync struct {
	root *vfs.OS
	f    vfs.File
}

func openDir(dir string) (*dirSync, error) {
	root, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(".", os.O_RDONLY, 0)
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("open folder %s: %w", dir, err)
	}
	return &dirSync{root, f}, nil
}

// sync makes the folder's names durable.
func (d *dirSync) sync() error {
	if err := d.f.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

func (d *dirSync) close() error { return errors.Join(d.f.Close(), d.root.Close()) }

// syncFolder makes the names in dir durable.
func syncFolder(dir string) error {
	d, err := openDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.sync(), d.close())
}
