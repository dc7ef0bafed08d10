package worktree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FolderName is the name of the folder, at the top of a working copy, that
// holds what is dvx's own.
const FolderName = ".dvx"

const (
	configName    = "config"
	configVersion = 1
	configSizeMax = 64 << 10 // bytes; a few names and paths take less than 1 KiB
)

// ErrNoWorkingCopy is the error for a directory that neither is a working copy
// nor lies in one. It wraps fs.ErrNotExist.
var ErrNoWorkingCopy = fmt.Errorf("not in a working copy (no %s folder with a config here or above): %w", FolderName, fs.ErrNotExist)

// Config is what a working copy is bound to. Exactly one of Store and Server
// is set.
type Config struct {
	Store  string // where the store is: a folder or s3://bucket/prefix
	Server string // or the address of the daemon that serves it
	Repo   string
	Branch string
	Base   string // ID of the commit that was checked out last, in hex; empty before the first
}

// wireConfig is a Config as it is stored.
type wireConfig struct {
	Version int    `json:"version"`
	Store   string `json:"store,omitempty"`
	Server  string `json:"server,omitempty"`
	Repo    string `json:"repo"`
	Branch  string `json:"branch"`
	Base    string `json:"base,omitempty"`
}

// Validate fails with fs.ErrInvalid unless the config binds to one place.
func (c Config) Validate() error {
	switch {
	case (c.Store == "") == (c.Server == ""):
		return fmt.Errorf("config names a store and a server, or neither: %w", fs.ErrInvalid)
	case c.Repo == "":
		return fmt.Errorf("config names no repo: %w", fs.ErrInvalid)
	case c.Branch == "":
		return fmt.Errorf("config names no branch: %w", fs.ErrInvalid)
	}
	return nil
}

// LoadConfig reads the config of the working copy at dir. It fails with
// ErrNoWorkingCopy if there is none, with fs.ErrInvalid if it is damaged or of
// a later version.
func LoadConfig(dir string) (Config, error) {
	name := filepath.Join(dir, FolderName, configName)
	b, err := readSmall(name, configSizeMax)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("%s: %w", dir, ErrNoWorkingCopy)
	}
	if err != nil {
		return Config{}, err
	}
	c, err := decodeConfig(b)
	if err != nil {
		return Config{}, fmt.Errorf("read %s: %w", name, err)
	}
	return c, nil
}

func decodeConfig(b []byte) (Config, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var w wireConfig
	if err := d.Decode(&w); err != nil {
		return Config{}, fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("text after the config's end: %w", fs.ErrInvalid)
	}
	if w.Version != configVersion {
		return Config{}, fmt.Errorf("config of version %d, this release knows %d: %w", w.Version, configVersion, fs.ErrInvalid)
	}
	c := Config{Store: w.Store, Server: w.Server, Repo: w.Repo, Branch: w.Branch, Base: w.Base}
	return c, c.Validate()
}

func encodeConfig(c Config) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(wireConfig{configVersion, c.Store, c.Server, c.Repo, c.Branch, c.Base}, "", "  ")
	return append(b, '\n'), err
}

// SaveConfig makes dir a working copy bound as c says, or binds it anew. The
// file is replaced at once or not at all.
func SaveConfig(dir string, c Config) error {
	b, err := encodeConfig(c)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, FolderName)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("make working copy: %w", err)
	}
	err = replaceFile(filepath.Join(folder, configName), func(f *os.File) error {
		if _, err := f.Write(b); err != nil {
			return err
		}
		return f.Sync()
	})
	if err != nil {
		return fmt.Errorf("save config of working copy: %w", err)
	}
	return nil
}

// Find returns the working copy that dir lies in: dir or the nearest directory
// above it that has a config. It fails with ErrNoWorkingCopy if there is none.
func Find(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find working copy: %w", err)
	}
	for {
		info, err := os.Lstat(filepath.Join(at, FolderName, configName))
		if err == nil && info.Mode().IsRegular() {
			return at, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", fmt.Errorf("%s: %w", dir, ErrNoWorkingCopy)
		}
		at = up
	}
}

// readSmall reads a file of at most limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer // with room for all, and to see that it ends
	b.Grow(int(min(info.Size(), limit)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", name, limit, fs.ErrInvalid)
	}
	return b.Bytes(), nil
}

// replaceFile gives a file the content that write writes, at once or not at
// all. It is readable by its owner only: locations may hold names that others
// need not know.
func replaceFile(name string, write func(f *os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".new-*")
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
