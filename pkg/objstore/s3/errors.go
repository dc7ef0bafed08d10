package s3

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// mapError gives an error of the client its kind. Whatever may have reached the
// service without a clear answer is unknown.
func (s *Store) mapError(op, key string, err error) error {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) || resp.StatusCode == 0 {
		return fmt.Errorf("%s %s: %w", op, key, mapTransportError(err))
	}
	detail := fmt.Errorf("%s (HTTP %d %s, request %q)", resp.Error(), resp.StatusCode, resp.Code, resp.RequestID)
	if resp.Code == minio.NoSuchBucket {
		return fmt.Errorf("%s %s: bucket %s does not exist; create it or check its name: %w", op, key, s.bucket, detail)
	}
	if kind := responseKind(resp); kind != nil {
		return fmt.Errorf("%s %s: %w: %w", op, key, kind, detail)
	}
	return fmt.Errorf("%s %s: %w", op, key, detail)
}

// responseKind returns the kind of a service's answer, or nil for a definite
// failure of no kind.
func responseKind(resp minio.ErrorResponse) error {
	switch resp.Code {
	case "PreconditionFailed":
		return objstore.ErrPrecondition
	case "NoSuchUpload":
		return objstore.ErrNotFound
	}
	if resp.StatusCode < http.StatusMultipleChoices { // a failure in the body of a success
		return objstore.ErrUnknownOutcome
	}
	switch resp.Code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestThrottled",
		"RequestLimitExceeded", "TooManyRequests", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted":
		return objstore.ErrThrottled
	}
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound:
		return objstore.ErrNotFound
	case status == http.StatusPreconditionFailed:
		return objstore.ErrPrecondition
	case status == http.StatusTooManyRequests:
		return objstore.ErrThrottled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fs.ErrPermission
	case status == http.StatusNotImplemented:
		return errors.ErrUnsupported
	case status == http.StatusRequestTimeout, status >= 499: // 499: a proxy gave up waiting
		return objstore.ErrUnknownOutcome
	}
	return nil
}

// mapTransportError gives a failed exchange its kind. Nothing was sent if there
// was no connection. The client hides some errors' types, so all others are
// unknown.
func mapTransportError(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Errorf("no such host; check the endpoint: %w", err)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no connection: %w: %w", objstore.ErrThrottled, err)
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) || errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("no secure connection; check the endpoint's scheme and certificate: %w", err)
	}
	return fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, err)
}
