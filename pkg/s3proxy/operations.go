package s3proxy

import (
	"net/http"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// Operation is the name of an S3 operation, as in its API reference.
type Operation string

// level says what an operation is about.
type level int

const (
	onService level = iota
	onBucket
	onObject
)

// route is one row of the table of operations.
type route struct {
	operation Operation
	level     level
	method    string
	// subresource is the query parameter that selects the operation; "" is the
	// row for a request without one.
	subresource string
	// run answers the request. Without it the operation is refused.
	run func(*exchange) error
}

// operations lists every operation that the proxy knows by name, served or
// not, so that a request for one can never be taken for another.
var operations = []route{
	{"ListBuckets", onService, "GET", "", (*exchange).listBuckets},

	{"HeadBucket", onBucket, "HEAD", "", (*exchange).headBucket},
	{"ListObjects", onBucket, "GET", "", (*exchange).listObjects},
	{"ListObjectsV2", onBucket, "GET", "list-type", (*exchange).listObjectsV2},
	{"ListMultipartUploads", onBucket, "GET", "uploads", (*exchange).listMultipartUploads},
	{"ListObjectVersions", onBucket, "GET", "versions", nil},
	{"GetBucketLocation", onBucket, "GET", "location", (*exchange).bucketLocation},
	{"GetBucketVersioning", onBucket, "GET", "versioning", (*exchange).bucketVersioning},
	{"GetBucketAcl", onBucket, "GET", "acl", (*exchange).bucketACL},
	{"GetBucketAccelerateConfiguration", onBucket, "GET", "accelerate", emptyBucketConfig("AccelerateConfiguration")},
	{"GetBucketLogging", onBucket, "GET", "logging", emptyBucketConfig("BucketLoggingStatus")},
	{"GetBucketNotificationConfiguration", onBucket, "GET", "notification", emptyBucketConfig("NotificationConfiguration")},
	{"GetBucketRequestPayment", onBucket, "GET", "requestPayment", (*exchange).bucketRequestPayment},
	{"GetBucketPolicy", onBucket, "GET", "policy", noBucketConfig(codeNoBucketPolicy)},
	{"GetBucketPolicyStatus", onBucket, "GET", "policyStatus", noBucketConfig(codeNoBucketPolicy)},
	{"GetBucketLifecycleConfiguration", onBucket, "GET", "lifecycle", noBucketConfig(codeNoLifecycle)},
	{"GetBucketCors", onBucket, "GET", "cors", noBucketConfig(codeNoCORS)},
	{"GetObjectLockConfiguration", onBucket, "GET", "object-lock", noBucketConfig(codeNoObjectLock)},
	{"GetBucketEncryption", onBucket, "GET", "encryption", noBucketConfig(codeNoBucketEncryption)},
	{"GetBucketTagging", onBucket, "GET", "tagging", noBucketConfig(codeNoTagSet)},
	{"GetBucketWebsite", onBucket, "GET", "website", noBucketConfig(codeNoWebsite)},
	{"GetBucketReplication", onBucket, "GET", "replication", noBucketConfig(codeNoReplication)},
	{"GetPublicAccessBlock", onBucket, "GET", "publicAccessBlock", noBucketConfig(codeNoAccessBlock)},
	{"GetBucketOwnershipControls", onBucket, "GET", "ownershipControls", noBucketConfig(codeNoOwnershipControls)},
	{"GetBucketAnalyticsConfiguration", onBucket, "GET", "analytics", nil},
	{"GetBucketIntelligentTieringConfiguration", onBucket, "GET", "intelligent-tiering", nil},
	{"GetBucketInventoryConfiguration", onBucket, "GET", "inventory", nil},
	{"GetBucketMetadataConfiguration", onBucket, "GET", "metadataConfiguration", nil},
	{"GetBucketMetadataTableConfiguration", onBucket, "GET", "metadataTable", nil},
	{"GetBucketMetricsConfiguration", onBucket, "GET", "metrics", nil},
	{"CreateSession", onBucket, "GET", "session", nil},
	{"CreateBucket", onBucket, "PUT", "", nil},
	{"DeleteBucket", onBucket, "DELETE", "", nil},
	{"DeleteObjects", onBucket, "POST", "delete", nil},
	{"PostObject", onBucket, "POST", "", nil},

	{"HeadObject", onObject, "HEAD", "", (*exchange).headObject},
	{"GetObject", onObject, "GET", "", (*exchange).getObject},
	{"GetObjectAcl", onObject, "GET", "acl", (*exchange).objectACL},
	{"GetObjectTagging", onObject, "GET", "tagging", (*exchange).objectTagging},
	{"GetObjectRetention", onObject, "GET", "retention", (*exchange).noObjectLock},
	{"GetObjectLegalHold", onObject, "GET", "legal-hold", (*exchange).noObjectLock},
	{"ListParts", onObject, "GET", "uploadId", (*exchange).listParts},
	{"GetObjectAttributes", onObject, "GET", "attributes", nil},
	{"GetObjectTorrent", onObject, "GET", "torrent", nil},
	{"SelectObjectContent", onObject, "POST", "select", nil},
	{"PutObject", onObject, "PUT", "", nil},
	{"PutObjectAcl", onObject, "PUT", "acl", nil},
	{"PutObjectTagging", onObject, "PUT", "tagging", nil},
	{"PutObjectRetention", onObject, "PUT", "retention", nil},
	{"PutObjectLegalHold", onObject, "PUT", "legal-hold", nil},
	{"RenameObject", onObject, "PUT", "renameObject", nil},
	{"UploadPart", onObject, "PUT", "uploadId", nil},
	{"CreateMultipartUpload", onObject, "POST", "uploads", nil},
	{"CompleteMultipartUpload", onObject, "POST", "uploadId", nil},
	{"RestoreObject", onObject, "POST", "restore", nil},
	{"AbortMultipartUpload", onObject, "DELETE", "uploadId", nil},
	{"DeleteObjectTagging", onObject, "DELETE", "tagging", nil},
	{"DeleteObject", onObject, "DELETE", "", nil},
}

// modifiers are the query parameters that change how an operation is done, not
// which one it is.
var modifiers = map[string]bool{
	"continuation-token": true, "delimiter": true, "encoding-type": true, "fetch-owner": true,
	"key-marker": true, "marker": true, "max-buckets": true, "max-keys": true, "max-parts": true,
	"max-uploads": true, "part-number-marker": true, "partNumber": true, "prefix": true,
	"start-after": true, "upload-id-marker": true, "version-id-marker": true, "versionId": true,
}

// router finds the operation of a request.
type router struct {
	routes       map[routeKey]route
	subresources map[string]bool
}

type routeKey struct {
	level               level
	method, subresource string
}

func newRouter() *router {
	rt := &router{routes: map[routeKey]route{}, subresources: map[string]bool{}}
	for _, r := range operations {
		rt.routes[routeKey{r.level, r.method, r.subresource}] = r
		if r.subresource != "" {
			rt.subresources[r.subresource] = true
		}
	}
	return rt
}

// find returns the route of a request, or why there is none.
func (rt *router) find(method string, t target, q sigv4.Query) (route, error) {
	sub, err := rt.subresource(q)
	if err != nil {
		return route{}, err
	}
	at := onObject
	switch {
	case t.bucket == "":
		at = onService
	case t.key == "":
		at = onBucket
	}
	r, ok := rt.routes[routeKey{at, method, sub}]
	switch {
	case !ok && at == onBucket && sub != "" && method != http.MethodHead:
		return route{}, fail(codeNotImplemented)
	case !ok:
		return route{}, fail(codeMethodNotAllowed)
	}
	return r, nil
}

// subresource returns the one subresource that a query names, or "".
func (rt *router) subresource(q sigv4.Query) (string, error) {
	sub := ""
	for _, p := range q {
		switch {
		case rt.subresources[p.Name] && sub != "":
			return "", failf(codeInvalidArgument, "Conflicting query string parameters: %s, %s", sub, p.Name)
		case rt.subresources[p.Name]:
			sub = p.Name
		case p.Value == "" && !isModifier(p.Name):
			// S3 selects operations by parameters without a value. Taking one
			// that is not known here for no parameter would answer another
			// question than the one asked.
			return "", fail(codeNotImplemented)
		}
	}
	return sub, nil
}

// isModifier tells whether a query parameter is known to select no operation.
func isModifier(name string) bool {
	return modifiers[name] || strings.HasPrefix(name, "response-") || strings.HasPrefix(strings.ToLower(name), "x-amz-")
}

// refuse answers an operation that is known and not served. An object that
// cannot be written to does not allow the method; a bucket's settings are not
// implemented.
func (r route) refuse() error {
	if r.level == onObject && r.method != http.MethodGet && r.subresource != "select" ||
		r.operation == "DeleteObjects" || r.operation == "PostObject" {
		return fail(codeMethodNotAllowed)
	}
	return fail(codeNotImplemented)
}
