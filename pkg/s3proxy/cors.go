package s3proxy

import (
	"context"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxCORSRules is S3's limit on the rules of a bucket.
const maxCORSRules = 100

// corsMethods are the methods that a rule can allow.
var corsMethods = []string{"GET", "PUT", "POST", "DELETE", "HEAD"}

// corsConfiguration is the document that says which web pages may use a bucket.
type corsConfiguration struct {
	XMLName xml.Name   `xml:"CORSConfiguration"`
	Rules   []corsRule `xml:"CORSRule"`
}

type corsRule struct {
	Origins []string `xml:"AllowedOrigin"`
	Methods []string `xml:"AllowedMethod"`
	Headers []string `xml:"AllowedHeader"`
	Exposed []string `xml:"ExposeHeader"`
	MaxAge  *int     `xml:"MaxAgeSeconds"`
}

// parseCORS reads and checks a bucket's rules.
func parseCORS(doc []byte) ([]corsRule, error) {
	var c corsConfiguration
	if err := decodeXML(doc, &c); err != nil {
		return nil, err
	}
	if len(c.Rules) == 0 || len(c.Rules) > maxCORSRules {
		return nil, fail(codeMalformedXML)
	}
	for _, r := range c.Rules {
		if len(r.Origins) == 0 || len(r.Methods) == 0 {
			return nil, fail(codeMalformedXML)
		}
		for _, m := range r.Methods {
			if !slices.Contains(corsMethods, m) {
				return nil, failf(codeInvalidRequest, "Found unsupported HTTP method in CORS config. Unsupported method is %.20s", m)
			}
		}
		for _, pattern := range slices.Concat(r.Origins, r.Headers) {
			if strings.Count(pattern, "*") > 1 {
				return nil, failf(codeInvalidRequest, "AllowedOrigin or AllowedHeader %.100q can not have more than one wildcard.", pattern)
			}
		}
		for _, name := range r.Exposed {
			if strings.Contains(name, "*") {
				return nil, failf(codeInvalidRequest, "ExposeHeader %.100q contains wildcard. We currently do not support wildcard for ExposeHeader.", name)
			}
		}
	}
	return c.Rules, nil
}

func (x *exchange) getBucketCORS() error {
	doc, err := x.setting(SettingCORS)
	if err != nil {
		return err
	}
	if doc == nil {
		return fail(codeNoCORS)
	}
	rules, err := parseCORS(doc)
	if err != nil {
		return err
	}
	const root = "CORSConfiguration"
	d := newDocument(root)
	for _, r := range rules {
		d.open("CORSRule")
		for _, l := range []struct {
			element string
			values  []string
		}{{"AllowedOrigin", r.Origins}, {"AllowedMethod", r.Methods}, {"AllowedHeader", r.Headers}, {"ExposeHeader", r.Exposed}} {
			for _, v := range l.values {
				d.text(l.element, v)
			}
		}
		if r.MaxAge != nil {
			d.int("MaxAgeSeconds", int64(*r.MaxAge))
		}
		d.close("CORSRule")
	}
	x.finish(d, root)
	return nil
}

func (x *exchange) putBucketCORS() error {
	return x.putSetting(SettingCORS, http.StatusOK, func(doc []byte) error {
		_, err := parseCORS(doc)
		return err
	})
}

func (x *exchange) deleteBucketCORS() error { return x.deleteSetting(SettingCORS) }

// allows tells whether a rule is for a method used by a page of origin that
// wants to send these headers.
func (r corsRule) allows(origin, method string, headers []string) bool {
	return slices.Contains(r.Methods, method) &&
		slices.ContainsFunc(r.Origins, func(p string) bool { return matchWildcard(p, origin) }) &&
		!slices.ContainsFunc(headers, func(name string) bool { return !r.allowsHeader(name) })
}

func (r corsRule) allowsHeader(name string) bool {
	return slices.ContainsFunc(r.Headers, func(p string) bool {
		return matchWildcard(strings.ToLower(p), strings.ToLower(name))
	})
}

// matchWildcard matches s with a pattern in which one "*" stands for anything.
func matchWildcard(pattern, s string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}

// findRule returns the first rule of a bucket that allows a page what it wants,
// nil if none does, or if the bucket cannot be asked.
func (x *exchange) findRule(ctx context.Context, method string, headers []string) *corsRule {
	origin := x.r.Header.Get("Origin")
	if origin == "" || x.Handler.settings == nil || x.bucket == "" {
		return nil
	}
	doc, err := x.Handler.settings.Setting(ctx, x.bucket, SettingCORS)
	if err != nil || doc == nil {
		return nil
	}
	rules, err := parseCORS(doc)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(rules, func(r corsRule) bool { return r.allows(origin, method, headers) })
	if i < 0 {
		return nil
	}
	return &rules[i]
}

// showRule sets the headers that tell a browser what a rule allows.
func (x *exchange) showRule(r *corsRule) {
	h := x.w.Header()
	h.Add("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
	if slices.Contains(r.Origins, "*") {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", x.r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(r.Methods, ", "))
	if len(r.Exposed) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(r.Exposed, ", "))
	}
	if r.MaxAge != nil {
		h.Set("Access-Control-Max-Age", strconv.Itoa(*r.MaxAge))
	}
}

// showCORS lets a browser hand the answer to the page that asked, if a rule
// allows it.
func (x *exchange) showCORS() {
	if x.r.Header.Get("Origin") == "" {
		return
	}
	method := or(x.r.Header.Get("Access-Control-Request-Method"), x.r.Method)
	if r := x.findRule(x.r.Context(), method, nil); r != nil {
		x.showRule(r)
	}
}

// preflight answers a browser's question whether a page may send a request. It
// carries no signature, so the answer says nothing of a bucket but its rules.
func (x *exchange) preflight() error {
	h := x.r.Header
	method := h.Get("Access-Control-Request-Method")
	switch {
	case h.Get("Origin") == "":
		return failf(codeBadRequest, "Insufficient information. Origin request header needed.")
	case !slices.Contains(corsMethods, method):
		return failf(codeBadRequest, "Invalid Access-Control-Request-Method: %.20s", or(method, "null"))
	}
	var headers []string
	for name := range strings.SplitSeq(strings.Join(h["Access-Control-Request-Headers"], ","), ",") {
		if name = strings.TrimSpace(name); name != "" {
			headers = append(headers, name)
		}
	}
	r := x.findRule(x.r.Context(), method, headers)
	if r == nil {
		return failf(codeAccessForbidden, "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.")
	}
	x.showRule(r)
	if len(headers) > 0 {
		x.w.Header().Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
	}
	x.w.WriteHeader(http.StatusOK)
	return nil
}
