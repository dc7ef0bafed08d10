package daemon

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

func TestLastLine(t *testing.T) {
	for text, want := range map[string][2]string{
		"":              {"", ""},
		"a\n":           {"a", "a\n"},
		"a\nb\n":        {"b", "a\nb\n"},
		"a\nb\ncut off": {"b", "a\nb\n"},
		"cut off":       {"", ""},
	} {
		file := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		last, err := lastLine(f)
		_ = f.Close()
		left, _ := os.ReadFile(file)
		if err != nil || string(last) != want[0] || string(left) != want[1] {
			t.Errorf("%q: last line %q, file %q, %v", text, last, left, err)
		}
	}
}

// TestAuditGoesOn: the chain of the audit log holds over a restart, and over a
// line that a crash cut off.
func TestAuditGoesOn(t *testing.T) {
	ctx := auth.With(t.Context(), auth.Owner)
	s, err := repo.Init(ctx, mem.New(mem.Options{Now: time.Now}), repo.InitOptions{Options: repo.Options{Now: time.Now, Rand: rand.Reader}})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := auth.NewKey(rand.Reader, auth.Owner)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{State: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	file := filepath.Join(o.State, auditFile)
	for range 3 {
		d, err := openDoor(ctx, s, owner, o)
		if err != nil {
			t.Fatal(err)
		}
		d.write(auth.Event{Principal: "ann", Operation: "Move"})
		if _, err := d.file.WriteString(`{"time":`); err != nil {
			t.Fatal(err)
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDoor(ctx, s, owner, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if events, err := auth.VerifyAudit(b, owner); err != nil || len(events) != 3 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// writePair writes the certificate of a key as PEM files.
func writePair(t *testing.T, cert, key string) {
	t.Helper()
	k, err := auth.NewKey(rand.Reader, auth.Owner)
	if err != nil {
		t.Fatal(err)
	}
	c, err := auth.OwnCertificate(rand.Reader, k, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	if _, err := loadCertificate(cert, key); err == nil {
		t.Fatal("a certificate was read from files that are not there")
	}
	writePair(t, cert, key)
	c, err := loadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := c.get(nil)
	age := func() { // as if the files had been changed long after they were looked at
		c.looked, c.changed = time.Time{}, [2]time.Time{}
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	age()
	if got, err := c.get(nil); err != nil || got != first {
		t.Errorf("while the files are being replaced: %v", err)
	}
	writePair(t, cert, key)
	age()
	if got, err := c.get(nil); err != nil || got == first {
		t.Errorf("the new certificate is not used: %v", err)
	}
}
