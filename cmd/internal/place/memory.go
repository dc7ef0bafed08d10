package place

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/dvx-io/dvx/pkg/repo"
)

// memory keeps the newest root of a store that this user has seen in a file. A
// file that can't be read or written is as none: who has no folder of his own
// works all the same.
type memory struct {
	file string

	mu   sync.Mutex
	seen repo.Mark
}

// Memory returns what this user remembers of the store at location, nil if
// there is no place for it, or nothing is to be remembered. A copy of a store elsewhere is another store, and so
// is one that was made anew in the same place.
func (o Options) Memory(location string) repo.Memory {
	if o.Forget {
		return nil
	}
	dir, err := ConfigDir()
	if err != nil {
		return nil
	}
	at := location
	if IsURL(location) {
		at = os.Getenv("AWS_ENDPOINT_URL") + "\n" + location
	} else if at, err = filepath.Abs(location); err != nil {
		return nil
	}
	id := sha256.Sum256([]byte(at))
	return &memory{file: filepath.Join(dir, "seen", hex.EncodeToString(id[:16])+".json")}
}

// String returns the file's path.
func (m *memory) String() string { return m.file }

// Seen implements repo.Memory.
func (m *memory) Seen(store string) (repo.Mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load(store)
	return m.seen, m.seen.Store == store && m.seen.Gen > 0
}

// load reads what this or another process has written.
func (m *memory) load(store string) {
	b, err := os.ReadFile(m.file)
	if err != nil {
		return
	}
	var there repo.Mark
	if err := json.Unmarshal(b, &there); err == nil && there.Store == store && !m.covers(there) {
		m.seen = there
	}
}

// Remember implements repo.Memory.
func (m *memory) Remember(mark repo.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.covers(mark) {
		return
	}
	if m.load(mark.Store); m.covers(mark) {
		return
	}
	m.seen = mark
	_ = m.save()
}

// covers reports whether what is remembered is as new as a mark.
func (m *memory) covers(mark repo.Mark) bool {
	return m.seen.Store == mark.Store && m.seen.Gen >= mark.Gen
}

// save replaces the file. It need not outlive a power failure.
func (m *memory) save() error {
	b, err := json.Marshal(m.seen)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(m.file), ".seen-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), m.file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
