package vfs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// networkMagic maps the file system types of statfs(2) to the names that mount
// shows.
func networkMagic(magic uint32) string {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC, 0xff534d42, 0xfe534d42: // smbfs, cifs, smb2
		return "smb"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.AFS_SUPER_MAGIC:
		return "afs"
	case unix.CODA_SUPER_MAGIC:
		return "coda"
	case 0x00c36400:
		return "ceph"
	}
	return ""
}

func networkFS(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", fmt.Errorf("statfs %s: %w", dir, err)
	}
	return networkMagic(uint32(st.Type)), nil
}
