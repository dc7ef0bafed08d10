// Command awsgo does with aws-sdk-go-v2, in its default settings, what the
// end-to-end tests ask for: a line of JSON, [verb, argument, …], on standard
// input each time, and a line of JSON with the answer or the error on standard
// output. Where the S3 edge is and its keys are in the environment.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "awsgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	c := &client{s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var args []string
		if err := json.Unmarshal(lines.Bytes(), &args); err != nil {
			return err
		}
		answer := map[string]any{}
		if got, err := c.do(ctx, args[0], args[1:]); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["ok"] = got
		}
		if err := json.NewEncoder(out).Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

type client struct{ *s3.Client }

// do carries out one request. Which arguments a verb has is said in
// test/e2e/s3verbs_test.go.
func (c *client) do(ctx context.Context, verb string, a []string) (any, error) {
	switch verb {
	case "mb":
		_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &a[0]})
		return nil, err
	case "up":
		return nil, c.up(ctx, a[0], a[1], a[2])
	case "down":
		return nil, c.down(ctx, a[0], a[1], a[2])
	case "list":
		return c.list(ctx, a[0], a[1])
	case "part":
		got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &a[0], Key: &a[1], Range: aws.String("bytes=" + a[2])})
		if err != nil {
			return nil, err
		}
		defer got.Body.Close()
		b, err := io.ReadAll(got.Body)
		return string(b), err
	case "presign":
		r, err := s3.NewPresignClient(c.Client).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &a[0], Key: &a[1]}, s3.WithPresignExpires(time.Hour))
		if err != nil {
			return nil, err
		}
		return r.URL, nil
	case "versions":
		return c.versions(ctx, a[0], a[1])
	case "copy":
		_, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &a[0], CopySource: aws.String(a[0] + "/" + url.PathEscape(a[1])), Key: &a[2]})
		return nil, err
	case "rm":
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &a[0], Key: &a[1]})
		return nil, err
	default:
		return nil, fmt.Errorf("no verb %q", verb)
	}
}

func (c *client) up(ctx context.Context, file, bucket, key string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = manager.NewUploader(c.Client).Upload(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: f})
	return err
}

func (c *client) down(ctx context.Context, bucket, key, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = manager.NewDownloader(c.Client).Download(ctx, f, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (c *client) list(ctx context.Context, bucket, prefix string) ([]string, error) {
	keys := []string{}
	pages := s3.NewListObjectsV2Paginator(c.Client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys, nil
}

func (c *client) versions(ctx context.Context, bucket, key string) ([]string, error) {
	ids := []string{}
	pages := s3.NewListObjectVersionsPaginator(c.Client, &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			if *v.Key == key {
				ids = append(ids, *v.VersionId)
			}
		}
	}
	return ids, nil
}
