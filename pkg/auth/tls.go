package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"time"
)

// certLife is how long a daemon's own certificate holds. Clients look at its
// key, not at its dates.
const certLife = 10 * 365 * 24 * time.Hour

// OwnCertificate returns a certificate that a daemon makes for itself: signed
// by the identity of the owner's key, which clients know.
func OwnCertificate(random io.Reader, owner Key, now time.Time) (tls.Certificate, error) {
	id := owner.Identity()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "dvxd"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.Add(certLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(random, t, t, id.Public(), id)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the daemon's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: id}, nil
}

// ServerTLS returns the configuration of a daemon: TLS 1.3, with certificate.
// clients, if not nil, signs the certificates by which clients may prove who
// they are, see [PrincipalOf]; those that show none still need a key.
func ServerTLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), clients *x509.CertPool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: certificate}
	if clients != nil {
		c.ClientCAs, c.ClientAuth = clients, tls.VerifyClientCertIfGiven
	}
	return c
}

// PrincipalOf returns whom a verified client certificate names: its common
// name. ErrUnauthenticated if the client showed none, or it names nobody.
func PrincipalOf(s tls.ConnectionState) (Principal, error) {
	if len(s.VerifiedChains) == 0 || len(s.VerifiedChains[0]) == 0 {
		return Principal{}, ErrUnauthenticated
	}
	name := s.VerifiedChains[0][0].Subject.CommonName
	if err := CheckPrincipalName(name); err != nil || name == Anonymous.Name {
		return Principal{}, fmt.Errorf("client certificate names %.80q: %w", name, ErrUnauthenticated)
	}
	return Principal{Name: name}, nil
}

// ClientTLS returns the configuration of a client that talks only to the
// daemon that holds the private half of pin: whoever else listens at the
// address is refused before anything is sent to him.
func ClientTLS(pin ed25519.PublicKey) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks the one key that is right
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return fmt.Errorf("the daemon shows no certificate: %w", fs.ErrPermission)
			}
			key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok || !bytes.Equal(key, pin) {
				return fmt.Errorf("what listens there is not the daemon that this key is for; if it is another one, name its key file: %w", fs.ErrPermission)
			}
			return nil
		},
	}
}
