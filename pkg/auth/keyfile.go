package auth

import (
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Key is a credential. The same key opens gRPC, as the bearer token
// [Key.Token], and S3, as access key and secret.
type Key struct {
	Access    string `json:"access"`    // public part, 20 upper-case letters and digits
	Secret    string `json:"secret"`    // 43 characters, 256 bits
	Principal string `json:"principal"` // whom it authenticates

	// Server is the public key by which a daemon proves that it is the one that
	// this key is for, in base64, see [Key.ServerKey]; empty in the owner's key,
	// which holds more.
	Server string `json:"server,omitempty"`
}

// accessSize is the length of Key.Access.
const accessSize = 20

// NewKey makes a key for p from 44 bytes of random.
func NewKey(random io.Reader, p Principal) (Key, error) {
	var b [12 + 32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	access := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:12])
	return Key{
		Access:    access[:accessSize],
		Secret:    base64.RawURLEncoding.EncodeToString(b[12:]),
		Principal: p.Name,
	}, nil
}

// Token returns the key as a bearer token.
func (k Key) Token() string { return k.Access + "." + k.Secret }

// Who returns the principal that the key authenticates.
func (k Key) Who() Principal { return Principal{Name: k.Principal} }

// valid reports whether the key is complete.
func (k Key) valid() bool {
	return len(k.Access) == accessSize && len(k.Secret) == 43 && k.Principal != "" && !strings.Contains(k.Access, ".")
}

// Keys is a fixed set of keys, for those who need no policy.
type Keys []Key

// Authenticate returns the principal of a bearer token, or ErrUnauthenticated.
// It takes the same time whatever part of the secret is wrong.
func (ks Keys) Authenticate(token string) (Principal, error) {
	access, secret, _ := strings.Cut(token, ".")
	k, ok := ks.ByAccess(access)
	if !ok || subtle.ConstantTimeCompare([]byte(k.Secret), []byte(secret)) != 1 {
		return Principal{}, fmt.Errorf("unknown key or wrong secret: %w", ErrUnauthenticated)
	}
	return k.Who(), nil
}

// ByAccess returns the key with the given public part.
func (ks Keys) ByAccess(access string) (Key, bool) {
	for _, k := range ks {
		if k.Access == access {
			return k, true
		}
	}
	return Key{}, false
}

// Lookup returns the key with the given public part and whom it
// authenticates; fs.ErrNotExist if there is none.
func (ks Keys) Lookup(access string) (Key, Principal, error) {
	k, ok := ks.ByAccess(access)
	if !ok {
		return Key{}, Principal{}, fmt.Errorf("access key %.40q: %w", access, fs.ErrNotExist)
	}
	return k, k.Who(), nil
}

// LoadKey reads a key file. It refuses one that others than its owner may
// read or write (fs.ErrPermission), and fails with fs.ErrNotExist if there is none.
func LoadKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 && !mounted(info, os.Getuid()) {
		return Key{}, fmt.Errorf("key file %s may be read by others (mode %04o); run chmod 600 on it, or delete it for a new key: %w",
			path, info.Mode().Perm(), fs.ErrPermission)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	var k Key
	if err := json.Unmarshal(b, &k); err != nil || !k.valid() {
		return Key{}, fmt.Errorf("key file %s is damaged; delete it for a new key: %w", path, fs.ErrInvalid)
	}
	return k, nil
}

// LoadOrCreateKey reads the key file at path, or makes one for p, with its
// folder, readable by its owner only. Of several callers that race one makes the key.
func LoadOrCreateKey(path string, random io.Reader, p Principal) (Key, error) {
	k, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k, err = NewKey(random, p)
	if err != nil {
		return Key{}, err
	}
	if err := SaveKey(path, k); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return LoadKey(path)
		}
		return Key{}, err
	}
	return k, nil
}

// SaveKey writes a new key file whole, readable by its owner only, with its
// folder; fs.ErrExist if there is a file already.
func SaveKey(path string, k Key) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder for the key file: %w", err)
	}
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}
