package worktree

import (
	"io/fs"
	"runtime"
)

// Stat is what a file looks like from outside. While a file's Stat stays the
// same its content does too, but see [Index] for changes in quick succession.
type Stat struct {
	Size  int64  // bytes
	Mtime int64  // nanoseconds since 1970: last change of the content
	Ctime int64  // nanoseconds since 1970: last change of anything; 0 if the system does not tell
	Inode uint64 // 0 if the system does not tell
	Exec  bool   // its owner may execute it; false on Windows
}

// before reports whether nothing of the file changed at or after stamp, by the
// disk's clock. The time of modification can be set, the time of change can't.
func (s *Stat) before(stamp int64) bool { return s.Mtime < stamp && s.Ctime < stamp }

// hasExec says whether files of this system can be executable.
const hasExec = runtime.GOOS != "windows"

func statOf(info fs.FileInfo) Stat {
	s := Stat{Size: info.Size(), Mtime: info.ModTime().UnixNano(), Exec: hasExec && info.Mode()&0o100 != 0}
	s.Ctime, s.Inode = changed(info)
	return s
}
