package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// fileBytesMax bounds each file that is read before Badger opens it. Its own are
// at most twice the size of a memory table.
const fileBytesMax = 8 * memTableBytes

// inspect prepares a folder for Badger, which trusts its files: it reads tables
// in goroutines of its own, where a damaged one ends the process. So whatever
// could do that is read here first, and refused. That bytes are missing is not
// looked for; the marks tell.
func inspect(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("list database: %w", err)
	}
	manifest, data := false, false
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a file: %w", name, ErrDamaged)
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("look at database: %w", err)
		}
		if info.Size() > fileBytesMax {
			return fmt.Errorf("%s has %d bytes: %w", name, info.Size(), ErrDamaged)
		}
		switch ext := filepath.Ext(name); {
		case e.Name() == badger.ManifestFilename:
			manifest = true
		case idle(e.Name()), ext == ".mem" && info.Size() == 0:
			err = os.Remove(name)
		case ext == ".mem":
			data = true
			err = inspectLog(name)
		case ext == ".sst":
			data = true
		}
		if err != nil {
			return fmt.Errorf("look at database: %w", err)
		}
	}
	if !manifest && data {
		return fmt.Errorf("%s has no manifest: %w", dir, ErrDamaged)
	}
	if manifest {
		return inspectTables(dir, log)
	}
	return nil
}

// idle reports whether a file is of a part of Badger that a journal does not
// use: the value log, and the keys of encryption. Badger makes them anew.
func idle(name string) bool {
	return filepath.Ext(name) == ".vlog" || name == "DISCARD" || strings.HasSuffix(name, badger.KeyRegistryFileName)
}

// inspectTables reads each table that the manifest lists.
func inspectTables(dir string, log *slog.Logger) (err error) {
	defer recovered("read manifest", &err)
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	o := badgerOptions(dir, log)
	m, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	for id, t := range m.Tables {
		if int(t.Level) >= o.MaxLevels || t.KeyID != 0 || t.Compression != options.None {
			return fmt.Errorf("manifest lists table %d as none of the journal's: %w", id, ErrDamaged)
		}
		if err := inspectTable(table.NewFilename(id, dir), id); err != nil {
			return fmt.Errorf("table %d: %w", id, err)
		}
	}
	return nil
}

// inspectTable checks the sums of a table's index and of all its blocks.
func inspectTable(name string, id uint64) (err error) {
	defer recovered("read table", &err)
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	t, err := table.OpenInMemoryTable(b, id, &table.Options{
		ChkMode: options.OnTableAndBlockRead, Compression: options.None, BlockSize: 4 << 10,
	})
	if err != nil {
		return err
	}
	return t.VerifyChecksum()
}

// Layout of Badger's logs: a head, then entries of two bytes, three varints (the
// lengths of key and value, an expiry), key, value, and a CRC-32C.
const (
	logHeadBytes     = 20
	logKeyBytesMax   = 1 << 16
	logValueBytesMax = 1 << 20
)

// inspectLog cuts a log off where an entry claims a length that none has: Badger
// would take the log to end there too, but only after making room for as much.
func inspectLog(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for at := logHeadBytes; at+2 < len(b); {
		n, verdict := logEntry(b[at:])
		switch verdict {
		case entryEnd:
			return nil
		case entryAbsurd:
			return os.Truncate(name, int64(at))
		case entryWhole:
			at += n
		}
	}
	return nil
}

type entryVerdict int

const (
	entryWhole  entryVerdict = iota // an entry with its sum
	entryEnd                        // Badger stops here, and safely
	entryAbsurd                     // lengths beyond any limit
)

// logEntry judges the entry that b begins with, and returns its length.
func logEntry(b []byte) (int, entryVerdict) {
	at := 2
	var lengths [3]uint64
	for i := range lengths {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return 0, entryAbsurd
		}
		lengths[i] = v
		at += n
	}
	key, value := lengths[0], lengths[1]
	if key > logKeyBytesMax || value > logValueBytesMax {
		return 0, entryAbsurd
	}
	end := at + int(key) + int(value)
	if key == 0 || end+crc32.Size > len(b) {
		return 0, entryEnd
	}
	if crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[end:]) {
		return 0, entryEnd
	}
	return end + crc32.Size, entryWhole
}
