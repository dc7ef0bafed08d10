//go:build !linux

package local

// maybeStub does nothing: there are stubs on Linux only.
func maybeStub() {}
