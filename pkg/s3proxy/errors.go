package s3proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// The kinds of failure that a Backend names beside those of io/fs.
var (
	// ErrNoSuchBucket says that the bucket does not exist.
	ErrNoSuchBucket = fmt.Errorf("no such bucket: %w", fs.ErrNotExist)
	// ErrNoSuchKey says that the bucket has no such key.
	ErrNoSuchKey = fmt.Errorf("no such key: %w", fs.ErrNotExist)
	// ErrNoSuchVersion says that the key has no such version.
	ErrNoSuchVersion = fmt.Errorf("no such version: %w", fs.ErrNotExist)
	// ErrInvalidVersion says that no version can have such an ID.
	ErrInvalidVersion = fmt.Errorf("invalid version id: %w", fs.ErrInvalid)
	// ErrNoSuchUpload says that the multipart upload does not exist, or no longer.
	ErrNoSuchUpload = fmt.Errorf("no such upload: %w", fs.ErrNotExist)
	// ErrInvalidPart says that a part of an upload is not the one asked for.
	ErrInvalidPart = errors.New("invalid part")
	// ErrBucketNotEmpty says that a bucket cannot be deleted because it has keys.
	ErrBucketNotEmpty = errors.New("bucket is not empty")
	// ErrConflict says that other writes came between too often.
	ErrConflict = errors.New("conflicting writes")
	// ErrReadOnly says that the bucket or version can never be written to.
	ErrReadOnly = errors.New("read only")
	// ErrInvalidState says that the object is there, but its content is not.
	ErrInvalidState = errors.New("content cannot be read")
	// ErrBusy says that the request may succeed if it is made again later.
	ErrBusy = errors.New("too busy")
)

// code is an S3 error code.
type code string

const (
	codeAccessDenied          code = "AccessDenied"
	codeBadHeader             code = "AuthorizationHeaderMalformed"
	codeBadQuery              code = "AuthorizationQueryParametersError"
	codeBucketExists          code = "BucketAlreadyOwnedByYou"
	codeBadPayloadHash        code = "XAmzContentSHA256Mismatch"
	codeBadPartNumber         code = "InvalidPartNumber"
	codeInternal              code = "InternalError"
	codeInvalidAccessKey      code = "InvalidAccessKeyId"
	codeInvalidArgument       code = "InvalidArgument"
	codeInvalidBucketName     code = "InvalidBucketName"
	codeInvalidRange          code = "InvalidRange"
	codeInvalidRequest        code = "InvalidRequest"
	codeInvalidToken          code = "InvalidToken"
	codeInvalidURI            code = "InvalidURI"
	codeKeyTooLong            code = "KeyTooLongError"
	codeMethodNotAllowed      code = "MethodNotAllowed"
	codeNoSuchBucket          code = "NoSuchBucket"
	codeNoSuchKey             code = "NoSuchKey"
	codeNoSuchUpload          code = "NoSuchUpload"
	codeNoSuchVersion         code = "NoSuchVersion"
	codeNotImplemented        code = "NotImplemented"
	codeNotModified           code = "NotModified"
	codePreconditionFailed    code = "PreconditionFailed"
	codeRequestTimeTooSkew    code = "RequestTimeTooSkewed"
	codeRequestTimeout        code = "RequestTimeout"
	codeSignatureMismatch     code = "SignatureDoesNotMatch"
	codeSlowDown              code = "SlowDown"
	codeTooLarge              code = "MaxMessageLengthExceeded"
	codeAccessForbidden       code = "AccessForbidden"
	codeBadDigest             code = "BadDigest"
	codeBadRequest            code = "BadRequest"
	codeBucketNotEmpty        code = "BucketNotEmpty"
	codeChunkSize             code = "InvalidChunkSizeError"
	codeConflict              code = "OperationAborted"
	codeEntityTooLarge        code = "EntityTooLarge"
	codeEntityTooSmall        code = "EntityTooSmall"
	codeIllegalVersioning     code = "IllegalVersioningConfigurationException"
	codeIncompleteBody        code = "IncompleteBody"
	codeInvalidBucketState    code = "InvalidBucketState"
	codeInvalidDigest         code = "InvalidDigest"
	codeInvalidLocation       code = "InvalidLocationConstraint"
	codeInvalidObjectState    code = "InvalidObjectState"
	codeInvalidPart           code = "InvalidPart"
	codeInvalidPartOrder      code = "InvalidPartOrder"
	codeInvalidPolicy         code = "InvalidPolicyDocument"
	codeInvalidStorageClass   code = "InvalidStorageClass"
	codeInvalidTag            code = "InvalidTag"
	codeMalformedPOST         code = "MalformedPOSTRequest"
	codeMalformedTrailer      code = "MalformedTrailerError"
	codeMalformedXML          code = "MalformedXML"
	codeMetadataTooLarge      code = "MetadataTooLarge"
	codeMissingLength         code = "MissingContentLength"
	codeMissingSecurityHeader code = "MissingSecurityHeader"
	codeNoACLs                code = "AccessControlListNotSupported"
	codePreDataTooLarge       code = "MaxPostPreDataLengthExceededError"
	codeUserKeyMissing        code = "UserKeyMustBeSpecified"
	codeNoAccessBlock         code = "NoSuchPublicAccessBlockConfiguration"
	codeNoBucketEncryption    code = "ServerSideEncryptionConfigurationNotFoundError"
	codeNoBucketPolicy        code = "NoSuchBucketPolicy"
	codeNoCORS                code = "NoSuchCORSConfiguration"
	codeNoLifecycle           code = "NoSuchLifecycleConfiguration"
	codeNoObjectLock          code = "ObjectLockConfigurationNotFoundError"
	codeNoOwnershipControls   code = "OwnershipControlsNotFoundError"
	codeNoReplication         code = "ReplicationConfigurationNotFoundError"
	codeNoTagSet              code = "NoSuchTagSet"
	codeNoWebsite             code = "NoSuchWebsiteConfiguration"
)

// codes gives each code its status and the message that is shown with it.
var codes = map[code]struct {
	status  int
	message string
}{
	codeAccessDenied:          {403, "Access Denied"},
	codeBadHeader:             {400, "The authorization header is malformed."},
	codeBadQuery:              {400, "The authorization query parameters are malformed."},
	codeBucketExists:          {409, "Your previous request to create the named bucket succeeded and you already own it."},
	codeBadPayloadHash:        {400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	codeBadPartNumber:         {416, "The requested partnumber is not satisfiable"},
	codeInternal:              {500, "We encountered an internal error. Please try again."},
	codeInvalidAccessKey:      {403, "The access key ID you provided does not exist in our records."},
	codeInvalidArgument:       {400, "Invalid Argument"},
	codeInvalidBucketName:     {400, "The specified bucket is not valid."},
	codeInvalidRange:          {416, "The requested range is not satisfiable"},
	codeInvalidRequest:        {400, "Invalid Request"},
	codeInvalidToken:          {400, "The provided token is malformed or otherwise invalid."},
	codeInvalidURI:            {400, "Couldn't parse the specified URI."},
	codeKeyTooLong:            {400, "Your key is too long"},
	codeMethodNotAllowed:      {405, "The specified method is not allowed against this resource."},
	codeNoSuchBucket:          {404, "The specified bucket does not exist"},
	codeNoSuchKey:             {404, "The specified key does not exist."},
	codeNoSuchUpload:          {404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."},
	codeNoSuchVersion:         {404, "The specified version does not exist."},
	codeNotImplemented:        {501, "A header or query you provided implies functionality that is not implemented."},
	codeNotModified:           {304, "Not Modified"},
	codePreconditionFailed:    {412, "At least one of the pre-conditions you specified did not hold"},
	codeRequestTimeTooSkew:    {403, "The difference between the request time and the current time is too large."},
	codeRequestTimeout:        {400, "Your socket connection to the server was not read from or written to within the timeout period."},
	codeSignatureMismatch:     {403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	codeSlowDown:              {503, "Please reduce your request rate."},
	codeTooLarge:              {400, "Your request was too big."},
	codeAccessForbidden:       {403, "CORSResponse: This CORS request is not allowed."},
	codeBadDigest:             {400, "The Content-MD5 you specified did not match what we received."},
	codeBadRequest:            {400, "Bad Request"},
	codeBucketNotEmpty:        {409, "The bucket you tried to delete is not empty"},
	codeChunkSize:             {403, "Only the last chunk is allowed to have a size less than 8192 bytes"},
	codeConflict:              {409, "A conflicting conditional operation is currently in progress against this resource. Please try again."},
	codeEntityTooLarge:        {400, "Your proposed upload exceeds the maximum allowed size"},
	codeEntityTooSmall:        {400, "Your proposed upload is smaller than the minimum allowed size"},
	codeIllegalVersioning:     {400, "The versioning configuration specified in the request is invalid."},
	codeIncompleteBody:        {400, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	codeInvalidBucketState:    {409, "The request is not valid for the current state of the bucket."},
	codeInvalidDigest:         {400, "The Content-MD5 you specified was invalid."},
	codeInvalidLocation:       {400, "The specified location-constraint is not valid"},
	codeInvalidObjectState:    {403, "The operation is not valid for the object's storage class."},
	codeInvalidPart:           {400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."},
	codeInvalidPartOrder:      {400, "The list of parts was not in ascending order. The parts list must be specified in order by part number."},
	codeInvalidPolicy:         {400, "The content of the form does not meet the conditions specified in the policy document."},
	codeInvalidStorageClass:   {400, "The storage class you specified is not valid"},
	codeInvalidTag:            {400, "The tag provided was not a valid tag."},
	codeMalformedPOST:         {400, "The body of your POST request is not well-formed multipart/form-data."},
	codeMalformedTrailer:      {400, "The request contained trailing data that was not well-formed or did not conform to our published schema."},
	codeMalformedXML:          {400, "The XML you provided was not well-formed or did not validate against our published schema"},
	codeMetadataTooLarge:      {400, "Your metadata headers exceed the maximum allowed metadata size"},
	codeMissingLength:         {411, "You must provide the Content-Length HTTP header."},
	codeMissingSecurityHeader: {400, "Your request was missing a required header"},
	codeNoACLs:                {400, "The bucket does not allow ACLs"},
	codePreDataTooLarge:       {400, "Your POST request fields preceding the upload file were too large."},
	codeUserKeyMissing:        {400, "The bucket POST must contain the specified field name. If it is specified, check the order of the fields."},
	codeNoAccessBlock:         {404, "The public access block configuration was not found"},
	codeNoBucketEncryption:    {404, "The server side encryption configuration was not found"},
	codeNoBucketPolicy:        {404, "The bucket policy does not exist"},
	codeNoCORS:                {404, "The CORS configuration does not exist"},
	codeNoLifecycle:           {404, "The lifecycle configuration does not exist"},
	codeNoObjectLock:          {404, "Object Lock configuration does not exist for this bucket"},
	codeNoOwnershipControls:   {404, "The bucket ownership controls were not found"},
	codeNoReplication:         {404, "The replication configuration was not found"},
	codeNoTagSet:              {404, "The TagSet does not exist"},
	codeNoWebsite:             {404, "The specified bucket does not have a website configuration"},
}

// kinds is the one table from error kinds to codes; the first row that an
// error wraps counts, so specific kinds stand above those that they wrap.
var kinds = []struct {
	kind    error
	code    code
	message string // "" shows the code's own
}{
	{sigv4.ErrAbsent, codeAccessDenied, ""},
	{sigv4.ErrUnsupported, codeAccessDenied, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."},
	{sigv4.ErrAmbiguous, codeInvalidRequest, "A header, query parameter or form of authentication is given more than once."},
	{sigv4.ErrMalformedHeader, codeBadHeader, ""},
	{sigv4.ErrMalformedQuery, codeBadQuery, ""},
	{sigv4.ErrMalformedForm, codeInvalidArgument, "The authorization fields of the form are malformed."},
	{sigv4.ErrDate, codeAccessDenied, "AWS authentication requires a valid Date or x-amz-date header"},
	{sigv4.ErrUnsignedHeader, codeAccessDenied, "There were headers or parameters present in the request which were not signed"},
	{sigv4.ErrPayloadMissing, codeInvalidRequest, "Missing required header for this request: x-amz-content-sha256"},
	{sigv4.ErrPayload, codeAccessDenied, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a streaming mode, or a valid sha256 value."},
	{sigv4.ErrSkew, codeRequestTimeTooSkew, ""},
	{sigv4.ErrNotYet, codeAccessDenied, "Request is not valid yet"},
	{sigv4.ErrExpired, codeAccessDenied, "Request has expired"},
	{sigv4.ErrMismatch, codeSignatureMismatch, ""},
	{sigv4.ErrEncoding, codeInvalidURI, ""},
	{sigv4.ErrChunk, codeInvalidRequest, "The body is not well-formed aws-chunked content."},
	{sigv4.ErrChunkSize, codeChunkSize, ""},
	{sigv4.ErrIncomplete, codeIncompleteBody, ""},
	{sigv4.ErrTrailer, codeMalformedTrailer, ""},
	{ErrNoSuchBucket, codeNoSuchBucket, ""},
	{ErrNoSuchKey, codeNoSuchKey, ""},
	{ErrNoSuchVersion, codeNoSuchVersion, ""},
	{ErrInvalidVersion, codeInvalidArgument, "Invalid version id specified"},
	{ErrNoSuchUpload, codeNoSuchUpload, ""},
	{ErrInvalidPart, codeInvalidPart, ""},
	{ErrBucketNotEmpty, codeBucketNotEmpty, ""},
	{ErrConflict, codeConflict, ""},
	{ErrReadOnly, codeMethodNotAllowed, ""},
	{ErrInvalidState, codeInvalidObjectState, "The content of the object is kept elsewhere, and is not there any more as it was."},
	{ErrBusy, codeSlowDown, ""},
	{fs.ErrPermission, codeAccessDenied, ""},
	{fs.ErrInvalid, codeInvalidArgument, ""},
	{context.DeadlineExceeded, codeSlowDown, ""},
}

// failure is an error that is shown to the client as it stands.
type failure struct {
	code    code
	message string
	fields  []field // further elements of the error's XML
	headers []field
}

// field is a name and its value.
type field struct{ name, value string }

func (f *failure) Error() string { return string(f.code) + ": " + f.message }

func (f *failure) status() int { return codes[f.code].status }

// fail returns a failure with the code's own message.
func fail(c code) *failure { return &failure{code: c, message: codes[c].message} }

// failf returns a failure with a message that says more than the code's own.
func failf(c code, format string, args ...any) *failure {
	return &failure{code: c, message: fmt.Sprintf(format, args...)}
}

// IsShown tells whether an error has come from this package and is what the
// client is to be told: a backend passes it on as it is.
func IsShown(err error) bool {
	var f *failure
	return errors.As(err, &f)
}

// explain returns what to show of err to a client who asked for t, and whether
// err was unknown and has to be logged instead.
func explain(err error, t target) (f *failure, unknown bool) {
	if errors.As(err, &f) {
		return f, false
	}
	var deleted *DeletedError
	if errors.As(err, &deleted) {
		return deleted.failure(), false
	}
	for _, row := range kinds {
		if errors.Is(err, row.kind) {
			f = fail(row.code)
			if row.message != "" {
				f.message = row.message
			}
			return f, false
		}
	}
	// What these two are about depends on what was asked for.
	onKey := t.key != ""
	switch {
	case errors.Is(err, fs.ErrNotExist) && onKey:
		return fail(codeNoSuchKey), false
	case errors.Is(err, fs.ErrNotExist):
		return fail(codeNoSuchBucket), false
	case errors.Is(err, fs.ErrExist) && onKey:
		return fail(codePreconditionFailed), false
	case errors.Is(err, fs.ErrExist):
		return fail(codeBucketExists), false
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fail(codeTooLarge), false
	}
	return fail(codeInternal), true
}
