package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"

	"github.com/zeebo/blake3"
)

// Contexts under which keys are derived from the owner's secret (BLAKE3 in
// derive-key mode).
const (
	sealContext     = "dvx 2026-11 v1 key secrets"
	identityContext = "dvx 2026-11 v1 daemon identity"
	auditContext    = "dvx 2026-11 v1 audit log"
)

// derive returns 32 bytes that only holders of the owner's key know.
func derive(context string, owner Key) [32]byte {
	var out [32]byte
	blake3.DeriveKey(context, []byte(owner.Secret), out[:])
	return out
}

// Sealer encrypts the secrets of keys for the store: AES-256-GCM under a key
// that derives from the owner's secret, with the key's public part and its
// principal as additional data, so that a secret can't be moved to another.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns the Sealer of the holder of the owner's key.
func NewSealer(owner Key) (*Sealer, error) {
	k := derive(sealContext, owner)
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, fmt.Errorf("key secrets: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key secrets: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// Seal returns k's secret, encrypted with a nonce of 12 bytes from random.
func (s *Sealer) Seal(random io.Reader, k Key) ([]byte, error) {
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("seal key %s: %w", k.Access, err)
	}
	return s.aead.Seal(nonce, nonce, []byte(k.Secret), sealedData(k.Access, k.Principal)), nil
}

// Open returns the key with its secret; fs.ErrPermission if it was sealed for
// the holder of another owner's key.
func (s *Sealer) Open(k SealedKey) (Key, error) {
	n := s.aead.NonceSize()
	if len(k.Sealed) < n {
		return Key{}, fmt.Errorf("key %s: its secret is too short: %w", k.Access, fs.ErrInvalid)
	}
	secret, err := s.aead.Open(nil, k.Sealed[:n], k.Sealed[n:], sealedData(k.Access, k.Principal))
	if err != nil {
		return Key{}, fmt.Errorf("key %s: its secret was sealed with another owner's key; revoke it and make a new one: %w", k.Access, fs.ErrPermission)
	}
	return Key{Access: k.Access, Secret: string(secret), Principal: k.Principal}, nil
}

func sealedData(access, principal string) []byte { return []byte(access + "\x00" + principal) }

// Identity returns the Ed25519 key by which a daemon that holds the owner's
// key proves to its clients that it does.
func (k Key) Identity() ed25519.PrivateKey {
	seed := derive(identityContext, k)
	return ed25519.NewKeyFromSeed(seed[:])
}

// ServerKey returns the public key that the daemon must prove to hold: the one
// that the key names, or the one that the owner's own key stands for. nil if k
// names none.
func (k Key) ServerKey() ed25519.PublicKey {
	if b, err := base64.StdEncoding.DecodeString(k.Server); err == nil && len(b) == ed25519.PublicKeySize {
		return b
	}
	if k.Principal == Owner.Name && k.Secret != "" {
		return k.Identity().Public().(ed25519.PublicKey) //nolint:forcetypeassert // what the method documents
	}
	return nil
}
