package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// CheckoutOptions says how [Checkout] and [Update] write.
type CheckoutOptions struct {
	// AnyLinks makes symbolic links whose targets are absolute or may lead out
	// of the directory; otherwise they are problems.
	AnyLinks bool

	// Force lets Update overwrite or remove what is in its way.
	Force bool

	// FilesMax bounds files and directories; 0: 10 million.
	FilesMax int64

	// BytesMax bounds the sum of the files' sizes; 0: what the disk has room
	// for.
	BytesMax int64
	room     bool // BytesMax is what the disk has room for

	// Index learns of the files that are written; it must be of the directory
	// that is written to. Nil: none.
	Index *Index

	// Params are those of the store, to compare files with it; the zero
	// Params are chunk.DefaultParams.
	Params chunk.Params

	// Workers is how many files are written at once; 0: 16, to hide the
	// latency of a remote store.
	Workers int

	// Progress is called after each file, by one goroutine at a time. It must
	// return quickly.
	Progress func(Progress)

	// System names the system whose rules names must obey, as runtime.GOOS
	// does; "": the one that this runs on.
	System string
}

const (
	filesMaxDefault = 10_000_000
	workersDefault  = 16
)

func (o *CheckoutOptions) applyDefaults(dir string) {
	if o.FilesMax <= 0 {
		o.FilesMax = filesMaxDefault
	}
	if o.BytesMax <= 0 {
		o.BytesMax, o.room = freeBytes(dir), true
	}
	if o.Params == (chunk.Params{}) {
		o.Params = chunk.DefaultParams()
	}
	if o.Workers <= 0 {
		o.Workers = workersDefault
	}
	if o.System == "" {
		o.System = runtime.GOOS
	}
}

func (o *CheckoutOptions) rules() diskRules {
	return diskRules{portable: o.System == "windows", fold: o.System == "windows" || o.System == "darwin"}
}

// Checkout writes the directory root, which r has, to dir: a path at which
// nothing is yet, in an existing directory, or an empty directory, in which
// only .dvx may be. It writes into a folder of its own beside the place and
// moves that when all is there: after an error nothing is left. It fails with
// a ProblemsError before it writes the first file if the disk can't hold a
// name, two names are one to it, or a link may lead out; with ErrQuota if there
// is too much. Files get mode 0644 or 0755, less the umask.
func Checkout(ctx context.Context, r chunk.Reader, root tree.Root, dir string, o CheckoutOptions) (Progress, error) {
	sum, err := checkout(ctx, r, root, dir, o)
	if err != nil {
		return Progress{}, fmt.Errorf("check out %s: %w", dir, err)
	}
	return sum, nil
}

func checkout(ctx context.Context, r chunk.Reader, root tree.Root, dir string, o CheckoutOptions) (Progress, error) {
	fresh, err := isFresh(dir)
	if err != nil {
		return Progress{}, err
	}
	place, name := dir, ""
	if fresh {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Progress{}, err
		}
		place, name = filepath.Split(abs)
	}
	o.applyDefaults(place)
	at, err := openFolder(place)
	if err != nil {
		return Progress{}, err
	}
	defer at.release()
	st, err := newStage(at)
	if err != nil {
		return Progress{}, err
	}
	defer st.close()
	rules := o.rules()
	rules.fold = rules.fold || st.own.foldsCase(stageTree)
	if err := admitTree(ctx, r, root, o, rules); err != nil {
		return Progress{}, err
	}
	w := newLayer(r, o)
	if err := w.write(ctx, st.tree, root); err != nil {
		return Progress{}, err
	}
	private, err := w.now()
	if err != nil {
		return Progress{}, err
	}
	if fresh {
		err = st.publish(name)
	} else {
		err = st.publishInto(w)
	}
	if err == nil {
		err = w.remember(0, private, func(string) bool { return true })
	}
	return w.meter.sum, err
}

// admit fails if so many bytes must not be written.
func (o *CheckoutOptions) admit(bytes int64) error {
	switch {
	case bytes <= o.BytesMax:
		return nil
	case o.room:
		return fmt.Errorf("%d bytes to be written, there is room for %d: %w: %w", bytes, o.BytesMax, ErrQuota, syscall.ENOSPC)
	default:
		return fmt.Errorf("%d bytes to be written, at most %d are allowed: %w", bytes, o.BytesMax, ErrQuota)
	}
}

// admitTree fails unless root may be written.
func admitTree(ctx context.Context, r chunk.Reader, root tree.Root, o CheckoutOptions, rules diskRules) error {
	if err := o.admit(root.Bytes); err != nil {
		return err
	}
	s := &surveyor{r: r, rules: rules, links: o.AnyLinks, entriesMax: o.FilesMax}
	return s.survey(ctx, root)
}

// isFresh reports whether there is nothing at dir. It fails unless there is
// nothing or an empty directory.
func isFresh(dir string) (bool, error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, fmt.Errorf("is no directory: %w", fs.ErrExist)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if !isOurs(e.Name(), true) {
			return false, fmt.Errorf("is not empty, it holds %q: %w", e.Name(), fs.ErrExist)
		}
	}
	return false, nil
}

// stage is a private folder in which a checkout is prepared.
type stage struct {
	at   *folder // where the stage is
	name string  // of the stage in there
	own  *folder // the stage, which nobody else can enter
	tree *folder // the folder in it that is to be published
}

const stageTree = "tree"

func newStage(at *folder) (*stage, error) {
	s := &stage{at: at}
	for n := 0; ; n++ {
		s.name = tempPrefix + strconv.Itoa(n)
		err := at.root.Mkdir(s.name, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	var err error
	if s.own, err = at.sub(s.name); err == nil {
		if err = s.own.root.Mkdir(stageTree, 0o755); err == nil {
			s.tree, err = s.own.sub(stageTree)
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close removes the stage and what is still in it.
func (s *stage) close() {
	for _, f := range []*folder{s.tree, s.own} {
		if f != nil {
			f.release()
		}
	}
	_ = s.at.root.RemoveAll(s.name) // if it stays, scans leave it out and it may be deleted
}

// foldsCase reports whether the disk takes names for one that differ in case.
// The folder holds something called name, in lower case.
func (f *folder) foldsCase(name string) bool {
	lower, err := f.root.Lstat(name)
	if err != nil {
		return false
	}
	upper, err := f.root.Lstat(strings.ToUpper(name))
	return err == nil && os.SameFile(lower, upper)
}

// publish makes the prepared folder the directory name.
func (s *stage) publish(name string) error {
	want, err := s.tree.root.Stat(".")
	if err != nil {
		return err
	}
	if _, err := s.at.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s appeared meanwhile: %w", name, fs.ErrExist)
	}
	if err := s.at.root.Rename(s.name+"/"+stageTree, name); err != nil {
		return err
	}
	if got, err := s.at.root.Lstat(name); err != nil || !os.SameFile(want, got) {
		return fmt.Errorf("%s was replaced: %w", name, ErrChanging)
	}
	return nil
}

// publishInto moves what is in the prepared folder to where the stage is. If
// that fails halfway it moves everything back.
func (s *stage) publishInto(w *layer) (err error) {
	list, err := s.tree.entries()
	if err != nil {
		return err
	}
	from := s.name + "/" + stageTree + "/"
	var moved []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range moved {
			err = errors.Join(err, s.at.root.Rename(name, from+name))
		}
	}()
	for _, e := range list {
		if _, err := s.at.root.Lstat(e.name); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s appeared meanwhile: %w", e.name, fs.ErrExist)
		}
		if err := s.at.root.Rename(from+e.name, e.name); err != nil {
			return err
		}
		moved = append(moved, e.name)
	}
	w.restat(s.at)
	return nil
}
