package s3

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/dvx-io/dvx/pkg/objstore"
)

const (
	endpointDefault = "https://s3.amazonaws.com"

	// regionDefault is what services other than Amazon's expect, if they look at
	// it at all; for Amazon's own, the region is asked for.
	regionDefault = "us-east-1"
)

// Options of Open. Bucket is required.
type Options struct {
	Bucket string
	Prefix string // folder of the store in the bucket, without slashes around it; "" for the whole bucket

	// Endpoint is the URL of the service; "" means https://s3.amazonaws.com. A
	// bare HOST[:PORT] means https.
	Endpoint string
	// Region of the bucket; "" means us-east-1, or for Amazon what it answers.
	Region string
	// PathStyle puts the bucket in the path of URLs instead of the host name,
	// where the service's name does not decide that.
	PathStyle bool

	// AccessKey, SecretKey and SessionToken are the credentials. Without them the
	// usual places are asked: AWS_* in the environment, the shared credentials and
	// configuration files, the machine's role (see the package comment).
	AccessKey, SecretKey, SessionToken string
	// CredentialsFile and Profile select from shared credentials files; "" means
	// the usual files, and the profile that AWS_PROFILE names.
	CredentialsFile, Profile string

	// PartBytes is the size in bytes of the parts in which a body of more than
	// two of them is sent, at least 5 MiB (S3's limit); 0 means 32 MiB, by which a
	// lost connection costs seconds and bodies of 64 MiB still go in one request.
	PartBytes int64

	// Transport carries the requests; nil means a default with timeouts.
	Transport http.RoundTripper
	// Wrap, if not nil, is put around the transport: limits, say.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// ParseURL takes a store's URL apart: s3://BUCKET or s3://BUCKET/PREFIX. The
// error wraps fs.ErrInvalid.
func ParseURL(s string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return "", "", fmt.Errorf("%q is no s3://BUCKET/PREFIX: %w", s, fs.ErrInvalid)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	prefix = strings.TrimSuffix(prefix, "/")
	if bucket == "" {
		return "", "", fmt.Errorf("%q names no bucket: %w", s, fs.ErrInvalid)
	}
	if prefix != "" {
		if err := objstore.CheckKey(prefix); err != nil {
			return "", "", fmt.Errorf("prefix in %q: %w", s, err)
		}
	}
	return bucket, prefix, nil
}

// Open connects to a bucket and checks, with one list request, that it exists
// and may be read.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, fmt.Errorf("open s3://%s/%s: %w", o.Bucket, o.Prefix, err)
	}
	if err := s.checkCredentials(); err != nil {
		return nil, fmt.Errorf("open %s: %w", s, err)
	}
	for _, err := range s.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("open %s at %s: %w", s, s.client.EndpointURL(), err)
		}
		break
	}
	return s, nil
}

func newStore(o Options) (*Store, error) {
	if o.Prefix != "" {
		if err := objstore.CheckKey(o.Prefix); err != nil {
			return nil, fmt.Errorf("prefix: %w", err)
		}
	}
	host, secure, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.PartBytes == 0 {
		o.PartBytes = partBytesDefault
	}
	if o.PartBytes < partBytesMin {
		return nil, fmt.Errorf("parts of %d bytes, S3 takes none below %d: %w", o.PartBytes, partBytesMin, fs.ErrInvalid)
	}
	if o.Transport == nil {
		if o.Transport, err = minio.DefaultTransport(secure); err != nil {
			return nil, err
		}
	}
	if o.Wrap != nil {
		o.Transport = o.Wrap(o.Transport)
	}
	mo := &minio.Options{
		Creds: creds(o), Secure: secure, Region: o.Region, Transport: o.Transport,
		MaxRetries: 1, // that is, none
	}
	if mo.Region == "" && o.Endpoint != "" {
		mo.Region = regionDefault
	}
	if o.PathStyle {
		mo.BucketLookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(host, mo)
	if err != nil {
		return nil, err
	}
	s := &Store{client: core, bucket: o.Bucket, partBytes: o.PartBytes}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	return s, nil
}

func parseEndpoint(endpoint string) (host string, secure bool, err error) {
	if endpoint == "" {
		endpoint = endpointDefault
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false, fmt.Errorf("endpoint: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return "", false, fmt.Errorf("endpoint %q is no http(s)://HOST[:PORT]: %w", endpoint, fs.ErrInvalid)
	}
	return u.Host, u.Scheme == "https", nil
}
