package worktree

import (
	"runtime"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Options says what [Walk], [Status] and [Edits] look at.
type Options struct {
	Dir   string   // the top of the directory on disk
	Paths []string // what to look at, names joined by "/"; none: everything

	// Index spares the reading of files that did not change, and learns of
	// those that were read. Nil: every file is read.
	Index *Index

	// Params cut the contents; the zero Params are chunk.DefaultParams.
	Params chunk.Params

	// Exclude are rules at the top that every .dvxignore goes before.
	Exclude *Ignore

	// AllowNonportable admits names that some system can't hold, or takes for
	// one another. Names that can be taken for .dvx are never admitted.
	AllowNonportable bool

	// SkipSpecial leaves out devices, sockets and pipes; otherwise they are
	// problems.
	SkipSpecial bool

	// Attrs are given to the entries that are new or whose content changed.
	Attrs tree.Attrs

	// Workers is how many files are read at once; 0: two per processor, so
	// that one reads while the other hashes.
	Workers int

	// Progress is called after each file and while a long one is read, by one
	// goroutine at a time. It must return quickly.
	Progress func(Progress)
}

// Progress counts what was done so far.
type Progress struct {
	Files int64 // looked at, or written
	Bytes int64 // read, or written
}

func (o *Options) applyDefaults() {
	if o.Params == (chunk.Params{}) {
		o.Params = chunk.DefaultParams()
	}
	if o.Workers <= 0 {
		o.Workers = 2 * runtime.GOMAXPROCS(0)
	}
}

// meter adds up progress and tells it. It may be used concurrently.
type meter struct {
	mu   sync.Mutex
	sum  Progress
	tell func(Progress)
}

func (m *meter) add(files, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.Files += files
	m.sum.Bytes += bytes
	if m.tell != nil {
		m.tell(m.sum)
	}
}
