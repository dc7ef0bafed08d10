package worker

import (
	"context"
	"maps"
	"path"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// To make a file and to remove it costs a disk's file system more than all else
// that is done for a small datum, and one in memory next to nothing. So a datum
// whose inputs are small gets its in and out in a folder in memory, once its
// pipeline's datums have shown that they leave little. One that uses up the room
// there is ended, and run again on the disk; so is one that failed when there was
// little room left.
const (
	memoryAfter    = 8                      // small results of a pipeline in a row before it moves
	memoryFiles    = 64                     // files and folders of inputs and code at most
	memoryBytes    = 1 << 20                // their bytes at most, and those of its results
	memoryFree     = 1 << 30                // bytes that must be free there at first, and half of them later
	memorySpend    = 256 << 20              // bytes by which the room may shrink meanwhile
	memoryWatch    = 100 * time.Millisecond // how often that is looked at
	memoryKnownMax = 1000                   // pipelines of which the habit is remembered
)

// habits counts the small results in a row of each pipeline.
type habits map[string]int

// note takes a result into account.
func (h habits) note(t task.Task, res task.Result) {
	if res.Outcome != task.Succeeded || res.Stats.BytesOut > memoryBytes {
		delete(h, t.Pipeline)
		return
	}
	if len(h) >= memoryKnownMax {
		maps.DeleteFunc(h, func(string, int) bool { return true })
	}
	h[t.Pipeline] = min(h[t.Pipeline]+1, memoryAfter)
}

// fits reports whether a datum may run in memory, as far as it is known without
// looking into its inputs.
func (h habits) fits(t task.Task) bool {
	if h[t.Pipeline] < memoryAfter || t.Transform.WorkingDir != "" {
		return false
	}
	files, bytes := t.Code.Files, t.Code.Bytes
	if t.Batch {
		files, bytes = 0, 0 // its code is with the program, on the disk
	}
	for _, in := range t.Inputs {
		if in.Mode != task.Files {
			return false
		}
		for _, it := range in.Items {
			files++
			if it.Entry.Kind == tree.Dir {
				files, bytes = files+it.Entry.Dir.Files, bytes+it.Entry.Dir.Bytes
			} else {
				bytes += it.Entry.Content.Size
			}
		}
	}
	return files <= memoryFiles && bytes <= memoryBytes
}

// guard ends ctx when the room in memory is used up, until stop is called.
func (w *Worker) guard(ctx context.Context) (limited context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(memoryWatch)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if w.short() {
					cancel()
				}
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-ended
	}
}

// short reports whether the room in memory is used up.
func (w *Worker) short() bool { return w.room(w.memory.dir) < w.roomMin }

// cramped reports whether what a program did in memory may be for want of room.
func (w *Worker) cramped(e Exit, timedOut bool) bool {
	return w.at == &w.memory && (w.short() || e.Signal != "" && !timedOut)
}

// smallInputs is what lies below the folder in for a datum with small inputs.
type smallInputs struct {
	r     chunk.Reader
	dirs  []smallDir // parents first, from "in" on
	files []smallFile
	at    map[string]int // dirs by path
	bytes int64
}

type smallDir struct {
	parent int // index; -1: the task's folder
	name   string
	open   int // descriptor while it lies there, so that nothing is done through a link in its place; -1: none
}

type smallFile struct {
	dir  int // index
	name string
	exec bool
	size int64
	id   chunk.ID
}

// gatherSmall lists the inputs, nil if there is anything but folders and files
// of one chunk, or too many.
func gatherSmall(ctx context.Context, inputs []task.Input, r chunk.Reader) *smallInputs {
	s := &smallInputs{r: r, at: map[string]int{".": -1}}
	s.dir("in")
	for _, in := range inputs {
		s.dir(path.Join("in", in.Name))
		for _, it := range in.Items {
			if !s.add(ctx, path.Join("in", in.Name, it.Path), it.Entry) {
				return nil
			}
		}
	}
	return s
}

// dir returns the index of a folder, which it adds with its parents.
func (s *smallInputs) dir(p string) int {
	i, ok := s.at[p]
	if !ok {
		d := smallDir{parent: s.dir(path.Dir(p)), name: path.Base(p), open: -1}
		i = len(s.dirs)
		s.dirs, s.at[p] = append(s.dirs, d), i
	}
	return i
}

func (s *smallInputs) add(ctx context.Context, p string, e tree.Entry) bool {
	if len(s.dirs)+len(s.files) > memoryFiles {
		return false
	}
	switch {
	case e.Kind == tree.File && e.Content.Depth == 0:
		f := smallFile{dir: s.dir(path.Dir(p)), name: path.Base(p), exec: e.Exec, size: e.Content.Size, id: e.Content.ID}
		s.files = append(s.files, f)
		s.bytes += e.Content.Size
		return true
	case e.Kind != tree.Dir:
		return false
	}
	s.dir(p)
	for sub, err := range tree.Open(s.r, e.Dir).Entries(ctx, "", "") {
		if err != nil || !s.add(ctx, path.Join(p, sub.Name), sub) {
			return false
		}
	}
	return true
}
