package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
)

// tlsFiles are the certificates that the user named.
type tlsFiles struct{ ca, cert, key string }

// config returns how to talk to a daemon: only to the one that key is for,
// unless an authority was named that vouches for it.
func (t tlsFiles) config(key auth.Key) (*tls.Config, error) {
	var c *tls.Config
	switch pin := key.ServerKey(); {
	case t.ca != "":
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("--server-ca: %w", err)
		}
		c = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--server-ca: %s holds no certificate in PEM: %w", t.ca, fs.ErrInvalid)
		}
	case pin != nil:
		c = auth.ClientTLS(pin)
	default:
		return nil, fmt.Errorf("the key does not say which daemon it is for; name who vouches for the daemon with --server-ca: %w", fs.ErrInvalid)
	}
	if t.cert == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return nil, fmt.Errorf("--client-cert %s, --client-key %s: %w", t.cert, t.key, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// key loads the key that the user named, or the owner's.
func (a *app) key() (auth.Key, error) {
	file := a.keyFile
	if file == "" {
		var err error
		if file, err = place.KeyFile(); err != nil {
			return auth.Key{}, err
		}
	}
	k, err := auth.LoadKey(file)
	if err != nil {
		return auth.Key{}, fmt.Errorf("%w; the daemon makes it when it starts, or name it with --key-file", err)
	}
	return k, nil
}
