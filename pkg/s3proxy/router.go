package s3proxy

import (
	"net/http"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

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
		if r.subresource != "" && !strings.HasSuffix(r.subresource, copyHeader) {
			rt.subresources[r.subresource] = true
		}
	}
	return rt
}

// find returns the route of a request, or why there is none.
func (rt *router) find(method string, t target, req *sigv4.Request) (route, error) {
	sub, err := rt.subresource(req.Query)
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
	if req.Header.Get(copySource) != "" && rt.has(at, method, sub+copyHeader) {
		sub += copyHeader
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

func (rt *router) has(at level, method, sub string) bool {
	_, ok := rt.routes[routeKey{at, method, sub}]
	return ok
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

// refuse answers an operation that is known and not served. An object does not
// allow the method; a bucket's settings are not implemented.
func (r route) refuse() error {
	if r.level == onObject && r.method != http.MethodGet && r.subresource != "select" {
		return fail(codeMethodNotAllowed)
	}
	return fail(codeNotImplemented)
}
