package s3proxy

import (
	"net/http"
	"strings"
)

// Operation is the name of an S3 operation, as in its API reference.
type Operation string

// Right is what a principal needs to be allowed an operation.
type Right string

// The rights, in the order in which each includes no other.
const (
	// Anyone is what every authenticated caller has: to list the buckets that
	// the backend shows him.
	Anyone Right = "anyone"
	// Read is to see a bucket's objects and what is said of them.
	Read Right = "read"
	// Write is to change them.
	Write Right = "write"
	// Admin is to create and delete buckets and to change their settings.
	Admin Right = "admin"
)

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
	right     Right
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
	{"ListBuckets", Anyone, onService, "GET", "", (*exchange).listBuckets},

	{"HeadBucket", Read, onBucket, "HEAD", "", (*exchange).headBucket},
	{"ListObjects", Read, onBucket, "GET", "", (*exchange).listObjects},
	{"ListObjectsV2", Read, onBucket, "GET", "list-type", (*exchange).listObjectsV2},
	{"ListMultipartUploads", Read, onBucket, "GET", "uploads", (*exchange).listMultipartUploads},
	{"ListObjectVersions", Read, onBucket, "GET", "versions", (*exchange).listObjectVersions},
	{"GetBucketLocation", Read, onBucket, "GET", "location", (*exchange).bucketLocation},
	{"GetBucketVersioning", Read, onBucket, "GET", "versioning", (*exchange).bucketVersioning},
	{"GetBucketAcl", Read, onBucket, "GET", "acl", (*exchange).bucketACL},
	{"GetBucketCors", Read, onBucket, "GET", "cors", (*exchange).getBucketCORS},
	{"GetBucketTagging", Read, onBucket, "GET", "tagging", (*exchange).getBucketTagging},
	{"GetBucketAccelerateConfiguration", Read, onBucket, "GET", "accelerate", emptyBucketConfig("AccelerateConfiguration")},
	{"GetBucketLogging", Read, onBucket, "GET", "logging", emptyBucketConfig("BucketLoggingStatus")},
	{"GetBucketNotificationConfiguration", Read, onBucket, "GET", "notification", emptyBucketConfig("NotificationConfiguration")},
	{"GetBucketRequestPayment", Read, onBucket, "GET", "requestPayment", (*exchange).bucketRequestPayment},
	{"GetBucketPolicy", Read, onBucket, "GET", "policy", noBucketConfig(codeNoBucketPolicy)},
	{"GetBucketPolicyStatus", Read, onBucket, "GET", "policyStatus", noBucketConfig(codeNoBucketPolicy)},
	{"GetBucketLifecycleConfiguration", Read, onBucket, "GET", "lifecycle", noBucketConfig(codeNoLifecycle)},
	{"GetObjectLockConfiguration", Read, onBucket, "GET", "object-lock", noBucketConfig(codeNoObjectLock)},
	{"GetBucketEncryption", Read, onBucket, "GET", "encryption", noBucketConfig(codeNoBucketEncryption)},
	{"GetBucketWebsite", Read, onBucket, "GET", "website", noBucketConfig(codeNoWebsite)},
	{"GetBucketReplication", Read, onBucket, "GET", "replication", noBucketConfig(codeNoReplication)},
	{"GetPublicAccessBlock", Read, onBucket, "GET", "publicAccessBlock", noBucketConfig(codeNoAccessBlock)},
	{"GetBucketOwnershipControls", Read, onBucket, "GET", "ownershipControls", noBucketConfig(codeNoOwnershipControls)},
	{"GetBucketAnalyticsConfiguration", Read, onBucket, "GET", "analytics", nil},
	{"GetBucketIntelligentTieringConfiguration", Read, onBucket, "GET", "intelligent-tiering", nil},
	{"GetBucketInventoryConfiguration", Read, onBucket, "GET", "inventory", nil},
	{"GetBucketMetadataConfiguration", Read, onBucket, "GET", "metadataConfiguration", nil},
	{"GetBucketMetadataTableConfiguration", Read, onBucket, "GET", "metadataTable", nil},
	{"GetBucketMetricsConfiguration", Read, onBucket, "GET", "metrics", nil},
	{"CreateSession", Write, onBucket, "GET", "session", nil},
	{"CreateBucket", Admin, onBucket, "PUT", "", (*exchange).createBucket},
	{"DeleteBucket", Admin, onBucket, "DELETE", "", (*exchange).deleteBucket},
	{"PutBucketVersioning", Admin, onBucket, "PUT", "versioning", (*exchange).putBucketVersioning},
	{"PutBucketAcl", Admin, onBucket, "PUT", "acl", (*exchange).putBucketACL},
	{"PutBucketCors", Admin, onBucket, "PUT", "cors", (*exchange).putBucketCORS},
	{"DeleteBucketCors", Admin, onBucket, "DELETE", "cors", (*exchange).deleteBucketCORS},
	{"PutBucketTagging", Admin, onBucket, "PUT", "tagging", (*exchange).putBucketTagging},
	{"DeleteBucketTagging", Admin, onBucket, "DELETE", "tagging", (*exchange).deleteBucketTagging},
	{"PutBucketAccelerateConfiguration", Admin, onBucket, "PUT", "accelerate", putWhatIs("AccelerateConfiguration", "Status", "Suspended")},
	{"PutBucketLogging", Admin, onBucket, "PUT", "logging", putWhatIs("BucketLoggingStatus", "", "")},
	{"PutBucketNotificationConfiguration", Admin, onBucket, "PUT", "notification", putWhatIs("NotificationConfiguration", "", "")},
	{"PutBucketRequestPayment", Admin, onBucket, "PUT", "requestPayment", putWhatIs("RequestPaymentConfiguration", "Payer", "BucketOwner")},
	{"PutBucketPolicy", Admin, onBucket, "PUT", "policy", (*exchange).refuseSetting},
	{"PutBucketLifecycleConfiguration", Admin, onBucket, "PUT", "lifecycle", (*exchange).refuseSetting},
	{"PutObjectLockConfiguration", Admin, onBucket, "PUT", "object-lock", (*exchange).refuseSetting},
	{"PutBucketEncryption", Admin, onBucket, "PUT", "encryption", (*exchange).refuseSetting},
	{"PutBucketWebsite", Admin, onBucket, "PUT", "website", (*exchange).refuseSetting},
	{"PutBucketReplication", Admin, onBucket, "PUT", "replication", (*exchange).refuseSetting},
	{"PutPublicAccessBlock", Admin, onBucket, "PUT", "publicAccessBlock", (*exchange).refuseSetting},
	{"PutBucketOwnershipControls", Admin, onBucket, "PUT", "ownershipControls", (*exchange).refuseSetting},
	{"DeleteBucketPolicy", Admin, onBucket, "DELETE", "policy", (*exchange).nothingToDelete},
	{"DeleteBucketLifecycle", Admin, onBucket, "DELETE", "lifecycle", (*exchange).nothingToDelete},
	{"DeleteBucketEncryption", Admin, onBucket, "DELETE", "encryption", (*exchange).nothingToDelete},
	{"DeleteBucketWebsite", Admin, onBucket, "DELETE", "website", (*exchange).nothingToDelete},
	{"DeleteBucketReplication", Admin, onBucket, "DELETE", "replication", (*exchange).nothingToDelete},
	{"DeletePublicAccessBlock", Admin, onBucket, "DELETE", "publicAccessBlock", (*exchange).nothingToDelete},
	{"DeleteBucketOwnershipControls", Admin, onBucket, "DELETE", "ownershipControls", (*exchange).nothingToDelete},
	{"DeleteObjects", Write, onBucket, "POST", "delete", (*exchange).deleteObjects},
	{postObject, Write, onBucket, "POST", "", (*exchange).postObject},

	{"HeadObject", Read, onObject, "HEAD", "", (*exchange).headObject},
	{"GetObject", Read, onObject, "GET", "", (*exchange).getObject},
	{"GetObjectAcl", Read, onObject, "GET", "acl", (*exchange).objectACL},
	{"GetObjectTagging", Read, onObject, "GET", "tagging", (*exchange).getObjectTagging},
	{"GetObjectRetention", Read, onObject, "GET", "retention", (*exchange).noObjectLock},
	{"GetObjectLegalHold", Read, onObject, "GET", "legal-hold", (*exchange).noObjectLock},
	{"ListParts", Read, onObject, "GET", "uploadId", (*exchange).listParts},
	{"GetObjectAttributes", Read, onObject, "GET", "attributes", (*exchange).getObjectAttributes},
	{"GetObjectTorrent", Read, onObject, "GET", "torrent", nil},
	{"SelectObjectContent", Read, onObject, "POST", "select", nil},
	{"PutObject", Write, onObject, "PUT", "", (*exchange).putObject},
	{"CopyObject", Write, onObject, "PUT", copyHeader, (*exchange).copyObject},
	{"PutObjectAcl", Write, onObject, "PUT", "acl", (*exchange).putObjectACL},
	{"PutObjectTagging", Write, onObject, "PUT", "tagging", (*exchange).putObjectTagging},
	{"PutObjectRetention", Write, onObject, "PUT", "retention", (*exchange).noObjectLock},
	{"PutObjectLegalHold", Write, onObject, "PUT", "legal-hold", (*exchange).noObjectLock},
	{"RenameObject", Write, onObject, "PUT", "renameObject", nil},
	{"UploadPart", Write, onObject, "PUT", "uploadId", (*exchange).uploadPart},
	{"UploadPartCopy", Write, onObject, "PUT", "uploadId" + copyHeader, (*exchange).uploadPartCopy},
	{"CreateMultipartUpload", Write, onObject, "POST", "uploads", (*exchange).createMultipartUpload},
	{"CompleteMultipartUpload", Write, onObject, "POST", "uploadId", (*exchange).completeMultipartUpload},
	{"RestoreObject", Write, onObject, "POST", "restore", nil},
	{"AbortMultipartUpload", Write, onObject, "DELETE", "uploadId", (*exchange).abortMultipartUpload},
	{"DeleteObjectTagging", Write, onObject, "DELETE", "tagging", (*exchange).deleteObjectTagging},
	{"DeleteObject", Write, onObject, "DELETE", "", (*exchange).deleteObject},
}

// copyHeader behind a subresource makes the row of requests with the header
// that names what to copy.
const copyHeader = " x-amz-copy-source"

// OperationInfo is what a row of the table of operations says.
type OperationInfo struct {
	// Operation is the operation's name.
	Operation Operation
	// Right is what it needs on the bucket, or on the object if it is OnObject.
	Right Right
	// Method is its HTTP method.
	Method string
	// Query is the name of the parameter that selects it, or "".
	Query string
	// OnObject and OnBucket say what it is about: an object, a bucket, or, if
	// neither is set, the service. Copies tells that it needs Read on what the
	// header x-amz-copy-source names.
	OnObject, OnBucket, Copies bool
}

// Operations returns the table of operations, so that tests of who may do what
// can be made from it.
func Operations() []OperationInfo {
	var all []OperationInfo
	for _, r := range operations {
		query, copies := strings.CutSuffix(r.subresource, copyHeader)
		all = append(all, OperationInfo{
			Operation: r.operation, Right: r.right, Method: r.method, Query: query,
			OnObject: r.level == onObject, OnBucket: r.level == onBucket, Copies: copies,
		})
	}
	return all
}

// readsBody tells whether the operation reads the request's body itself; the
// others have none.
func (r route) readsBody() bool {
	return r.method == http.MethodPut || r.method == http.MethodPost
}
