package worker

import (
	"encoding/binary"
	"io/fs"
)

// FileVersion is what changes whenever a file does. Two changes within one tick
// of the file system's clock can leave one version.
type FileVersion struct {
	Inode   uint64
	Size    int64
	Mode    fs.FileMode
	Changed int64 // last change of content or metadata, which user code can't set: Unix ns; 0 if the system does not say
}

// VersionOf returns the version of the file that info is of.
func VersionOf(info fs.FileInfo) FileVersion {
	inode, changed := change(info)
	return FileVersion{Inode: inode, Size: info.Size(), Mode: info.Mode(), Changed: changed}
}

// append appends the version's bytes to b.
func (v FileVersion) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, v.Inode)
	b = binary.BigEndian.AppendUint64(b, uint64(v.Size))
	b = binary.BigEndian.AppendUint32(b, uint32(v.Mode))
	return binary.BigEndian.AppendUint64(b, uint64(v.Changed))
}
