//go:build !linux

package local

// memoryRoot: nowhere.
const memoryRoot = ""

// memoryFolder: there is none.
type memoryFolder struct{}

// openMemory: there is none.
func openMemory(string) *memoryFolder { return nil }

// slot: none.
func (*memoryFolder) slot(string) string { return "" }

// remove: nothing.
func (*memoryFolder) remove() error { return nil }
