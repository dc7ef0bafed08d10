//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// minioVerbs is minio-go, in this process.
func minioVerbs(s *s3User) s3Verbs {
	ctx := s.t.Context()
	client, err := minio.New(s.host, &minio.Options{Creds: credentials.NewStaticV4(s.id, s.key, ""), BucketLookup: minio.BucketLookupPath})
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	must(err)
	list := func(bucket, prefix string, versions bool) (found []minio.ObjectInfo) {
		for o := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: versions}) {
			must(o.Err)
			found = append(found, o)
		}
		return found
	}
	return s3Verbs{
		mb: func(bucket string) { must(client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{})) },
		up: func(file, bucket, key string) {
			_, err := client.FPutObject(ctx, bucket, key, file, minio.PutObjectOptions{
				UserMetadata: map[string]string{"name": "Zoë"}, UserTags: map[string]string{"a": "b c"},
			})
			must(err)
			tags, err := client.GetObjectTagging(ctx, bucket, key, minio.GetObjectTaggingOptions{})
			must(err)
			if tags.ToMap()["a"] != "b c" {
				s.t.Errorf("%.100q has the tags %v", key, tags)
			}
		},
		down: func(bucket, key, file string) {
			must(client.FGetObject(ctx, bucket, key, file, minio.GetObjectOptions{}))
		},
		list: func(bucket, prefix string) (keys []string) {
			for _, o := range list(bucket, prefix, false) {
				keys = append(keys, o.Key)
			}
			return keys
		},
		part: func(bucket, key string, from, to int) string {
			var o minio.GetObjectOptions
			must(o.SetRange(int64(from), int64(to)))
			r, err := client.GetObject(ctx, bucket, key, o)
			must(err)
			b, err := io.ReadAll(r)
			must(err)
			return string(b)
		},
		presign: func(bucket, key string) string {
			u, err := client.Presign(ctx, http.MethodGet, bucket, key, time.Hour, nil)
			must(err)
			return u.String()
		},
		versions: func(bucket, key string) (ids []string) {
			for _, o := range list(bucket, key, true) {
				ids = append(ids, o.VersionID)
			}
			return ids
		},
		copy: func(bucket, from, key string) {
			_, err := client.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: key}, minio.CopySrcOptions{Bucket: bucket, Object: from})
			must(err)
		},
		rm: func(bucket, key string) { must(client.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})) },
	}
}
