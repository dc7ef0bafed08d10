package auth

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

func newKey(t testing.TB, seed byte, p Principal) Key {
	t.Helper()
	k, err := NewKey(random(seed), p)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	owner, other, ann := newKey(t, 1, Owner), newKey(t, 2, Owner), newKey(t, 3, Principal{Name: "ann"})
	s, err := NewSealer(owner)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Seal(random(9), ann)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(ann.Secret)) {
		t.Error("the secret is in the clear")
	}
	sealed := SealedKey{Access: ann.Access, Sealed: b, Principal: ann.Principal}
	if k, err := s.Open(sealed); err != nil || k != ann {
		t.Errorf("opens as %v, %v", k, err)
	}
	for name, spoil := range map[string]func(*SealedKey){
		"another principal": func(k *SealedKey) { k.Principal = "eve" },
		"another key":       func(k *SealedKey) { k.Access = other.Access },
		"a changed bit":     func(k *SealedKey) { k.Sealed = bytes.Clone(k.Sealed); k.Sealed[20] ^= 1 },
		"nothing":           func(k *SealedKey) { k.Sealed = nil },
	} {
		bad := sealed
		spoil(&bad)
		if k, err := s.Open(bad); err == nil {
			t.Errorf("%s: opens as %v", name, k)
		}
	}
	foreign, err := NewSealer(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := foreign.Open(sealed); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another owner: %v, want fs.ErrPermission", err)
	}
}

// shake connects a client to a server and returns what each learned.
func shake(t *testing.T, server, client *tls.Config) (Principal, error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(5 * time.Minute) // of a machine that stands still, not of a handshake
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	s := tls.Server(a, server)
	got := make(chan Principal, 1)
	go func() {
		defer func() { _ = a.Close() }()
		if s.Handshake() != nil {
			got <- Principal{}
			return
		}
		p, _ := PrincipalOf(s.ConnectionState())
		got <- p
	}()
	c := tls.Client(b, client)
	err := c.Handshake()
	_ = b.Close()
	return <-got, err
}

func TestPinnedDaemon(t *testing.T) {
	owner, squatter := newKey(t, 1, Owner), newKey(t, 2, Owner)
	own, err := OwnCertificate(random(5), owner, policyTime)
	if err != nil {
		t.Fatal(err)
	}
	server := ServerTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil }, nil)
	if _, err := shake(t, server, ClientTLS(owner.ServerKey())); err != nil {
		t.Errorf("the owner's client: %v", err)
	}
	ann := newKey(t, 3, Principal{Name: "ann"})
	if ann.ServerKey() != nil {
		t.Error("a key that names no daemon trusts one")
	}
	ann.Server = base64.StdEncoding.EncodeToString(owner.ServerKey())
	if _, err := shake(t, server, ClientTLS(ann.ServerKey())); err != nil {
		t.Errorf("ann's client: %v", err)
	}
	if _, err := shake(t, server, ClientTLS(squatter.ServerKey())); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a daemon with another owner's key: %v, want fs.ErrPermission", err)
	}
}

func TestClientCertificate(t *testing.T) {
	owner := newKey(t, 1, Owner)
	own, err := OwnCertificate(random(5), owner, policyTime)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, signer Key) (tls.Certificate, *x509.CertPool) {
		ca := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
		}
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		id := signer.Identity()
		caDER, err := x509.CreateCertificate(random(6), ca, ca, id.Public(), id)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(random(7), leaf, ca, id.Public(), id)
		if err != nil {
			t.Fatal(err)
		}
		root, err := x509.ParseCertificate(caDER)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(root)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: id}, pool
	}
	good, pool := issue("ann", newKey(t, 4, Owner))
	forged, _ := issue("ann", newKey(t, 5, Owner))
	boss, bossPool := issue("owner", newKey(t, 4, Owner))
	for _, tt := range []struct {
		name  string
		trust *x509.CertPool
		show  []tls.Certificate
		want  string
	}{
		{"a good one", pool, []tls.Certificate{good}, "ann"},
		{"none", pool, nil, ""},
		{"another authority's", pool, []tls.Certificate{forged}, ""},
		{"one that says owner", bossPool, []tls.Certificate{boss}, ""},
		{"where none count", nil, []tls.Certificate{good}, ""},
	} {
		server := ServerTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil }, tt.trust)
		client := ClientTLS(owner.ServerKey())
		client.Certificates = tt.show
		if p, _ := shake(t, server, client); p.Name != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, p, tt.want)
		}
	}
}

func TestAudit(t *testing.T) {
	owner := newKey(t, 1, Owner)
	var log bytes.Buffer
	a := NewAudit(&log, owner, nil)
	for _, op := range []string{"PutObject", "Move", "DeleteObject"} {
		if err := a.Append(Event{Time: policyTime, Principal: "ann", Edge: "s3", Operation: op, Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.SplitAfter(log.String(), "\n")
	again := NewAudit(&log, owner, []byte(lines[2])) // the daemon was started again
	if err := again.Append(Event{Time: policyTime, Operation: "Publish"}); err != nil {
		t.Fatal(err)
	}
	events, err := VerifyAudit(log.Bytes(), owner)
	if err != nil || len(events) != 4 || events[3].Operation != "Publish" {
		t.Fatalf("%v, %v", events, err)
	}
	for name, bad := range map[string]string{
		"a line removed":  lines[0] + lines[2],
		"a line changed":  lines[0] + strings.Replace(lines[1], "ann", "eve", 1) + lines[2],
		"the first gone":  lines[1] + lines[2],
		"lines exchanged": lines[1] + lines[0],
	} {
		if _, err := VerifyAudit([]byte(bad), owner); !errors.Is(err, ErrAudit) {
			t.Errorf("%s: %v, want ErrAudit", name, err)
		}
	}
	if _, err := VerifyAudit(log.Bytes(), newKey(t, 2, Owner)); !errors.Is(err, ErrAudit) {
		t.Errorf("a log of another owner: %v", err)
	}
	if _, err := VerifyAudit([]byte("hello\n"), owner); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no log: %v", err)
	}
}
