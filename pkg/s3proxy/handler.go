package s3proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv2"
	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// maxBodyBytes bounds the body of a request that is not an object's content:
// S3's limit on XML documents.
const maxBodyBytes = 1 << 20

// Owner is whom S3 answers name as the owner of buckets and objects.
type Owner struct{ ID, DisplayName string }

// Options are what a Handler may be told beside its backend and its keys.
type Options struct {
	// Now returns the current time, which signatures are checked against.
	// Required.
	Now func() time.Time
	// Domain is the host below which virtual-host style names buckets
	// (BUCKET.Domain); "" means path style only.
	Domain string
	// Region is the one region accepted in signatures and told to clients. ""
	// accepts any, because clients of one server are configured with many, and
	// tells them us-east-1, S3's own default.
	Region string
	// Authorize allows or refuses each request; nil allows all that are signed.
	Authorize Authorizer
	// Anonymous is whom a request without a signature stands for; its secret is
	// not used. Nil refuses such requests.
	Anonymous *Credential
	// DisableV2 refuses presigned URLs of signature version 2, which several
	// clients still make by default.
	DisableV2 bool
	// Owner is whom answers name as owner; the zero value is one called "owner".
	Owner Owner
	// Audit is told of each request that changes something, or was refused to a
	// caller who passed the gate, once it has ended; nil tells nobody. It may be
	// called concurrently.
	Audit func(Audited)
	// Log receives failures that clients are not told about; nil discards them.
	Log *slog.Logger
	// Stall is how long a client may take for the next piece of a body before
	// its connection is cut; 0 means 60 s, enough for a bad mobile link.
	Stall time.Duration
}

func (o *Options) applyDefaults() {
	if o.Owner == (Owner{}) {
		o.Owner = Owner{ID: "owner", DisplayName: "owner"}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Authorize == nil {
		o.Authorize = func(context.Context, Access) error { return nil }
	}
	if o.Stall == 0 {
		o.Stall = 60 * time.Second
	}
}

// Validate returns an error that names the first option that cannot be used.
func (o Options) Validate() error {
	switch {
	case o.Now == nil:
		return errors.New("s3proxy: Options.Now is required")
	case o.Stall < 0:
		return errors.New("s3proxy: Options.Stall is negative")
	}
	return nil
}

// Handler answers S3 requests from a Backend.
type Handler struct {
	backend Backend
	// The further things that the backend can do, or nil.
	writer    Writer
	uploader  Uploader
	versioner Versioner
	settings  Settings

	opts     Options
	gate     gate
	router   *router
	requests atomic.Uint64
}

// New returns a Handler that serves b to those whose keys lookup knows. It
// starts nothing; use NewServer to serve it.
func New(b Backend, lookup KeyLookup, o Options) (*Handler, error) {
	if b == nil || lookup == nil {
		return nil, errors.New("s3proxy: a backend and a key lookup are required")
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.applyDefaults()
	h := &Handler{
		backend: b,
		opts:    o,
		router:  newRouter(),
		gate: gate{
			lookup:    lookup,
			now:       o.Now,
			region:    o.Region,
			allowV2:   !o.DisableV2,
			anonymous: o.Anonymous,
		},
	}
	h.writer, _ = b.(Writer)
	h.uploader, _ = b.(Uploader)
	h.versioner, _ = b.(Versioner)
	h.settings, _ = b.(Settings)
	return h, nil
}

// exchange is one request and its answer on their way through the proxy.
type exchange struct {
	*Handler
	target
	w      *response
	r      *http.Request
	req    *sigv4.Request
	route  route
	caller caller
	access Access // what was asked to be authorized
	form   *form  // of a browser's upload
	id     string
}

// ServeHTTP answers one request. A panic of the backend ends only this
// request, as InternalError.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, hostID := h.newID()
	x := &exchange{Handler: h, w: &response{ResponseWriter: w}, r: r, id: id}
	header := w.Header()
	header["x-amz-request-id"] = []string{id}
	header["x-amz-id-2"] = []string{hostID}
	header.Set("X-Content-Type-Options", "nosniff")
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p) // net/http's own word for: cut the connection
		}
		x.fail(fmt.Errorf("panic: %v", p), hostID)
	}()
	err := x.serve()
	x.audit(err)
	if err != nil {
		x.fail(err, hostID)
	}
}

// serve takes the request through gate, routing and authorisation, in this
// order, and runs its operation.
func (x *exchange) serve() error {
	req, err := sigv4.FromHTTP(x.r)
	if err != nil {
		return err
	}
	x.req = req
	x.target = locate(req.Host, req.Path, x.opts.Domain)
	if req.Method == http.MethodOptions {
		return x.preflight()
	}
	x.showCORS()
	if err := x.admit(); err != nil {
		return err
	}
	if err := x.target.check(); err != nil {
		return err
	}
	if x.route, err = x.router.find(req.Method, x.target, req); err != nil {
		return err
	}
	if x.form != nil {
		if x.route.operation != postObject {
			return failf(codeInvalidRequest, "A form can only be posted to a bucket, as an object.") // its policy allows nothing else
		}
		x.key = x.form.key()
		if err := x.checkFormKey(); err != nil {
			return err
		}
	}
	if err := x.authorize(); err != nil {
		return err
	}
	if x.route.run == nil {
		return x.route.refuse()
	}
	if !x.route.readsBody() {
		if err := x.checkBody(); err != nil {
			return err
		}
	}
	x.r = x.r.WithContext(WithPrincipal(x.r.Context(), x.caller.principal))
	return x.route.run(x)
}

// admit takes the request through the gate. A browser's form is signed in its
// first fields, which are read for that.
func (x *exchange) admit() (err error) {
	ctx := x.r.Context()
	if isForm(x.r, x.target) && !sigv4.Present(x.req) && !sigv2.Present(x.req.Query) {
		if x.form, err = x.readForm(); err == nil {
			x.caller, err = x.gate.admitForm(ctx, x.form)
		}
		return err
	}
	if x.caller, err = x.gate.admit(ctx, x.req, x.hostBucket); err != nil {
		return err
	}
	if owner := x.r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != x.opts.Owner.ID {
		return fail(codeAccessDenied)
	}
	return nil
}

func (x *exchange) checkFormKey() error {
	if x.key == "" {
		return failf(codeInvalidArgument, "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.")
	}
	return x.target.check()
}

func (x *exchange) authorize() error {
	key := x.key
	if key == "" && strings.HasPrefix(string(x.route.operation), "List") {
		key = x.req.Query.Get("prefix")
	}
	x.access = Access{
		Principal: x.caller.principal,
		Operation: x.route.operation,
		Right:     x.route.right,
		Bucket:    x.bucket,
		Key:       key,
	}
	return x.opts.Authorize(x.r.Context(), x.access)
}

// newID returns a request's two IDs. They are unique within a process and say
// nothing about it.
func (h *Handler) newID() (id, hostID string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %p", h.requests.Add(1), h.opts.Now().UnixNano(), h))
	return fmt.Sprintf("%X", sum[:8]), base64.StdEncoding.EncodeToString(sum[8:])
}

// fail answers with an error, or cuts the connection if the answer has begun.
func (x *exchange) fail(err error, hostID string) {
	f, unknown := explain(err, x.target)
	if unknown && x.r.Context().Err() == nil {
		x.opts.Log.Error("s3 request failed", "request_id", x.id, "operation", string(x.route.operation),
			"bucket", x.bucket, "key", x.key, "error", err)
	}
	if x.w.begun {
		panic(http.ErrAbortHandler)
	}
	header := x.w.Header()
	for _, h := range f.headers {
		header[h.name] = []string{h.value}
	}
	if x.expectsGreeting() { // as net/http does where there is a body: see greet
		header["Connection"] = []string{"close"}
	}
	if f.status() == http.StatusNotModified || x.r.Method == http.MethodHead {
		x.w.WriteHeader(f.status())
		return
	}
	x.sendXML(f.status(), x.errorDocument(f, hostID))
}

func (x *exchange) errorDocument(f *failure, hostID string) *document {
	d := &document{}
	d.buf.WriteString(xmlHeader)
	d.open("Error")
	d.text("Code", string(f.code))
	d.text("Message", legible(f.message))
	if x.bucket != "" {
		d.text("BucketName", x.bucket)
	}
	if x.key != "" {
		d.text("Key", legible(x.key))
	}
	for _, extra := range f.fields {
		d.text(extra.name, legible(extra.value))
	}
	d.text("Resource", legible(x.resource()))
	d.text("RequestId", x.id)
	d.text("HostId", hostID)
	d.close("Error")
	return d
}

// sendXML sends a document; nothing can be done about a client that is gone.
func (x *exchange) sendXML(status int, d *document) {
	x.w.Header().Set("Content-Type", "application/xml")
	x.w.Header().Set("Content-Length", strconv.Itoa(d.buf.Len()))
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	defer x.w.watchWrites(x.opts.Stall).stop()
	_, _ = io.Copy(x.w, bytes.NewReader(d.buf.Bytes()))
}

// finish closes the root element and sends the document.
func (x *exchange) finish(d *document, root string) {
	d.close(root)
	x.sendXML(http.StatusOK, d)
}
