package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// creds returns the credentials of o, or a chain of the usual places.
func creds(o Options) *credentials.Credentials {
	if o.AccessKey != "" || o.SecretKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	}
	chain := []credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{Filename: o.CredentialsFile, Profile: o.Profile},
	}
	if asksMachine(o.Endpoint, os.Getenv) {
		chain = append(chain, &credentials.IAM{})
	}
	return credentials.NewChainCredentials(chain)
}

// asksMachine reports whether the machine's role may be asked for: at Amazon,
// or where the environment names one. Elsewhere nobody would answer, and a
// machine that is not Amazon's is not to be asked for secrets.
func asksMachine(endpoint string, env func(string) string) bool {
	for _, name := range []string{
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		if env(name) != "" {
			return true
		}
	}
	if strings.EqualFold(env("AWS_EC2_METADATA_DISABLED"), "true") {
		return false
	}
	host, _, err := parseEndpoint(endpoint)
	return err == nil && (strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn"))
}

// checkCredentials fails if nobody has credentials: a request without any would
// only be told that it may not.
func (s *Store) checkCredentials() error {
	v, err := s.client.GetCreds()
	if err == nil && v.SignerType == credentials.SignatureAnonymous {
		err = errors.New("none found")
	}
	if err != nil {
		return fmt.Errorf("credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE): %w: %w", fs.ErrPermission, err)
	}
	return nil
}
