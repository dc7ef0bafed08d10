package s3proxy

import (
	"net/http"
	"slices"
	"strings"
)

// maxBuckets is S3's limit on one page of ListBuckets.
const maxBuckets = 10_000

func (x *exchange) listBuckets() error {
	q := x.req.Query
	limit, err := countParam(q, "max-buckets", 1, maxBuckets)
	if err != nil {
		return err
	}
	after, err := decodeToken(q.Get("continuation-token"))
	if err != nil {
		return err
	}
	all, err := x.backend.ListBuckets(x.r.Context())
	if err != nil {
		return err
	}
	prefix := q.Get("prefix")
	buckets := slices.DeleteFunc(slices.Clone(all), func(b BucketInfo) bool {
		return b.Name <= after || !strings.HasPrefix(b.Name, prefix)
	})
	next := ""
	if len(buckets) > limit {
		buckets = buckets[:limit]
		next = encodeToken(buckets[limit-1].Name)
	}
	const root = "ListAllMyBucketsResult"
	d := newDocument(root)
	d.owner("Owner", x.opts.Owner)
	d.open("Buckets")
	for _, b := range buckets {
		d.open("Bucket")
		d.text("Name", b.Name)
		d.time("CreationDate", b.Created)
		d.close("Bucket")
	}
	d.close("Buckets")
	if prefix != "" {
		d.text("Prefix", prefix)
	}
	if next != "" {
		d.text("ContinuationToken", next)
	}
	x.finish(d, root)
	return nil
}

// region is what clients are told to sign for.
func (x *exchange) region() string {
	if x.opts.Region == "" {
		return "us-east-1"
	}
	return x.opts.Region
}

// statBucket fails unless the bucket exists.
func (x *exchange) statBucket() error {
	_, err := x.backend.StatBucket(x.r.Context(), x.bucket)
	return err
}

func (x *exchange) headBucket() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	x.w.Header()["x-amz-bucket-region"] = []string{x.region()}
	x.w.Header().Set("Content-Type", "application/xml")
	x.w.WriteHeader(http.StatusOK)
	return nil
}

func (x *exchange) bucketLocation() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	const root = "LocationConstraint"
	d := newDocument(root)
	if r := x.region(); r != "us-east-1" { // whose constraint S3 writes as empty
		d.escape(r)
	}
	x.finish(d, root)
	return nil
}

func (x *exchange) bucketVersioning() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	const root = "VersioningConfiguration"
	d := newDocument(root)
	d.text("Status", "Enabled")
	x.finish(d, root)
	return nil
}

func (x *exchange) bucketRequestPayment() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	const root = "RequestPaymentConfiguration"
	d := newDocument(root)
	d.text("Payer", "BucketOwner")
	x.finish(d, root)
	return nil
}

// emptyBucketConfig answers for a setting whose absence S3 shows as an empty
// document.
func emptyBucketConfig(root string) func(*exchange) error {
	return func(x *exchange) error {
		if err := x.statBucket(); err != nil {
			return err
		}
		x.finish(newDocument(root), root)
		return nil
	}
}

// noBucketConfig answers for a setting whose absence S3 shows as an error.
func noBucketConfig(c code) func(*exchange) error {
	return func(x *exchange) error {
		if err := x.statBucket(); err != nil {
			return err
		}
		return fail(c)
	}
}
