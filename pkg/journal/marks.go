package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Marks are written in turn to two slots of one file, each in a page of its own:
// a write that is cut short leaves the marks before it.
const (
	slotBytes      = 4096
	marksFileBytes = 2 * slotBytes
)

// marksFile is the open file of the marks.
type marksFile struct {
	f  *os.File
	at marks // as last written
}

// createMarks makes the file with its first marks.
func createMarks(name string, first marks) (*marksFile, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make marks: %w", err)
	}
	// Both slots: from here on, one that cannot be read was damaged or cut short.
	m := &marksFile{f: f}
	err = f.Truncate(marksFileBytes)
	for range 2 {
		if err == nil {
			err = m.put(first)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("make marks: %w", err)
	}
	return m, nil
}

// openMarks opens the file and reads the newest marks.
func openMarks(name string) (*marksFile, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open marks: %w", err)
	}
	m := &marksFile{f: f}
	for slot := range int64(2) {
		b := make([]byte, marksBytes)
		if _, err := f.ReadAt(b, slot*slotBytes); err != nil && !errors.Is(err, io.EOF) {
			_ = f.Close()
			return nil, fmt.Errorf("read marks: %w", err)
		}
		if got, err := decodeMarks(b); err == nil && got.gen%2 == uint64(slot) && got.gen > m.at.gen {
			m.at = got
		}
	}
	if m.at.gen == 0 {
		_ = f.Close()
		return nil, fmt.Errorf("%s has no marks that can be read: %w", name, ErrDamaged)
	}
	return m, nil
}

// write replaces the marks, and returns once that is durable.
func (m *marksFile) write(next marks) error {
	before := m.at
	if err := m.put(next); err != nil {
		return err
	}
	if err := m.f.Sync(); err != nil {
		m.at = before
		return fmt.Errorf("sync marks: %w", err)
	}
	return nil
}

// put writes the marks over the older ones.
func (m *marksFile) put(next marks) error {
	next.gen = m.at.gen + 1
	if _, err := m.f.WriteAt(encodeMarks(next), int64(next.gen%2)*slotBytes); err != nil {
		return fmt.Errorf("write marks: %w", err)
	}
	m.at = next
	return nil
}

func (m *marksFile) close() error { return m.f.Close() }
