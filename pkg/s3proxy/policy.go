package s3proxy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// sizeLimits are how long the file of a form may be, in bytes.
type sizeLimits struct{ low, high int64 }

// policy is what the signer of a form allows.
type policy struct {
	Expiration string            `json:"expiration"`
	Conditions []json.RawMessage `json:"conditions"`
}

// condition is one thing that a policy wants of a form's field.
type condition struct{ verb, field, value string }

// parsePolicy reads a policy and what it allows.
func parsePolicy(doc []byte) (expires time.Time, conds []condition, limits sizeLimits, err error) {
	limits = sizeLimits{0, maxPutBytes}
	var p policy
	d := json.NewDecoder(bytes.NewReader(doc))
	if d.Decode(&p) != nil || d.More() {
		return expires, nil, limits, failf(codeInvalidPolicy, "Invalid Policy: Invalid JSON.")
	}
	if expires, err = time.Parse(time.RFC3339, p.Expiration); err != nil {
		return expires, nil, limits, failf(codeInvalidPolicy, "Invalid Policy: Invalid 'expiration' value")
	}
	if p.Conditions == nil {
		return expires, nil, limits, failf(codeInvalidPolicy, "Invalid Policy: Policy missing conditions.")
	}
	for _, raw := range p.Conditions {
		more, size, err := parseCondition(raw)
		if err != nil {
			return expires, nil, limits, err
		}
		if size != nil {
			limits = sizeLimits{max(limits.low, size.low), min(limits.high, size.high)}
		}
		conds = append(conds, more...)
	}
	return expires, conds, limits, nil
}

var errCondition = failf(codeInvalidPolicy, "Invalid Policy: Invalid Simple-Condition or list condition.")

// parseCondition reads one entry of a policy: an object of fields that have to
// be equal, or a list that begins with a verb.
func parseCondition(raw json.RawMessage) ([]condition, *sizeLimits, error) {
	var equal map[string]string
	if json.Unmarshal(raw, &equal) == nil {
		var conds []condition
		for name, value := range equal {
			conds = append(conds, condition{"eq", strings.ToLower(name), value})
		}
		if len(conds) != 1 {
			return nil, nil, errCondition
		}
		return conds, nil, nil
	}
	var list []json.RawMessage
	var verb string
	if json.Unmarshal(raw, &list) != nil || len(list) != 3 || json.Unmarshal(list[0], &verb) != nil {
		return nil, nil, errCondition
	}
	switch verb = strings.ToLower(verb); verb {
	case "content-length-range":
		low, err1 := parseNumber(list[1])
		high, err2 := parseNumber(list[2])
		if err1 != nil || err2 != nil || low < 0 || high < low {
			return nil, nil, errCondition
		}
		return nil, &sizeLimits{low, high}, nil
	case "eq", "starts-with":
		var field, value string
		if json.Unmarshal(list[1], &field) != nil || json.Unmarshal(list[2], &value) != nil {
			return nil, nil, errCondition
		}
		field, ok := strings.CutPrefix(field, "$")
		if !ok {
			return nil, nil, errCondition
		}
		return []condition{{verb, strings.ToLower(field), value}}, nil, nil
	}
	return nil, nil, errCondition
}

// parseNumber reads a number, or one in quotes, which S3 takes as well.
func parseNumber(raw json.RawMessage) (int64, error) {
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return 0, err
	}
	return n.Int64()
}

// uncovered are the fields that a policy need not name.
var uncovered = []string{"policy", "x-amz-signature", "file"}

// checkPolicy holds a form to its policy and returns how long its file may be.
// A form without one has been let in as anonymous, and has no other limit.
func (x *exchange) checkPolicy(f *form) (sizeLimits, error) {
	if f.get("policy") == "" {
		return sizeLimits{0, maxPutBytes}, nil
	}
	doc, err := f.decodePolicy()
	if err != nil {
		return sizeLimits{}, err
	}
	expires, conds, limits, err := parsePolicy(doc)
	if err != nil {
		return limits, err
	}
	if x.opts.Now().After(expires) {
		return limits, failf(codeAccessDenied, "Invalid according to Policy: Policy expired.")
	}
	named := map[string]bool{}
	for _, c := range conds {
		named[c.field] = true
		if !c.holds(x.fieldOf(f, c.field)) {
			return limits, failf(codeAccessDenied, "Invalid according to Policy: Policy Condition failed: [%q, \"$%s\", %q]", c.verb, c.field, c.value)
		}
	}
	for name := range f.fields {
		lower := strings.ToLower(name)
		if !named[lower] && !slices.Contains(uncovered, lower) && !strings.HasPrefix(lower, "x-ignore-") {
			return limits, failf(codeAccessDenied, "Invalid according to Policy: Extra input fields: %s", lower)
		}
	}
	if !named["bucket"] || !named["key"] {
		return limits, failf(codeAccessDenied, "Invalid according to Policy: Policy does not name bucket and key.")
	}
	return limits, nil
}

// fieldOf returns what a policy's field is in a form.
func (x *exchange) fieldOf(f *form, name string) string {
	switch name {
	case "bucket":
		return x.bucket
	case "key":
		return x.key
	}
	return f.fields.Get(name)
}

// holds tells whether a field's value is what the condition wants. A list of
// content types begins with a prefix if each of them does.
func (c condition) holds(value string) bool {
	if c.verb == "eq" {
		return value == c.value
	}
	if c.field != "content-type" {
		return strings.HasPrefix(value, c.value)
	}
	for v := range strings.SplitSeq(value, ",") {
		if !strings.HasPrefix(v, c.value) {
			return false
		}
	}
	return true
}
