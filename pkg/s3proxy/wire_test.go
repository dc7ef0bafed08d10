package s3proxy_test

import (
	"strings"
	"testing"
)

// TestWhatS3Answers is a table of requests at the edges of what S3 takes, with
// the status and code that S3 has for each; "" is an answer without an error.
func TestWhatS3Answers(t *testing.T) {
	r := newRig(t)
	r.ok("PUT", "/bkt/zero", "")
	up := r.begin("upload")
	r.part(up, 1, "x")
	crc := sumOf("crc32", "x")
	for _, tt := range []struct {
		method, target, body string
		headers              []string
		status               int
		code                 string
	}{
		// Lists: counts.
		{"GET", "/bkt?max-keys=0", "", nil, 200, ""},
		{"GET", "/bkt?max-keys=1001", "", nil, 200, ""},
		{"GET", "/bkt?max-keys=2147483647", "", nil, 200, ""},
		{"GET", "/bkt?max-keys=", "", nil, 200, ""},
		{"GET", "/bkt?max-keys=-1", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?max-keys=%2B1", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?max-keys=1.5", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?max-keys=abc", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?max-keys=2147483648", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?list-type=2&max-keys=abc", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?versions&max-keys=-1", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?uploads&max-uploads=-1", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt/upload?uploadId=x&max-parts=abc", "", nil, 400, "InvalidArgument"},
		// Lists: what else they are asked with.
		{"GET", "/bkt?list-type=1", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?list-type=2&continuation-token=%21", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?list-type=2&continuation-token=", "", nil, 200, ""},
		{"GET", "/bkt?encoding-type=base64", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?versions&version-id-marker=x", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt?prefix=%ff", "", nil, 400, "InvalidArgument"},
		{"GET", "/nobucket?list-type=2", "", nil, 404, "NoSuchBucket"},
		{"GET", "/nobucket?versions", "", nil, 404, "NoSuchBucket"},
		{"GET", "/nobucket?uploads", "", nil, 404, "NoSuchBucket"},
		// Ranges.
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=2-4"}, 206, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=-4"}, 206, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=-99"}, 206, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=9-99"}, 206, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=4-2"}, 200, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=0-1,3-4"}, 200, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: lines=0-1"}, 200, ""},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=10-"}, 416, "InvalidRange"},
		{"GET", "/bkt/hello.txt", "", []string{"Range: bytes=-0"}, 416, "InvalidRange"},
		{"GET", "/bkt/zero", "", []string{"Range: bytes=0-"}, 416, "InvalidRange"},
		{"GET", "/bkt/zero", "", []string{"Range: bytes=-1"}, 416, "InvalidRange"},
		{"GET", "/bkt/zero?partNumber=1", "", nil, 200, ""},
		{"GET", "/bkt/hello.txt?partNumber=2", "", nil, 416, "InvalidPartNumber"},
		{"GET", "/bkt/hello.txt?partNumber=0", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt/hello.txt?partNumber=1", "", []string{"Range: bytes=0-1"}, 400, "InvalidRequest"},
		// What a body is said to be.
		{"PUT", "/bkt/k", "x", []string{"Content-Md5: nd1eSQo+ypS7e2cZeVxdjA=="}, 400, "BadDigest"},
		{"PUT", "/bkt/k", "x", []string{"Content-Md5: YWJyYWNhZGFicmE="}, 400, "InvalidDigest"},
		{"PUT", "/bkt/k", "x", []string{"X-Amz-Checksum-Crc32: " + crc}, 200, ""},
		{"PUT", "/bkt/k", "y", []string{"X-Amz-Checksum-Crc32: " + crc}, 400, "BadDigest"},
		{"PUT", "/bkt/k", "x", []string{"X-Amz-Checksum-Crc32: abc"}, 400, "InvalidRequest"},
		{"PUT", "/bkt/k", "x", []string{"X-Amz-Checksum-Crc32: " + crc, "X-Amz-Checksum-Sha1: " + sumOf("sha1", "x")}, 400, "InvalidRequest"},
		{"PUT", "/bkt/k", "x", []string{"X-Amz-Checksum-Blake: abc"}, 400, "InvalidRequest"},
		{"PUT", "/bkt/k", "x", []string{"X-Amz-Sdk-Checksum-Algorithm: FOO"}, 400, "InvalidRequest"},
		{"PUT", "/bkt/k", "x", []string{"X-Amz-Sdk-Checksum-Algorithm: SHA1", "X-Amz-Checksum-Crc32: " + crc}, 400, "InvalidRequest"},
		// Keys.
		{"PUT", "/bkt/" + strings.Repeat("k", 1024), "x", nil, 200, ""},
		{"PUT", "/bkt/" + strings.Repeat("k", 1025), "x", nil, 400, "KeyTooLongError"},
		{"PUT", "/bkt/foo/bar", "x", nil, 200, ""},
		{"PUT", "/bkt/foo/bar/xyzzy", "x", nil, 200, ""},
		{"GET", "/bkt/foo/bar", "", nil, 200, ""},
		{"GET", "/bkt/foo/", "", nil, 404, "NoSuchKey"},
		// Names of buckets.
		{"PUT", "/ab", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/" + strings.Repeat("b", 64), "", nil, 400, "InvalidBucketName"},
		{"PUT", "/" + strings.Repeat("b", 63), "", nil, 200, ""},
		{"PUT", "/192.168.5.4", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/foo..bar", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/foo.-bar", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/foo-.bar", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/-foo", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/foo-", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/foo_bar", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/Foo", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/xn--foo", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/foo-s3alias", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/bkt", "", nil, 409, "BucketAlreadyOwnedByYou"},
		{"DELETE", "/bkt", "", nil, 409, "BucketNotEmpty"},
		{"DELETE", "/nobucket", "", nil, 404, "NoSuchBucket"},
		// Copies.
		{"PUT", "/bkt/c", "", []string{"X-Amz-Copy-Source: bkt/hello.txt"}, 200, ""},
		{"PUT", "/bkt/c", "", []string{"X-Amz-Copy-Source: /bkt/none"}, 404, "NoSuchKey"},
		{"PUT", "/bkt/c", "", []string{"X-Amz-Copy-Source: /nobucket/k"}, 404, "NoSuchBucket"},
		{"PUT", "/nobucket/c", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt"}, 404, "NoSuchBucket"},
		{"PUT", "/bkt/c", "", []string{"X-Amz-Copy-Source: bkt"}, 400, "InvalidArgument"},
		{"PUT", "/bkt/c", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt", "X-Amz-Metadata-Directive: MOVE"}, 400, "InvalidArgument"},
		{"PUT", "/bkt/hello.txt", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt"}, 400, "InvalidRequest"},
		{"PUT", up + "&partNumber=2", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt", "X-Amz-Copy-Source-Range: bytes=0-3"}, 200, ""},
		{"PUT", up + "&partNumber=2", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt", "X-Amz-Copy-Source-Range: 0-3"}, 400, "InvalidArgument"},
		{"PUT", up + "&partNumber=2", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt", "X-Amz-Copy-Source-Range: bytes=3-"}, 400, "InvalidArgument"},
		{"PUT", up + "&partNumber=2", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt", "X-Amz-Copy-Source-Range: bytes=-3"}, 400, "InvalidArgument"},
		{"PUT", up + "&partNumber=2", "", []string{"X-Amz-Copy-Source: /bkt/hello.txt", "X-Amz-Copy-Source-Range: bytes=3-1"}, 400, "InvalidArgument"},
		// Uploads.
		{"PUT", up + "&partNumber=0", "x", nil, 400, "InvalidArgument"},
		{"PUT", up + "&partNumber=10001", "x", nil, 400, "InvalidArgument"},
		{"PUT", "/bkt/upload?uploadId=none&partNumber=1", "x", nil, 404, "NoSuchUpload"},
		{"POST", up, "", nil, 400, "MalformedXML"},
		{"POST", up, "<CompleteMultipartUpload></CompleteMultipartUpload>", nil, 400, "MalformedXML"},
		{"POST", up, numbered(`"ffffffffffffffffffffffffffffffff"`), nil, 400, "InvalidPart"},
		{"DELETE", "/bkt/upload?uploadId=none", "", nil, 404, "NoSuchUpload"},
		// Questions that no bucket or object here has an answer to.
		{"GET", "/bkt?policy", "", nil, 404, "NoSuchBucketPolicy"},
		{"GET", "/bkt?lifecycle", "", nil, 404, "NoSuchLifecycleConfiguration"},
		{"PUT", "/bkt?notification", "<NotificationConfiguration/>", nil, 200, ""},
		{"PUT", "/bkt?notification", "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>", nil, 501, "NotImplemented"},
		{"PUT", "/bkt?logging", "<BucketLoggingStatus/>", nil, 200, ""},
		{"PUT", "/bkt?logging", "<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>", nil, 501, "NotImplemented"},
		{"PUT", "/bkt?requestPayment", "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>", nil, 200, ""},
		{"PUT", "/bkt?requestPayment", "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>", nil, 501, "NotImplemented"},
		{"PUT", "/bkt?accelerate", "<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>", nil, 200, ""},
		{"PUT", "/bkt?accelerate", "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>", nil, 501, "NotImplemented"},
		{"PUT", "/bkt?accelerate", "<Other/>", nil, 400, "MalformedXML"},
		{"PUT", "/nobucket?logging", "<BucketLoggingStatus/>", nil, 404, "NoSuchBucket"},
		{"GET", "/bkt?unheard-of", "", nil, 501, "NotImplemented"},
		{"GET", "/bkt/hello.txt?unheard-of", "", nil, 501, "NotImplemented"},
		{"GET", "/bkt/hello.txt?retention", "", nil, 400, "InvalidRequest"},
		{"GET", "/bkt/hello.txt?attributes", "", nil, 400, "InvalidArgument"},
		{"GET", "/bkt/hello.txt?attributes", "", []string{"X-Amz-Object-Attributes: Colour"}, 400, "InvalidArgument"},
		{"POST", "/bkt/hello.txt", "", nil, 405, "MethodNotAllowed"},
		{"PATCH", "/bkt/hello.txt", "", nil, 405, "MethodNotAllowed"},
	} {
		w := r.send(tt.method, tt.target, tt.body, tt.headers...)
		if w.Code != tt.status || tt.code != "" && !strings.Contains(w.Body.String(), "<Code>"+tt.code+"</Code>") {
			t.Errorf("%s %.100s %q: got %d %.300s, want %d %s", tt.method, tt.target, tt.headers, w.Code, w.Body, tt.status, tt.code)
		}
	}
}
