package place

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/probe"
	"github.com/dvx-io/dvx/pkg/objstore/retry"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
	"github.com/dvx-io/dvx/pkg/repo"
)

// IsURL reports whether location is a bucket rather than a folder.
func IsURL(location string) bool { return strings.HasPrefix(location, "s3://") }

// Objects opens the objects at location. A folder must exist unless create is
// set, which makes it; a bucket must exist.
func Objects(ctx context.Context, location string, create bool, o Options) (objstore.Store, error) {
	if IsURL(location) {
		return openBucket(ctx, location, o)
	}
	if strings.Contains(location, "://") {
		return nil, fmt.Errorf("store %s: only folders and s3://BUCKET/PREFIX can hold a store: %w", location, fs.ErrInvalid)
	}
	dir, err := filepath.Abs(location)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", location, err)
	}
	do := disk.Options{Now: time.Now, AllowNetworkFS: o.AllowNetworkFS}
	if create {
		return disk.Create(ctx, dir, do)
	}
	s, err := disk.Open(ctx, dir, do)
	if errors.Is(err, fs.ErrNotExist) || err != nil && isFile(dir) {
		return nil, noStore(location)
	}
	return s, err
}

// Bucket opens a bucket with the usual credentials: environment, shared
// configuration file, instance role. AWS_ENDPOINT_URL names another service
// than Amazon's.
func Bucket(ctx context.Context, location string, o Options) (*s3.Store, error) {
	bucket, prefix, err := s3.ParseURL(location)
	if err != nil {
		return nil, err
	}
	limiter, err := o.limiter()
	if err != nil {
		return nil, err
	}
	return s3.Open(ctx, s3.Options{
		Bucket: bucket, Prefix: prefix, Wrap: limiter.Transport,
		Endpoint:  os.Getenv("AWS_ENDPOINT_URL"),
		Region:    os.Getenv("AWS_REGION"),
		PathStyle: os.Getenv("AWS_ENDPOINT_URL") != "",
	})
}

// openBucket opens a bucket for a store.
func openBucket(ctx context.Context, location string, o Options) (objstore.Store, error) {
	s, err := Bucket(ctx, location, o)
	if err != nil {
		return nil, err
	}
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	return retry.New(s, retry.Options{Seed: binary.LittleEndian.Uint64(seed[:])}), nil
}

// Probe checks that the objects behave as dvx needs, conditional writes above
// all, before a store is made there.
func Probe(ctx context.Context, objects objstore.Store) error {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	return probe.Run(ctx, objects, probe.Options{ID: hex.EncodeToString(id[:])})
}

// Open opens the store at location.
func Open(ctx context.Context, location string, o Options) (*repo.Direct, error) {
	objects, err := Objects(ctx, location, false, o)
	if err != nil {
		return nil, err
	}
	po := pack.Options{}
	if IsURL(location) {
		po.CacheDir = indexCache(location)
	}
	d, err := repo.OpenDirect(ctx, objects, repo.Options{Now: time.Now, Rand: rand.Reader, Pack: po, Yield: IsURL(location), Memory: o.Memory(location)})
	if errors.Is(err, repo.ErrNoStore) {
		return nil, noStore(location)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", location, err)
	}
	return d, nil
}

// indexCache returns the folder on this machine for copies of the index of the
// store in a bucket, "" if there is no place for it. No two buckets share one,
// whatever they say of themselves.
func indexCache(location string) string {
	base := os.Getenv("DVX_HOME")
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(cache, "dvx")
	}
	id := sha256.Sum256([]byte(os.Getenv("AWS_ENDPOINT_URL") + "\n" + location))
	return filepath.Join(base, "index", hex.EncodeToString(id[:16]))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// noStore is the error for a place that holds no store.
func noStore(location string) error {
	return fmt.Errorf("%s: %w; make one with dvx init", location, repo.ErrNoStore)
}

// ConfigDir returns the folder for dvx's own files of this user: DVX_HOME, else
// dvx in the user's configuration folder.
func ConfigDir() (string, error) {
	if dir := os.Getenv("DVX_HOME"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for dvx's key: %w; set DVX_HOME", err)
	}
	return filepath.Join(dir, "dvx"), nil
}

// KeyFile returns where the owner's key is, unless the user names another file.
func KeyFile() (string, error) {
	if file := os.Getenv("DVX_KEY_FILE"); file != "" {
		return file, nil
	}
	dir, err := ConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "owner.key"), nil
}
