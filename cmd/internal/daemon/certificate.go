package daemon

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate is a pair of PEM files that is read again when it changes, so
// that a renewed certificate needs no restart.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	looked  time.Time // when the files were last looked at
	changed [2]time.Time
	now     *tls.Certificate
}

// lookEvery is how often the files are looked at while connections come in.
const lookEvery = 5 * time.Second

func loadCertificate(cert, key string) (*certificate, error) {
	c := &certificate{cert: cert, key: key}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// times returns when the files were last changed.
func (c *certificate) times() (t [2]time.Time, err error) {
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return t, fmt.Errorf("certificate: %w", err)
		}
		t[i] = info.ModTime()
	}
	return t, nil
}

func (c *certificate) load() error {
	t, err := c.times()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.cert, c.key, err)
	}
	c.now, c.changed, c.looked = &pair, t, time.Now()
	return nil
}

// get implements the GetCertificate of a tls.Config. While the files are being
// replaced, or hold nothing valid, the certificate of before stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.now, nil
	}
	c.looked = time.Now()
	if t, err := c.times(); err != nil || t == c.changed {
		return c.now, nil //nolint:nilerr // see above
	}
	_ = c.load() // see above
	return c.now, nil
}
