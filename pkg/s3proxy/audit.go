package s3proxy

// Audited is a request that changes something or was refused, and how it ended.
type Audited struct {
	Access
	Request string // its ID, as the client has it
	Outcome string // "ok", or the code of the error
}

// audit tells Options.Audit how the request ended. Requests that only read are
// told of if they were refused; those of nobody known are not.
func (x *exchange) audit(err error) {
	if x.opts.Audit == nil || x.access.Operation == "" {
		return
	}
	outcome := "ok"
	if err != nil {
		f, _ := explain(err, x.target)
		outcome = string(f.code)
	}
	changes := x.access.Right != Read && x.access.Right != Anyone
	if changes || outcome == string(codeAccessDenied) {
		x.opts.Audit(Audited{Access: x.access, Request: x.id, Outcome: outcome})
	}
}
