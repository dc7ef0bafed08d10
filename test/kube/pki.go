package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// authority signs the certificates of one cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// credentials makes all keys and certificates of the cluster, and the
// administrator's kubeconfig.
func (c *cluster) credentials() error {
	ca, err := c.newAuthority()
	if err != nil {
		return err
	}
	api := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(nodeIP), net.ParseIP(apiService)},
	}
	if err := c.issue(ca, "api", api); err != nil {
		return err
	}
	if err := c.user(ca, "admin", "system:masters"); err != nil {
		return err
	}
	sa, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&sa.PublicKey)
	if err != nil {
		return err
	}
	if err := c.writeKey("sa", sa); err != nil {
		return err
	}
	if err := c.writePEM("sa.pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	return c.writeKubeconfig("admin", c.kubeconfig())
}

func (c *cluster) newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dvx test cluster"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, err
	}
	return authority{cert, key}, c.writePEM("ca.crt", "CERTIFICATE", der)
}

// user makes a certificate that shows a user and a group.
func (c *cluster) user(ca authority, name, group string) error {
	return c.issue(ca, name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{group}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (c *cluster) issue(ca authority, name string, t *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return err
	}
	t.NotBefore, t.NotAfter, t.KeyUsage = ca.cert.NotBefore, ca.cert.NotAfter, x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return err
	}
	if err := c.writePEM(name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return c.writeKey(name, key)
}

func (c *cluster) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return c.writePEM(name+".key", "EC PRIVATE KEY", der)
}

func (c *cluster) writePEM(name, kind string, der []byte) error {
	return os.WriteFile(c.path("pki", name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// writeKubeconfig writes how a user reaches the cluster.
func (c *cluster) writeKubeconfig(user, file string) error {
	data := map[string]string{}
	for _, name := range []string{"ca.crt", user + ".crt", user + ".key"} {
		b, err := os.ReadFile(c.path("pki", name))
		if err != nil {
			return err
		}
		data[name] = base64.StdEncoding.EncodeToString(b)
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: dvx
  cluster: {server: "https://127.0.0.1:%s", certificate-authority-data: %s}
users:
- name: %s
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: dvx
  context: {cluster: dvx, user: %s}
current-context: dvx
`, apiPort, data["ca.crt"], user, data[user+".crt"], data[user+".key"], user)
	return os.WriteFile(file, []byte(text), 0o600)
}
