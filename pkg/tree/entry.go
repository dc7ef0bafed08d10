package tree

import (
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// ID is the storage ID of a directory: the chunk ID of its root node. It
// covers every byte of the directory, attributes included.
type ID chunk.ID

// ContentID is the content ID of a directory: it covers names, kinds, the
// executable bit and contents, and nothing else. Directories of equal content
// have equal ContentIDs whatever their history; memo keys, "nothing to
// commit" and early cutoff compare these.
type ContentID chunk.ID

// Root names an immutable directory with everything below it. The zero Root
// names no directory at all; [Empty] is the directory without entries.
type Root struct {
	ID      ID        `json:"id"`
	Content ContentID `json:"content"`
	Files   int64     `json:"files"` // files and symbolic links below, at any depth
	Bytes   int64     `json:"bytes"` // sum of their sizes
}

// Kind says what an entry is. The numbers are in directory nodes.
type Kind uint8

// The kinds of entry.
const (
	File    Kind = 1
	Symlink Kind = 2 // its content is the target's text
	Dir     Kind = 3
)

// Entry is one name in a directory.
type Entry struct {
	Name    string        // one path component, see [CheckName]
	Kind    Kind          //
	Exec    bool          // executable; files only
	Content chunk.Content // of a File or Symlink
	Dir     Root          // of a Dir
	Marker  *Marker       // of a Dir: the S3 key "dir/", if somebody wrote it
	Attrs   Attrs         //
}

// Marker is what an S3 client stored under a directory's own key ("dir/"). It
// is outside the directory's content ID.
type Marker struct {
	Content chunk.Content
	Attrs   Attrs
}

// OpID is the 128-bit operation ID of the write that made a change. The zero
// OpID means that none was recorded.
type OpID [16]byte

// Attrs describes the write that last changed a path, and what an S3 client
// said of the object. It counts for the storage ID and not for the content ID.
// An entry whose content did not change keeps its Attrs unless the write
// carries some. Encoded it takes at most AttrsSizeMax bytes. All text is UTF-8.
type Attrs struct {
	Time        time.Time         // of the write, UTC, whole milliseconds, 1970 to 9999; zero if unknown
	Op          OpID              //
	ContentType string            // S3 header, empty if none
	Headers     map[string]string // further S3 content headers (cache-control, content-encoding, …), lower-case names
	Meta        map[string]string // S3 user metadata, without the x-amz-meta- prefix, lower-case names
	MD5         []byte            // 16 bytes, MD5 of a single S3 PUT; empty if unknown
	ETag        string            // S3 entity tag where it is not the MD5 (multipart)
}

// Limits of a directory; every decoder and writer holds them.
const (
	AttrsSizeMax   = 4 << 10 // bytes of an entry's encoded Attrs and its marker's, together
	NameSizeMax    = 1024    // bytes of a name: S3's key limit
	PathSizeMax    = 4096    // bytes of a path
	PathDepthMax   = 256     // components of a path
	LinkSizeMax    = 4096    // bytes of a symbolic link's target
	NodeEntriesMax = 2048    // items of one node: 8 times the mean
	LevelMax       = 7       // level of a directory's root node
)
