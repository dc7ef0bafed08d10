// Package dvxv1 holds the messages and services of dvx's gRPC interface,
// generated from the proto files beside it; the proto files document them.
//
// Messages are a wire format and nothing else: only pkg/rpc imports them, and
// nothing that is hashed or kept is ever encoded by them.
package dvxv1
