package vfs

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

func networkFS(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", fmt.Errorf("statfs %s: %w", dir, err)
	}
	name := unix.ByteSliceToString(st.Fstypename[:])
	switch {
	case name == "nfs", name == "smbfs", name == "afpfs", name == "webdav", name == "ftp", strings.Contains(name, "fuse"):
		return name, nil
	}
	return "", nil
}
