package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/access"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// door is what both edges let callers in by: keys and policy, certificates,
// and the log of what was let through.
type door struct {
	ring  *access.Ring
	tls   *tls.Config // of gRPC
	audit *auth.Audit
	file  *os.File // of audit
	warn  func(error)
}

// auditFile is the audit log in the daemon's state folder.
const auditFile = "audit.log"

func openDoor(ctx context.Context, s repo.Store, owner auth.Key, o Options) (*door, error) {
	d := &door{warn: func(err error) { o.Log.Warn("access", "error", err) }}
	var err error
	if d.ring, err = access.Open(ctx, access.Options{Store: s, Owner: owner, Now: time.Now, Report: d.warn}); err != nil {
		return nil, err
	}
	if d.tls, err = grpcTLS(owner, o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.State, 0o700); err != nil {
		return nil, fmt.Errorf("the daemon's state folder: %w", err)
	}
	if d.file, err = os.OpenFile(filepath.Join(o.State, auditFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	last, err := lastLine(d.file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit log: %w", err), d.file.Close())
	}
	d.audit = auth.NewAudit(d.file, owner, last)
	return d, nil
}

// lastLine returns the last line of a log, and ends one that a crash cut off.
func lastLine(f *os.File) ([]byte, error) {
	const most = 64 << 10 // a line is far shorter
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	from := max(0, info.Size()-most)
	b := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if b[len(b)-1] != '\n' {
		end := bytes.LastIndexByte(b, '\n') + 1
		if err := f.Truncate(from + int64(end)); err != nil {
			return nil, err
		}
		b = b[:end]
	}
	if len(b) == 0 {
		return nil, nil
	}
	b = b[:len(b)-1]
	return b[bytes.LastIndexByte(b, '\n')+1:], nil
}

// write appends to the audit log.
func (d *door) write(e auth.Event) {
	if err := d.audit.Append(e); err != nil {
		d.warn(err)
	}
}

// writeS3 appends an S3 request to the audit log.
func (d *door) writeS3(a s3proxy.Audited) {
	who, _ := a.Principal.(auth.Principal)
	on := a.Bucket
	if a.Key != "" {
		on += "/" + a.Key
	}
	d.write(auth.Event{
		Time: time.Now(), Principal: who.Name, Key: who.Key, Edge: "s3", Operation: string(a.Operation), Resource: on,
		Request: a.Request, Outcome: a.Outcome,
	})
}

func (d *door) close() error { return d.file.Close() }

// grpcTLS returns how gRPC is encrypted: by the certificate of the options, or
// by one of the daemon's own that the owner's key vouches for.
func grpcTLS(owner auth.Key, o Options) (*tls.Config, error) {
	var clients *x509.CertPool
	if o.ClientCA != "" {
		pem, err := os.ReadFile(o.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("client certificates: %w", err)
		}
		if clients = x509.NewCertPool(); !clients.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client certificates: %s holds no certificate in PEM: %w", o.ClientCA, fs.ErrInvalid)
		}
	}
	if o.TLSCert != "" {
		c, err := loadCertificate(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, err
		}
		return auth.ServerTLS(c.get, clients), nil
	}
	own, err := auth.OwnCertificate(rand.Reader, owner, time.Now())
	if err != nil {
		return nil, err
	}
	return auth.ServerTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil }, clients), nil
}

// checkListen refuses to listen beyond this machine, where keys and data could
// be read on the way, unless what is sent is encrypted or that was asked for.
func checkListen(at string, safe bool) error {
	if at == "" || safe {
		return nil
	}
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return fmt.Errorf("listen at %q: want HOST:PORT: %w", at, fs.ErrInvalid)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen at %s: others could read the data on the way; give --s3-cert and --s3-key for HTTPS, or insist with --plaintext: %w",
		at, fs.ErrPermission)
}

// s3Edge makes the S3 server and its listener; both nil if there shall be none.
func s3Edge(backend *s3repo.Writing, d *door, o Options) (*http.Server, net.Listener, error) {
	if o.S3Listen == "" {
		return nil, nil, nil
	}
	handler, err := s3proxy.New(backend, s3repo.KeyLookup(d.ring), s3proxy.Options{
		Now: time.Now, Domain: o.S3Domain, Authorize: backend.Authorize, Log: o.Log,
		Anonymous: &s3proxy.Credential{Principal: auth.Anonymous}, Audit: d.writeS3,
	})
	if err != nil {
		return nil, nil, err
	}
	lis, err := net.Listen("tcp", o.S3Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for S3: %w", err)
	}
	if o.S3Cert != "" {
		c, err := loadCertificate(o.S3Cert, o.S3Key)
		if err != nil {
			return nil, nil, errors.Join(err, lis.Close())
		}
		lis = tls.NewListener(lis, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get})
	}
	web, outside := s3proxy.NewServer(handler, o.Log), place.NewOutside(&o.Place)
	web.BaseContext = func(net.Listener) context.Context { return chunk.WithOutside(context.Background(), outside) }
	return web, lis, nil
}
