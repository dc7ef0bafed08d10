//go:build !windows

package auth

import (
	"io/fs"
	"syscall"
	"testing"
	"time"
)

// secretFile is what the system says of a key file.
type secretFile struct {
	mode fs.FileMode
	uid  uint32
}

func (f secretFile) Name() string       { return "owner.key" }
func (f secretFile) Size() int64        { return 1 }
func (f secretFile) Mode() fs.FileMode  { return f.mode }
func (f secretFile) ModTime() time.Time { return time.Time{} }
func (f secretFile) IsDir() bool        { return false }
func (f secretFile) Sys() any           { return &syscall.Stat_t{Uid: f.uid} }

// Kubernetes gives a secret to root and to the group of a program.
func TestMounted(t *testing.T) {
	for _, c := range []struct {
		file secretFile
		uid  int
		want bool
	}{
		{secretFile{0o440, 0}, 64200, true},
		{secretFile{0o640, 0}, 64200, true},
		{secretFile{0o444, 0}, 64200, false}, // anybody's
		{secretFile{0o460, 0}, 64200, false}, // the group could change it
		{secretFile{0o440, 64200}, 64200, false},
		{secretFile{0o440, 0}, 0, false}, // root needs no group
	} {
		if got := mounted(c.file, c.uid); got != c.want {
			t.Errorf("mode %04o of %d, seen by %d: %t", c.file.mode, c.file.uid, c.uid, got)
		}
	}
}
