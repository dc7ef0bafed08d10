package memo

import (
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Key is the hash of a complete description of work.
type Key chunk.ID

// Work describes one run of user code completely. What is not in it the code
// does not see. Commit IDs, times, repo, branch and pipeline names, resource
// limits and retries are not in it.
type Work struct {
	ABI      int               // version of the contract with user code, [ABI]
	Salt     string            // set to make all earlier results invalid
	Platform string            // "linux/amd64"
	Runtime  Runtime           //
	Command  []string          // transform.cmd
	Stdin    []string          // transform.stdin, lines
	Env      map[string]string // declared environment
	Params   map[string]string // parameters after defaults
	Secrets  map[string]string // versions of declared secrets, by name
	Dir      string            // transform.working_dir
	User     string            // transform.user
	Batch    bool              // the program takes one datum after the other
	Code     tree.ContentID    // zero if there is no code tree
	Inputs   []Input           // in order of the spec
}

// Runtime is what executes the command.
type Runtime struct {
	Image string       // image digest; empty for local processes
	Host  string       // fingerprint of the host's user space; local processes only
	Execs []Executable // the resolved executable and its interpreter chain; local processes only
}

// Executable is a program found on the host.
type Executable struct {
	Path   string // as resolved, links followed
	Digest string // BLAKE3 of its bytes, hex
}

// Input is what user code sees under in/NAME.
type Input struct {
	Name  string
	Mode  string // how the program finds it; empty: as files
	Items []Item // sorted by path
}

// Item is one selected file or directory.
type Item struct {
	Path    string // below in/NAME, without leading slash; empty for the whole tree
	Kind    tree.Kind
	Exec    bool
	Content chunk.Content  // of a file or link
	Dir     tree.ContentID // of a directory
}

// ABI is the version of the contract with user code (what a process finds and
// what is taken from it). Raising it invalidates all records.
const ABI = 1

// Record is the result of one run.
type Record struct {
	Key     Key
	Output  tree.Root     // entries carry no attributes
	Log     chunk.Content // stdout and stderr as they came
	Exit    int           // exit status
	Started time.Time     // UTC
	Ended   time.Time     // UTC
	Scope   string        // trust scope: whose results these are (host and user for local processes)
	By      string        // principal that ran it
	Parts   []Part        // digests of the components of the key, to explain differences
}

// Part is a named component of a key with its digest.
type Part struct {
	Name   string // "command", "code", "input images", …
	Digest string // short hash, hex
}
